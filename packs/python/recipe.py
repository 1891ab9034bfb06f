"""CPython as one static module: the standard library and the boot code inside, our driver in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building import cache
from packs.python import interpreter

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

# CPython allows 5,000 calls of its own C functions on WASI: they fit in this, and in 4 MiB of the engine's stack.
STACK_BYTES = 8 << 20
BLOB = """\
	.section .rodata.rfblob,"",@
	.globl rf_blob_start
	.globl rf_blob_end
	.p2align 4
	.type rf_blob_start,@object
rf_blob_start:
	.incbin "stdlib.blob"
	.size rf_blob_start, .-rf_blob_start
	.type rf_blob_end,@object
rf_blob_end:
	.int32 0
	.size rf_blob_end, 4
"""
# Calls that the driver answers itself while the snapshot is made: see clock.c.
WRAPPED = ["__wasi_random_get", "__wasi_clock_time_get", "__wasi_poll_oneoff"]


def build(build: Build) -> Path:
    """Link the module."""
    compiler = build.compiler()
    build.compiler_path = compiler.path
    base = interpreter.stage(build, compiler)
    with build.steps.step("standard library"):
        time_zones = build.packages() / "tzdata"
        build.run([
            base / "host" / "python3.13", build.folder / "library.py",
            base / "Lib", time_zones, build.folder / "guest", build.work,
        ])  # fmt: skip
    with build.steps.step("driver, link"):
        (build.work / "blob.s").write_text(BLOB, encoding="utf-8")
        flags = [*interpreter.flags(build.work, base), f"-ffile-prefix-map={build.folder}=driver"]
        objects: list[str | Path] = ["blob.o", "frozen.o"]
        build.run(["wasi-cc", "-c", "blob.s", "-o", "blob.o"])
        build.run(["wasi-cc", *flags, "-c", "frozen.c", "-o", "frozen.o"])
        for source in sorted(build.folder.glob("*.c")):
            build.run(["wasi-cc", *flags, "-Wall", "-Werror", "-c", source, "-o", f"{source.stem}.o"])
            objects.append(f"{source.stem}.o")
        objects += sorted((base / "lib").glob("*.o")) + sorted((base / "lib").glob("*.a"))
        build.run([
            "wasi-cc", "-mexec-model=reactor", "-O3", *objects,
            "-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks", "-ldl", "-lm",
            f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--stack-first", "-Wl,--strip-all", "-Wl,--gc-sections",
            *(f"-Wl,--wrap={name}" for name in WRAPPED), "-o", "reactor.wasm",
        ])  # fmt: skip
    build.sources += [(base / "sources.txt").read_text(encoding="utf-8")]
    build.sources += [
        f"{line}\n" for line in cache.ROOT.joinpath("requirements/packs.txt").read_text().splitlines() if "==" in line
    ]
    build.licences |= {file.name: file.read_text(encoding="utf-8") for file in sorted((base / "licences").iterdir())}
    return build.work / "reactor.wasm"
