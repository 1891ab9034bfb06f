"""Components written call by call: one core module that is handed some of WASI 0.2, and does as it likes with it."""

from __future__ import annotations

# What a component may import here, in the order in which they need each other.
WORLD = """
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))
    (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer $world $pollable (type $p0)) (export "pollable" (type $p (eq $p0)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (alias outer $world $error-type (type $e0)) (export "error" (type $e (eq $e0)))
    (alias outer $world $pollable (type $p0)) (export "pollable" (type $p (eq $p0)))
    (type $s0 (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $s (eq $s0)))
    (export "input-stream" (type $i (sub resource)))
    (export "output-stream" (type $o (sub resource)))
    (export "[method]input-stream.read"
      (func (param "self" (borrow $i)) (param "len" u64) (result (result (list u8) (error $s)))))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $i)) (param "len" u64) (result (result (list u8) (error $s)))))
    (export "[method]input-stream.blocking-skip"
      (func (param "self" (borrow $i)) (param "len" u64) (result (result u64 (error $s)))))
    (export "[method]output-stream.subscribe" (func (param "self" (borrow $o)) (result (own $p))))
    (export "[method]output-stream.check-write" (func (param "self" (borrow $o)) (result (result u64 (error $s)))))
    (export "[method]output-stream.write"
      (func (param "self" (borrow $o)) (param "contents" (list u8)) (result (result (error $s)))))
    (export "[method]output-stream.write-zeroes"
      (func (param "self" (borrow $o)) (param "len" u64) (result (result (error $s)))))
    (export "[method]output-stream.blocking-splice"
      (func (param "self" (borrow $o)) (param "src" (borrow $i)) (param "len" u64)
        (result (result u64 (error $s)))))))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer $world $input (type $i0)) (export "input-stream" (type $i (eq $i0)))
    (export "get-stdin" (func (result (own $i))))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer $world $output (type $o0)) (export "output-stream" (type $o (eq $o0)))
    (export "get-stdout" (func (result (own $o))))))
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "initial-cwd" (func (result (option string))))))
  (import "wasi:random/random@0.2.0" (instance $random
    (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
"""

# Each function by its short name: the instance and the name it has there, and its parameters in the core module.
FUNCTIONS = {
    "block": ("poll", "[method]pollable.block", "i32", ""),
    "poll": ("poll", "poll", "i32 i32 i32", ""),
    "subscribe-duration": ("clock", "subscribe-duration", "i64", "i32"),
    "read": ("streams", "[method]input-stream.read", "i32 i64 i32", ""),
    "blocking-read": ("streams", "[method]input-stream.blocking-read", "i32 i64 i32", ""),
    "blocking-skip": ("streams", "[method]input-stream.blocking-skip", "i32 i64 i32", ""),
    "subscribe": ("streams", "[method]output-stream.subscribe", "i32", "i32"),
    "check-write": ("streams", "[method]output-stream.check-write", "i32 i32", ""),
    "write": ("streams", "[method]output-stream.write", "i32 i32 i32 i32", ""),
    "write-zeroes": ("streams", "[method]output-stream.write-zeroes", "i32 i64 i32", ""),
    "blocking-splice": ("streams", "[method]output-stream.blocking-splice", "i32 i32 i64 i32", ""),
    "get-stdin": ("stdin", "get-stdin", "", "i32"),
    "get-stdout": ("stdout", "get-stdout", "", "i32"),
    "get-environment": ("environment", "get-environment", "i32", ""),
    "get-arguments": ("environment", "get-arguments", "i32", ""),
    "initial-cwd": ("environment", "initial-cwd", "i32", ""),
    "random": ("random", "get-random-bytes", "i64 i32", ""),
}
DROPS = {"drop-input": "input", "drop-output": "output", "drop-pollable": "pollable"}

# Gives out memory from 64 KiB on, and starts again at the end.
HONEST = """
  (local $at i32)
  (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
  (if (i32.gt_u (i32.add (local.get $at) (local.get 3)) (i32.const 4128768)) (then (local.set $at (i32.const 65536))))
  (global.set $next (i32.add (local.get $at) (local.get 3)))
  (local.get $at)
"""


def component(body: str, *, realloc: str = HONEST, pages: int = 64) -> bytes:
    """Write a component whose `run` does this, with an allocator of its own."""
    lowers = "\n".join(
        f'(core func ${short} (canon lower (func ${instance} "{name}") '
        f'(memory $libc "memory") (realloc (func $libc "realloc"))))'
        for short, (instance, name, _, _) in FUNCTIONS.items()
    )
    drops = "\n".join(f"(core func ${short} (canon resource.drop ${kind}))" for short, kind in DROPS.items())
    wanted = "\n".join(
        f'(import "" "{short}" (func ${short} (param {given}) (result {result})))'
        for short, (_, _, given, result) in FUNCTIONS.items()
    )
    wanted += "\n".join(f'(import "" "{short}" (func ${short} (param i32)))' for short in DROPS)
    handed = "\n".join(f'(export "{short}" (func ${short}))' for short in [*FUNCTIONS, *DROPS])
    return f"""
    (component $world
      {WORLD}
      (core module $libc
        (memory (export "memory") {pages})
        (global $next (mut i32) (i32.const 65536))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
      (core instance $libc (instantiate $libc))
      {lowers}
      {drops}
      (core module $m
        {wanted}
        (import "libc" "memory" (memory {pages}))
        (func (export "run") (result i32) (local $out i32) (local $in i32) (local $n i32)
          {body}
          (i32.const 0)))
      (core instance $i (instantiate $m
        (with "" (instance {handed})) (with "libc" (instance $libc))))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $it (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $it)))
    """.encode()
