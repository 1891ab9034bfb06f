"""QuickJS-NG as one static module: its release with the changes of `prepare`, our driver and our boot script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.javascript.prepare import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

CRATE = "libquickjs-ng-sys"
VERSION = "0.14.0"
SHA256 = "9c81e864c33a1d1543f2f651d7622de0e8fb9b8e0c50b808eee606c056dd02e2"
# The engine may use 1 MiB of it (STACK_BYTES in driver.c); the rest is for what it does not measure.
STACK_BYTES = 8 << 20
ENGINE = ["libregexp.c", "libunicode.c", "dtoa.c"]
BOOT = """\
	.section .rodata.boot,"",@
	.globl boot_start
	.globl boot_end
	.type boot_start,@object
boot_start:
	.incbin "boot.js"
	.size boot_start, .-boot_start
	.type boot_end,@object
boot_end:
	.int32 0
	.size boot_end, 4
"""
# Calls that the driver answers itself while the snapshot is made: see clock.c.
WRAPPED = ["__wasi_random_get", "__wasi_clock_time_get"]


def build(build: Build) -> Path:
    """Link the module."""
    compiler = build.compiler()
    build.compiler_path = compiler.path
    crate = build.crate(CRATE, VERSION, SHA256)
    engine = crate / "embed" / "quickjs"
    names = {build.work: ".", engine: "engine", build.folder: "driver"}
    flags = [
        "-O3", "-g0", "-funsigned-char", "-D_GNU_SOURCE", "-D_WASI_EMULATED_PROCESS_CLOCKS", "-D_WASI_EMULATED_SIGNAL",
        *(f"-I{folder}" for folder in (build.work, engine, build.folder)),
        *(f"-ffile-prefix-map={folder}={name}" for folder, name in names.items()),
    ]  # fmt: skip
    objects: list[str] = []

    def compiled(source: Path, *more: str) -> None:
        objects.append(f"{source.stem}.o")
        build.run(["wasi-cc", *flags, *more, "-c", source, "-o", objects[-1]])

    with build.steps.step("engine"):
        prepared = build.work / "prepared"
        prepared.mkdir()
        prepare(engine, prepared)
        for source in [*(engine / name for name in ENGINE), prepared / "quickjs-libc.c", build.folder / "engine.c"]:
            compiled(source, "-w")
    with build.steps.step("driver, link"):
        for source in sorted(build.folder.glob("*.c")):
            if source.name != "engine.c":
                compiled(source, "-Wall", "-Werror")
        script = "".join(file.read_text(encoding="utf-8") for file in sorted((build.folder / "boot").glob("*.js")))
        (build.work / "boot.js").write_text(script, encoding="utf-8")
        (build.work / "boot.s").write_text(BOOT, encoding="utf-8")
        build.run(["wasi-cc", "-c", "boot.s", "-o", "boot.o"])
        build.run([
            "wasi-cc", "-mexec-model=reactor", "-O3", *objects, "boot.o",
            "-lwasi-emulated-process-clocks", "-lwasi-emulated-signal", "-lm",
            f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--stack-first", "-Wl,--strip-all", "-Wl,--gc-sections",
            *(f"-Wl,--wrap={name}" for name in WRAPPED), "-o", "reactor.wasm",
        ])  # fmt: skip
    told = compiler.root / "root" / "usr" / "share" / "doc"
    build.licences |= {
        "quickjs-ng.txt": (engine / "LICENSE").read_text(encoding="utf-8"),
        "wasi-libc.txt": (told / "wasi-libc" / "copyright").read_text(encoding="utf-8"),
    }
    return build.work / "reactor.wasm"
