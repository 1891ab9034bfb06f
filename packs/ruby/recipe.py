"""Ruby, as the project ruby.wasm has linked it, with our driver, its library inside, after it has started."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from packs.building.failure import Failure
from packs.building.pack import PACKS
from packs.components import npm
from packs.python_data import merge
from packs.ruby import depth

if TYPE_CHECKING:
    from pathlib import Path

    from packs.building.pack import Build

PACKAGE = npm.Package(
    "@ruby/3.4-wasm-wasi", "2.10.1",
    "qrzIJ/7TGSpsZpFyLJb9OXO6TYAq18XoLd11We17Sr78hWpb5IGGFgMQ9A2Y8Ww5n0k8uKA/I8/P8MJdzlJX0Q==",
)  # fmt: skip
# Beside what is in this folder.
SHARED = [PACKS / "components", PACKS / "python_data" / "merge.py"]
# Folders that a run may be granted: each has its number in the snapshot.
ROOM = 60
# The imports of a JavaScript host. Four become others; the rest is not called any more.
OURS = {
    2: ("ringfence", "host_call", "__wasm_import_rb_js_abi_host_eval_js"),
    3: ("ringfence", "host_take", "__wasm_import_rb_js_abi_host_is_js"),
    4: ("wasi_snapshot_preview1", "args_sizes_get", "__wasm_import_rb_js_abi_host_instance_of"),
    5: ("wasi_snapshot_preview1", "args_get", "__wasm_import_rb_js_abi_host_global_this"),
}
FOREIGN = 24
DATA_COUNT = 12
# Who called them, with the driver's function that is called instead, and how many arguments it has.
INSTEAD = {
    "rb_js_abi_host_eval_js": ("rf_js_eval", 2),
    "rb_js_abi_host_js_value_to_string": ("rf_js_text", 2),
    "__wasi_random_get": ("rf_random", 2),
    "__wasi_clock_time_get": ("rf_clock", 3),
}
# The encoding of the locale, and so of variables: "UTF-8" where a locale is set, else "ASCII"; and nobody sets one.
IF_LOCALE, ALWAYS = b"\x20\1\x28\2\0\x1b\x0f", b"\x41\1\1\1\1\x1b\x0f"
TRAP, NOTHING = b"\0\0\x0b", b"\0\x0b"
BODIES = {
    "rb_js_abi_host_js_abi_value_free": NOTHING,
    "rb_abi_guest_rb_abi_value_new": b"\0\x20\0\x0b",
    "rb_abi_guest_rb_abi_value_get": b"\0\x20\0\x28\2\0\x0b",
    **{f"rb_js_abi_host_{name}": TRAP for name in (
        "is_js", "instance_of", "global_this", "int_to_js_number", "float_to_js_number", "string_to_js_string",
        "bool_to_js_bool", "proc_to_js_function", "rb_object_to_js_rb_value", "js_value_to_integer",
        "export_js_value_to_host", "import_js_value_from_host", "js_value_typeof", "js_value_equal",
        "js_value_strictly_equal", "reflect_apply", "reflect_get", "reflect_set",
    )},
}  # fmt: skip
# `call 0; unreachable`, how a host was told that a fiber cannot be resumed below another call of Ruby.
THROW, THROWS = b"\x10\0\0", 4
THROWING = [
    "rb_abi_guest_rb_abi_value_dtor", "rb_abi_guest_rb_clear_errinfo", "rb_abi_guest_rb_errinfo",
    "rb_abi_guest_rb_eval_string_protect", "rb_abi_guest_rb_funcallv_protect", "rb_abi_guest_rb_intern",
    "rb_abi_guest_rstring_ptr", "rb_abi_guest_ruby_init", "rb_abi_guest_ruby_init_loadpath", "rb_abi_lend_object",
]  # fmt: skip
# Where functions have numbers that the driver has to know: the bytes before them.
PREOPENS = ("internal_register_preopened_fd_unlocked", b"\x0d\0\x41")
SIGNALS = ("rb_get_next_signal", b"\x20\0\x41")
SIGNALS_WAITING = ("rb_signal_buff_size", b"\0\x41")
CONTEXT = ("rb_current_ec_noinline", b"\0\x41")
ACTIVE_JUMP = ("_rb_wasm_longjmp", b"\x36\2\x88\xc0\1\x41")
# Their buffers for a stack that is unwound: a begin, an end, and what lies there.
SCAN = ("rb_wasm_scan_locals", b"\4\x40\x41")
LONG = ("_rb_wasm_longjmp", b"\x94\xc0\1\x20\0\x41")
THEIR_BYTES = 24576
# Ours, above the driver's data: large enough for whatever fits on the stack of a language.
UNWOUND_BYTES = 2 << 20
DRIVER_BYTES = 128 << 10
# `rb_set_errinfo(nil)`
FORGET = b"\x41\2\x10"


class Merged(merge.Merge):
    """A merge that can give functions of the module to the driver's."""

    def table(self) -> tuple[bytes, bytes]:
        """Keep the module's table: the driver calls by no pointer."""
        return self.base.sections[merge.TABLE], self.base.sections[merge.ELEMENT]

    def calling(self, name: str, arguments: int) -> bytes:
        """Give a body that calls a function of the driver with all its arguments."""
        reader = merge.Reader(self.driver.sections[merge.EXPORT])
        for _ in range(reader.number()):
            known, kind, at = reader.text(), reader.number(), reader.number()
            if kind == 0 and known == name:
                given = b"".join(b"\x20" + merge.number(argument) for argument in range(arguments))
                return b"\0" + given + b"\x10" + merge.number(self.function(at)) + b"\x0b"
        raise merge.MergeError(f"the driver has no function {name}")


