"""Lua as one static module: its release with the changes of `prepare`, our driver and our boot script."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from packs.building.toolchain import recorded
from packs.lua.prepare import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

NAME = "lua5.4"
PINS = {"lua5.4_": "9fbf5e28ef86c69858f6d3d34eccc32e911c1a28b4120ff3e84aaa70cfbf1e30"}
# Recursion of C functions ends at Lua's own limit of 200 calls, which needs less.
STACK_BYTES = 2 << 20
# `lua.c` is part of our command.c; `luac.c` is a program of its own.
APART = {"lua.c", "luac.c"}
BOOT = """\
	.section .rodata.boot,"",@
	.globl boot_start
	.globl boot_end
	.type boot_start,@object
	.type boot_end,@object
boot_start:
	.incbin "{}"
	.size boot_start, .-boot_start
boot_end:
	.int32 0
	.size boot_end, 4
"""
# setjmp is made of WebAssembly's exceptions, in the form that the standard has.
JUMPS = ["-mllvm", "-wasm-enable-sjlj", "-mllvm", "-wasm-use-legacy-eh=false"]
# Calls that the driver answers itself at times: see clock.c and host.c.
WRAPPED = ["__wasi_random_get", "__wasi_clock_time_get", "__wasi_fd_read"]


def build(build: Build) -> Path:
    """Link the module."""
    compiler = build.compiler()
    build.compiler_path = compiler.path
    with build.steps.step("source"):
        build.archive.sources([NAME], PINS)
        original = build.archive.original(NAME)
        with tarfile.open(original) as tar:
            tar.extractall(build.work / "original", filter="data")
        (found,) = (build.work / "original").iterdir()
        source = build.work / "source"
        source.mkdir()
        prepare(found / "src", source)
        build.sources += [recorded([original])]
    flags = [
        "-O3", "-g0", *JUMPS, "-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_PROCESS_CLOCKS",
        f"-I{build.work}", f"-I{source}", f"-I{build.folder}", f"-I{build.shared}", "-include", "changed.h",
        f"-ffile-prefix-map={build.work}=.", f"-ffile-prefix-map={build.folder}=driver",
        f"-ffile-prefix-map={build.shared}=shared",
    ]  # fmt: skip
    objects: list[str | Path] = ["boot.o"]
    with build.steps.step("Lua, driver, link"):
        (build.work / "boot.s").write_text(BOOT.format(build.folder / "boot.lua"), encoding="utf-8")
        build.run(["wasi-cc", "-c", "boot.s", "-o", "boot.o"])
        own = [file for file in sorted(source.glob("*.c")) if file.name not in APART]
        for file in [*own, *sorted(build.shared.glob("*.c")), *sorted(build.folder.glob("*.c"))]:
            objects.append(f"{file.stem}.o")
            strict = ["-Wall", "-Werror"] if file not in own else ["-w"]
            build.run(["wasi-cc", *flags, *strict, "-c", file, "-o", objects[-1]])
        build.run([
            "wasi-cc", "-mexec-model=reactor", "-O3", *JUMPS, *objects,
            "-lsetjmp", "-lwasi-emulated-signal", "-lwasi-emulated-process-clocks", "-lm",
            f"-Wl,-z,stack-size={STACK_BYTES}", "-Wl,--stack-first", "-Wl,--strip-all", "-Wl,--gc-sections",
            *(f"-Wl,--wrap={name}" for name in WRAPPED), "-o", "reactor.wasm",
        ])  # fmt: skip
    text = (found / "src" / "lua.h").read_text(encoding="utf-8")
    build.licences["lua.txt"] = text[text.rindex("/****") :].strip("/* \n") + "\n"
    return build.work / "reactor.wasm"
