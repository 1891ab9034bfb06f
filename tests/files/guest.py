"""
Guests that do what a script says: one for WASI 0.1, one for WASI 0.2, both of the same loop.

A script is records, handed over as standard input. A record calls one function of the standard; its arguments are
numbers or slots, which hold the handles of earlier calls. What came of each call goes to standard output: the error,
the area that the host wrote to, and the bytes that it points at. So a test says what to do in either standard and
reads what that gave, and no program has to be built for it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from files.world import FUNCTIONS_02, WORLD, core_imports, drops, handed, lowered

# Where things lie in the guest: the area for answers, the slots, memory for the host to give, texts, what goes out.
AREA, AREA_BYTES = 0x200, 104
SLOTS = 0x400
BUFFER = 0x2_0000
SCRIPT = 0x10_0000
TEXTS = SCRIPT + 8
OUT = 0x40_0000
PAGES = 192

# Slots of our own: the root, and what an act needs only for itself.
ROOT, SCRATCH, FAILURE = 0, 1, 2
FIRST_SLOT = 3

# What a call answers whose slot is empty.
EMPTY = 0xFFFF_FFFF

RECORD = struct.Struct("<10I12Q")
ANSWER = struct.Struct(f"<I{AREA_BYTES}sI")

# Each function of WASI 0.1 with its parameters: i and I are numbers of 32 and 64 bits.
FUNCTIONS_01 = {
    "fd_close": "i",
    "fd_datasync": "i",
    "fd_fdstat_set_flags": "ii",
    "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi",
    "fd_pread": "iiiIi",
    "fd_pwrite": "iiiIi",
    "fd_read": "iiii",
    "fd_readdir": "iiiIi",
    "fd_seek": "iIii",
    "fd_sync": "i",
    "fd_write": "iiii",
    "path_create_directory": "iii",
    "path_filestat_get": "iiiii",
    "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii",
    "path_open": "iiiiiIIii",
    "path_readlink": "iiiiii",
    "path_remove_directory": "iii",
    "path_rename": "iiiiii",
    "path_symlink": "iiiii",
    "path_unlink_file": "iii",
}
WIDTHS = {"i": "i32", "I": "i64"}


class Slot(int):
    """A number of a slot, whose handle is meant."""


class Dump(NamedTuple):
    """
    Bytes that belong to an answer.

    Attributes:
        kind: 1 for as many bytes at `at` as the area begins by saying, 2 for what a pointer and a length say that
            lie in the area at `at`.
        at: where.
    """

    kind: int
    at: int


class Record(NamedTuple):
    """
    One call.

    Attributes:
        function: by its name in the standard.
        args: numbers and slots.
        keep: the slot that gets the handle it answers with.
        kept_at: where in the area that handle is; in the area of a failure for `FAILURE`.
        dump: bytes that belong to its answer.
        clears: the slot that is empty afterwards.
        again_at: it is made again as long as the byte at this place of the area is not 0; 0 for once.
    """

    function: str
    args: tuple[int, ...]
    keep: int | None = None
    kept_at: int = 0
    dump: Dump = Dump(0, 0)
    clears: int | None = None
    again_at: int = 0


class Answer(NamedTuple):
    """What came of one call."""

    error: int
    area: bytes
    dumped: bytes


def image(records: list[Record], functions: list[str], texts: bytes) -> bytes:
    """Write a script: its texts, which lie at `TEXTS`, then the records."""
    texts += bytes(-len(texts) % 8)
    packed = [struct.pack("<II", len(records), TEXTS + len(texts)), texts]
    for record in records:
        slots = sum(1 << place for place, arg in enumerate(record.args) if isinstance(arg, Slot))
        args = [*(arg & 0xFFFF_FFFF_FFFF_FFFF for arg in record.args), *[0] * (12 - len(record.args))]
        numbers = (
            functions.index(record.function),
            slots,
            0 if record.keep is None else record.keep + 1,
            record.kept_at,
            *record.dump,
            0 if record.clears is None else record.clears + 1,
            record.again_at,
            0,
            0,
        )
        packed.append(RECORD.pack(*numbers, *args))
    return b"".join(packed)


def answers(output: bytes) -> list[list[Answer]]:
    """Read what a guest wrote: for each record the answers to its calls."""
    found: list[list[Answer]] = []
    at = 0
    while at < len(output):
        (index,) = struct.unpack_from("<I", output, at)
        error, area, size = ANSWER.unpack_from(output, at + 4)
        at += 4 + ANSWER.size
        while len(found) <= index:
            found.append([])
        found[index].append(Answer(error, area, output[at : at + size]))
        at += size
    return found


def _load(place: int, kind: str) -> str:
    value = f"(call $arg (local.get $at) (i32.const {place}))"
    return value if kind == "I" else f"(i32.wrap_i64 {value})"


def loop(calls: list[str], error: str) -> str:
    """Write the functions that do a script; `calls` end in an error number, or leave it to `error`."""
    acts = "\n".join(
        f"(if (i32.eq (local.get $op) (i32.const {index})) (then {one}))" for index, one in enumerate(calls)
    )
    return f"""
    (global $out (mut i32) (i32.const {OUT}))
    (func $slot (param $n i32) (result i32)
      (i32.add (i32.const {SLOTS}) (i32.shl (local.get $n) (i32.const 2))))
    (func $arg (param $at i32) (param $n i32) (result i64)
      (local $value i64)
      (local.set $value
        (i64.load offset=40 (i32.add (local.get $at) (i32.shl (local.get $n) (i32.const 3)))))
      (if (result i64) (i32.and (i32.shr_u (i32.load offset=4 (local.get $at)) (local.get $n)) (i32.const 1))
        (then (i64.extend_i32_u (i32.load (call $slot (i32.wrap_i64 (local.get $value))))))
        (else (local.get $value))))
    (func $ready (param $at i32) (result i32)
      (local $n i32)
      (loop $next
        (if (i32.and (i32.shr_u (i32.load offset=4 (local.get $at)) (local.get $n)) (i32.const 1))
          (then (if (i64.eqz (call $arg (local.get $at) (local.get $n))) (then (return (i32.const 0))))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $next (i32.lt_u (local.get $n) (i32.const 12))))
      (i32.const 1))
    (func $do (param $at i32) (result i32)
      (local $op i32) (local $error i32)
      (local.set $op (i32.load (local.get $at)))
      {acts}
      {error})
    (func $once (param $at i32) (param $index i32) (result i32)
      (local $error i32) (local $from i32) (local $len i32) (local $keep i32)
      (memory.fill (i32.const {AREA}) (i32.const 0) (i32.const {AREA_BYTES}))
      (local.set $error (i32.const -1))
      (if (call $ready (local.get $at)) (then (local.set $error (call $do (local.get $at)))))
      ;; the handle it answers with
      (local.set $keep (i32.load offset=8 (local.get $at)))
      (if (local.get $keep) (then
        (i32.store (call $slot (i32.sub (local.get $keep) (i32.const 1)))
          (if (result i32)
            (select
              ;; a stream that failed has a reason, one that ended has none
              (i32.and (i32.eq (local.get $error) (i32.const 1)) (i32.eqz (i32.load8_u (i32.const {AREA + 4}))))
              (i32.eqz (local.get $error))
              (i32.eq (local.get $keep) (i32.const {FAILURE + 1})))
            (then (i32.load offset={AREA} (i32.load offset=12 (local.get $at)))) (else (i32.const 0))))))
      (if (i32.load offset=24 (local.get $at))
        (then (i32.store (call $slot (i32.sub (i32.load offset=24 (local.get $at)) (i32.const 1))) (i32.const 0))))
      ;; the bytes that belong to it
      (if (i32.eqz (local.get $error)) (then
        (if (i32.eq (i32.load offset=16 (local.get $at)) (i32.const 1)) (then
          (local.set $from (i32.load offset=20 (local.get $at)))
          (local.set $len (i32.load (i32.const {AREA})))))
        (if (i32.eq (i32.load offset=16 (local.get $at)) (i32.const 2)) (then
          (local.set $from (i32.load offset={AREA} (i32.load offset=20 (local.get $at))))
          (local.set $len (i32.load offset={AREA + 4} (i32.load offset=20 (local.get $at))))))))
      (i32.store (global.get $out) (local.get $index))
      (i32.store offset=4 (global.get $out) (local.get $error))
      (memory.copy (i32.add (global.get $out) (i32.const 8)) (i32.const {AREA}) (i32.const {AREA_BYTES}))
      (i32.store offset={8 + AREA_BYTES} (global.get $out) (local.get $len))
      (global.set $out (i32.add (global.get $out) (i32.const {12 + AREA_BYTES})))
      (memory.copy (global.get $out) (local.get $from) (local.get $len))
      (global.set $out (i32.add (global.get $out) (local.get $len)))
      (if (result i32)
        (i32.and (i32.eqz (local.get $error)) (i32.ne (i32.load offset=28 (local.get $at)) (i32.const 0)))
        (then (i32.load8_u offset={AREA} (i32.load offset=28 (local.get $at))))
        (else (i32.const 0))))
    (func $script
      (local $at i32) (local $index i32)
      (local.set $at (i32.load (i32.const {SCRIPT + 4})))
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $index) (i32.load (i32.const {SCRIPT}))))
          (loop $again (br_if $again (call $once (local.get $at) (local.get $index))))
          (local.set $at (i32.add (local.get $at) (i32.const {RECORD.size})))
          (local.set $index (i32.add (local.get $index) (i32.const 1)))
          (br $next))))
    """


def guest_01() -> bytes:
    """Write the guest for WASI 0.1."""
    imports = "\n".join(
        f'(import "wasi_snapshot_preview1" "{name}" '
        f"(func ${name} (param {' '.join(WIDTHS[kind] for kind in kinds)}) (result i32)))"
        for name, kinds in FUNCTIONS_01.items()
    )
    calls = [
        f"(local.set $error (call ${name} {' '.join(_load(place, kind) for place, kind in enumerate(kinds))}))"
        for name, kinds in FUNCTIONS_01.items()
    ]
    return f"""
    (module
      {imports}
      (memory (export "memory") {PAGES})
      {loop(calls, "(local.get $error)")}
      (func (export "_start")
        (local $at i32)
        (local.set $at (i32.const {SCRIPT}))
        (loop $read
          (i32.store (i32.const 0) (local.get $at))
          (i32.store (i32.const 4) (i32.const 65536))
          (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
          (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
          (br_if $read (i32.load (i32.const 8))))
        (i32.store (call $slot (i32.const {ROOT})) (i32.const 3))
        (call $script)
        (local.set $at (i32.const {OUT}))
        (loop $write
          (i32.store (i32.const 0) (local.get $at))
          (i32.store (i32.const 4) (i32.sub (global.get $out) (local.get $at)))
          (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
          (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
          (br_if $write (i32.lt_u (local.get $at) (global.get $out))))))
    """.encode()


def guest_02() -> bytes:
    """Write the guest for WASI 0.2."""
    calls = [
        f"(call ${name} {' '.join(_load(place, kind) for place, kind in enumerate(kinds))})"
        for name, kinds in FUNCTIONS_02.items()
    ]
    return f"""
    (component $world
      {WORLD}
      (core module $libc
        (memory (export "memory") {PAGES})
        (global (export "next") (mut i32) (i32.const {BUFFER}))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
          (local $at i32)
          (local.set $at (i32.and (i32.add (global.get 0) (i32.const 7)) (i32.const -8)))
          (global.set 0 (i32.add (local.get $at) (local.get 3)))
          (local.get $at)))
      (core instance $libc (instantiate $libc))
      {lowered()}
      {drops()}
      (core module $m
        {core_imports()}
        (import "libc" "memory" (memory {PAGES}))
        (import "libc" "next" (global $next (mut i32)))
        {loop(calls, f"(global.set $next (i32.const {BUFFER})) (i32.load8_u (i32.const {AREA}))")}
        (func (export "run") (result i32)
          (local $at i32) (local $stream i32) (local $len i32)
          (local.set $stream (call $get-stdin))
          (local.set $at (i32.const {SCRIPT}))
          (block $read
            (loop $next-piece
              (global.set $next (i32.const {BUFFER}))
              (call $blocking-read (local.get $stream) (i64.const 65536) (i32.const {AREA}))
              (br_if $read (i32.load8_u (i32.const {AREA})))
              (memory.copy (local.get $at) (i32.load (i32.const {AREA + 4})) (i32.load (i32.const {AREA + 8})))
              (local.set $at (i32.add (local.get $at) (i32.load (i32.const {AREA + 8}))))
              (br $next-piece)))
          (call $get-directories (i32.const {AREA}))
          (i32.store (call $slot (i32.const {ROOT})) (i32.load (i32.load (i32.const {AREA}))))
          (call $script)
          (local.set $stream (call $get-stdout))
          (local.set $at (i32.const {OUT}))
          (loop $write
            (local.set $len (i32.sub (global.get $out) (local.get $at)))
            (if (i32.gt_u (local.get $len) (i32.const 4096)) (then (local.set $len (i32.const 4096))))
            (call $blocking-write-and-flush
              (local.get $stream) (local.get $at) (local.get $len) (i32.const {AREA}))
            (if (i32.load8_u (i32.const {AREA})) (then unreachable))
            (local.set $at (i32.add (local.get $at) (local.get $len)))
            (br_if $write (i32.lt_u (local.get $at) (global.get $out))))
          (i32.const 0)))
      (core instance $i (instantiate $m
        (with "" (instance {handed()})) (with "libc" (instance $libc))))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $it (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $it)))
    """.encode()
