"""CPython with numpy, pandas and scipy, as others have linked it, with our driver, its library inside, imported."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from packs.building.failure import Failure
from packs.python_data import index, merge

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

BLOB = """\
	.section .rodata.rfblob,"",@
	.globl rf_blob_start
	.globl rf_blob_end
	.p2align 4
	.type rf_blob_start,@object
rf_blob_start:
	.incbin "library.blob"
	.size rf_blob_start, .-rf_blob_start
	.type rf_blob_end,@object
rf_blob_end:
	.int32 0
	.size rf_blob_end, 4
"""
# The two imports that become the guest ABI's, by their numbers: its own way to a host, and a call of sockets.
DOORS = {
    0: ("ringfence", "host_call", "host_door_call"),
    42: ("ringfence", "host_take", "__imported_wasi_snapshot_preview1_sock_shutdown"),
}
# Who called them: `host.call` raises SystemError, and no socket can be shut down (ENOTSUP).
BODIES = {"host_call": b"\0\x41\0\x0b", "__wasi_sock_shutdown": b"\0\x41\x3a\x0b"}
# The beginnings of two functions, up to a number that the driver has to know.
IS_LIVE = ("__wrap___wasi_random_get", bytes.fromhex("00024041002d00"))
ASYNC_EXCEPTION = ("_PyEval_RaiseAsyncExc", bytes.fromhex("01037f200041"))
EVAL_BREAKER = ("_PyEval_RaiseAsyncExc", bytes.fromhex("360200200041"))


def build(build: Build, interpreter: Path, packages: Path, module: Path) -> None:
    """Write the module as it is after its `rf_init`."""
    build.compiler_path = build.compiler().path
    with build.steps.step("driver, merge"):
        linked(build, interpreter)
    root = build.work / "root"
    library = root / "usr" / "local" / "lib"
    library.mkdir(parents=True)
    shutil.copyfile(interpreter / "python-stdlib.zip", library / "python315.zip")
    boot = root / "boot"
    ignored = shutil.ignore_patterns("__pycache__")
    for guest in (build.folder.parent / "python" / "guest", build.folder / "guest"):
        shutil.copytree(guest, boot, dirs_exist_ok=True, ignore=ignored)
    wasmtime = packages / "wasmtime_cli" / "wasmtime"
    wasmtime.chmod(0o755)
    with build.steps.step("compile and import (a minute or more, 2 GB of memory)"):
        build.steps.run([
            wasmtime, "wizer", "-C", "cache=n", "-O", "opt-level=0", "-S", "cli=y", "-W", "unknown-imports-trap=y",
            "-W", "max-wasm-stack=8388608", "-W", "async-stack-size=16777216", "-W", "exceptions=y",
            "--dir", f"{root}::/", "--init-func", "rf_init", "--rename-func", "_start=rf_start",
            "--output", module, build.work / "reactor.wasm",
        ])  # fmt: skip


def note(build: Build, interpreter: Path) -> None:
    """Say what is in it, and under which licences."""
    if not build.compiler_path:  # what it linked was kept from another time
        build.compiler_path = build.compiler().path
    licences = interpreter / "LICENSES"
    build.licences |= {
        file.name: file.read_text(encoding="utf-8", errors="replace") for file in sorted(licences.iterdir())
    }
    build.sources += [(interpreter / "MANIFEST").read_text(encoding="utf-8")]


def linked(build: Build, interpreter: Path) -> None:
    """Write `reactor.wasm`: the interpreter with the driver."""
    index.write(interpreter / "python-stdlib.zip", build.work / "library.blob")
    (build.work / "blob.s").write_text(BLOB, encoding="utf-8")
    try:
        base = merge.Module.of((interpreter / "python.wasm").read_bytes())
        known = {name: merge.leading(base.body(of), pattern) for name, (of, pattern) in {
            "LIVE": IS_LIVE, "ASYNC_EXCEPTION": ASYNC_EXCEPTION, "EVAL_BREAKER": EVAL_BREAKER,
        }.items()}  # fmt: skip
        build.run(["wasi-cc", "-c", "blob.s", "-o", "blob.o"])
        build.run([
            "wasi-cc", "-O2", "-Wall", "-Werror", "-mbulk-memory", *(f"-D{name}={at}u" for name, at in known.items()),
            "-c", build.folder / "driver.c", "-o", "driver.o",
        ])  # fmt: skip
        build.run([
            "wasi-cc", "-nostdlib", "-mexec-model=reactor", "driver.o", "blob.o", "-Wl,--no-entry",
            "-Wl,--import-memory", "-Wl,--allow-undefined", "-Wl,--emit-relocs", "-Wl,-z,stack-size=16",
            f"-Wl,--global-base={base.memory_end}", f"-Wl,--table-base={base.table_end}", "-o", "driver.wasm",
        ])  # fmt: skip
        driver = merge.Module.of((build.work / "driver.wasm").read_bytes())
        (build.work / "reactor.wasm").write_bytes(merge.Merge(base, driver).write(DOORS, BODIES))
    except merge.MergeError as error:
        raise Failure(
            "the interpreter and the driver do not fit", str(error), "pin the version they were written for"
        ) from error