def build(build: Build) -> Path:
    """Make the module."""
    package = PACKAGE.fetched(build)
    build.compiler_path = build.compiler().path
    build.licences |= {
        "ruby.wasm.txt": (package / "dist" / "LICENSE").read_text(encoding="utf-8"),
        "notice.txt": (package / "dist" / "NOTICE").read_text(encoding="utf-8"),
    }
    with build.steps.step("driver, merge"):
        linked(build, package / "dist" / "ruby.debug+stdlib.wasm")
    return started(build)


def started(build: Build) -> Path:
    """Start it, by wizer, with folders for those of later runs."""
    module, boot, empty = build.work / "started.wasm", build.work / "boot", build.work / "empty"
    shutil.copytree(build.folder / "boot", boot)
    empty.mkdir()
    wasmtime = build.packages() / "wasmtime_cli" / "wasmtime"
    wasmtime.chmod(0o755)
    folders = [word for at in range(ROOM - 1) for word in ("--dir", f"{empty}::/__{at}")]
    with build.steps.step("start Ruby (20 s)"):
        build.steps.run([
            wasmtime, "wizer", "-C", "cache=n", "-O", "opt-level=0", "-S", "cli=y", "-W", "unknown-imports-trap=y",
            "-W", "max-wasm-stack=8388608", "-W", "async-stack-size=16777216", "-W", "exceptions=y",
            "--dir", f"{boot}::/__boot", *folders, "--init-func", "rf_init", "--rename-func", "_start=rf_start",
            "--output", module, build.work / "linked.wasm",
        ])  # fmt: skip
    return module


def linked(build: Build, interpreter: Path) -> None:
    """Write `linked.wasm`: the interpreter with the driver."""
    try:
        base = merge.Module.of(interpreter.read_bytes())
        known = {name: merge.leading(base.body(of), pattern) for name, (of, pattern) in {
            "PREOPENS": PREOPENS, "SIGNAL_COUNTS": SIGNALS, "SIGNALS_WAITING": SIGNALS_WAITING, "CONTEXT": CONTEXT,
            "ACTIVE_JUMP": ACTIVE_JUMP, "SCAN": SCAN, "LONG": LONG,
        }.items()}  # fmt: skip
        # The first signal is number 1.
        known["SIGNAL_COUNTS"] -= 4
        known["SCAN"] -= 4
        known |= {"UNWOUND": base.memory_end + DRIVER_BYTES, "UNWOUND_BYTES": UNWOUND_BYTES}
        build.run([
            "wasi-cc", "-O2", "-Wall", "-Werror", "-mbulk-memory", f"-I{PACKS / 'components'}",
            *(f"-D{name}={at}u" for name, at in known.items()),
            "-c", build.folder / "driver.c", "-o", "driver.o",
        ])  # fmt: skip
        build.run([
            "wasi-cc", "-nostdlib", "-mexec-model=reactor", "driver.o", "-Wl,--no-entry",
            "-Wl,--import-memory", "-Wl,--allow-undefined", "-Wl,--emit-relocs", "-Wl,-z,stack-size=16",
            f"-Wl,--global-base={base.memory_end}", f"-Wl,--table-base={base.table_end}", "-o", "driver.wasm",
        ])  # fmt: skip
        driver = merge.Module.of((build.work / "driver.wasm").read_bytes())
        if driver.pages * merge.PAGE_BYTES > known["UNWOUND"]:
            raise merge.MergeError("the driver's data are larger than they may be")
        driver.pages = (known["UNWOUND"] + 3 * UNWOUND_BYTES) // merge.PAGE_BYTES
        count = sum(merge.Reader(module.sections[merge.DATA]).number() for module in (base, driver))
        base.sections[DATA_COUNT] = merge.number(count)
        depth.counted(base, known["CONTEXT"])
        both = Merged(base, driver)
        bodies = BODIES | {name: both.calling(*called) for name, called in INSTEAD.items()} | changed(both, known)
        unused = dict.fromkeys(range(FOREIGN), OURS[5])
        (build.work / "linked.wasm").write_bytes(both.write(unused | OURS, bodies))
    except merge.MergeError as error:
        raise Failure(
            "the interpreter and the driver do not fit", str(error), "pin the version they were written for"
        ) from error


