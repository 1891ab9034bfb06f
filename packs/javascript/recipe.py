"""QuickJS-NG as one static module: its release with the changes of `prepare`, our driver and our boot script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building import cache
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


def flags(build: Build, source: Path, engine: Path) -> list[str]:
    """Give the compiler's flags; no path of this machine gets into the module."""
    folders = {build.work: ".", source: "source", engine: "engine", build.folder: "driver", build.shared: "shared"}
    return [
        "-O3", "-g0", "-funsigned-char", "-D_GNU_SOURCE", "-D_WASI_EMULATED_PROCESS_CLOCKS", "-D_WASI_EMULATED_SIGNAL",
        *(f"-I{folder}" for folder in (engine, source, build.folder, build.shared)),
        *(f"-ffile-prefix-map={folder}={name}" for folder, name in folders.items()),
    ]  # fmt: skip


def build(build: Build) -> Path:
    """Link the module."""
    compiler = build.compiler()
    build.compiler_path = compiler.path
    crate = build.crate(CRATE, VERSION, SHA256)
    source = crate / "embed" / "quickjs"

    def compile_engine(place: Path) -> None:
        with build.steps.step("engine"):
            prepared = place / "prepared"
            prepared.mkdir()
            prepare(source, prepared)
            own = [prepared / "quickjs-libc.c", build.folder / "engine.c"]
            for file in [*(source / name for name in ENGINE), *own]:
                build.run([
                    "wasi-cc", *flags(build, source, place), "-w", "-c", file, "-o", place / f"{file.stem}.o"
                ])  # fmt: skip

    files = [build.folder / name for name in ("engine.c", "engine.h", "prepare.py", "recipe.py")]
    engine = build.stage("engine", cache.digest(compiler.root.name, SHA256, *files), compile_engine)
    objects: list[str | Path] = sorted(engine.glob("*.o"))
    with build.steps.step("driver, link"):
        for file in [*sorted(build.shared.glob("*.c")), *sorted(build.folder.glob("*.c"))]:
            if file.name != "engine.c":
                objects.append(f"{file.stem}.o")
                build.run([
                    "wasi-cc", *flags(build, source, engine), "-Wall", "-Werror", "-c", file, "-o", objects[-1]
                ])  # fmt: skip
        script = [file.read_text(encoding="utf-8") for file in sorted((build.folder / "boot").glob("*.js"))]
        (build.work / "boot.js").write_text("".join(script), encoding="utf-8")
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
        "quickjs-ng.txt": (source / "LICENSE").read_text(encoding="utf-8"),
        "wasi-libc.txt": (told / "wasi-libc" / "copyright").read_text(encoding="utf-8"),
    }
    return build.work / "reactor.wasm"