def changed(both: Merged, known: dict[str, int]) -> dict[str, bytes]:
    """Give bodies with a change: nothing is thrown to the host, and what runs at exit can be called."""
    bodies = {}
    for name in THROWING:
        body = both.base.body(name)
        if body.count(THROW) != THROWS:
            raise merge.MergeError(f"{name} has {body.count(THROW)} times `call 0`, and not {THROWS}")
        bodies[name] = body.replace(THROW, b"\0\0\0")
    forget = FORGET + merge.number(both.names["rb_set_errinfo"])
    end = b"\x41" + merge.signed(known["CONTEXT"]) + b"\x28\2\0\x10" + merge.number(both.names["rb_ec_teardown"])
    body = bodies["rb_abi_guest_rb_clear_errinfo"]
    if body.count(forget) != 1:
        raise merge.MergeError(f"rb_abi_guest_rb_clear_errinfo has {body.count(forget)} times `rb_set_errinfo(nil)`")
    bodies["rb_abi_guest_rb_clear_errinfo"] = body.replace(forget, end)
    bodies["__nl_langinfo_l"] = replaced(both, "__nl_langinfo_l", [(IF_LOCALE, ALWAYS)])
    return bodies | unwinding(both, known)


def unwinding(both: Merged, known: dict[str, int]) -> dict[str, bytes]:
    """Give bodies that unwind a stack to where there is room."""
    scanned, jumped, kept, end = (b"\x41" + merge.signed(known["UNWOUND"] + at * UNWOUND_BYTES) for at in range(4))
    changes = {
        "_rb_wasm_setjmp_internal": [
            (b"\x20\0\x20\0\x41\x08\x6a\x36\2\0", b"\x20\0" + kept + b"\x36\2\0"),
            (b"\x20\0\x20\0\x41\x88\xc0\1\x6a\x36\2\4", b"\x20\0" + end + b"\x36\2\4"),
        ],
        "rb_wasm_scan_locals": moved(known["SCAN"], scanned, jumped),
        "_rb_wasm_longjmp": moved(known["LONG"], jumped, kept),
    }
    first = {"asyncify_stop_unwind": "rf_unwound", "__wasi_path_open": "rf_opened"}
    bodies = {name: preceded(both.base.body(name), both.calling(ours, 0)) for name, ours in first.items()}
    return bodies | {name: replaced(both, name, pairs) for name, pairs in changes.items()}


def replaced(both: Merged, name: str, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """Give a body with parts of it replaced, each of which it has once."""
    body = both.base.body(name)
    for theirs, ours in pairs:
        if body.count(theirs) != 1:
            raise merge.MergeError(f"{name} is not what it was")
        body = body.replace(theirs, ours)
    return body


def preceded(body: bytes, call: bytes) -> bytes:
    """Give a body that does that call first: behind its variables."""
    reader = merge.Reader(body)
    for _ in range(reader.number()):
        reader.number()
        reader.at += 1
    return body[: reader.at] + call[1:-1] + reader.rest()


def moved(buffer: int, begin: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    """Give what says where a buffer of theirs begins and ends, and what says it of ours."""
    told = []
    for at, place, ours in ((0, buffer + 8, begin), (4, buffer + 8 + THEIR_BYTES, end)):
        where = b"\x41" + merge.signed(buffer + at)
        told.append((where + b"\x41" + merge.signed(place) + b"\x36\2\0", where + ours + b"\x36\2\0"))
    return told
