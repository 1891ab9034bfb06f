;; Stands beside the engine, in the same memory, for what it has no interface for: to run a program that was not there
;; when the snapshot was made, to its end. And between the engine's own words on stderr and WASI, to know of them:
;; only the engine itself writes by `fd_write`, programs write by `pass-write`.
(module
  (import "engine" "memory" (memory 0))
  ;; (engine, source, path) -> whether it was loaded and did not throw. Comes back when the event loop is at its end.
  (import "engine" "eval_toplevel" (func $eval_toplevel (param i32 i32 i32) (result i32)))
  ;; Prints the exception that is pending, if there is one, and forgets it.
  (import "engine" "check_init" (func $tell_exception (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "engine" "componentize.wizer" (func $initialize))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "ringfence:language/host@1.0.0" "exit" (func $exit (param i32)))

  ;; 0 nothing runs yet, 1 the program runs, and what the engine says is kept, 2 it is over, and nobody wants to hear it.
  (global $stage (mut i32) (i32.const 0))
  (global $kept (mut i32) (i32.const 0))
  (global $room (mut i32) (i32.const 0))
  ;; What is said and given back when the program is over.
  (global $last (mut i32) (i32.const 0))
  (global $last_bytes (mut i32) (i32.const 0))
  (global $code (mut i32) (i32.const 0))

  ;; Until the snapshot is taken, random numbers and clocks are made up, so that it is the same on every machine.
  (global $taken (mut i32) (i32.const 0))
  (global $made_up (mut i64) (i64.const 1))

  (func (export "prepare")
    (call $initialize)
    (global.set $taken (i32.const 1)))

  (func (export "random_get") (param $at i32) (param $bytes i32) (result i32)
    (if (global.get $taken) (then (return (call $random_get (local.get $at) (local.get $bytes)))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $bytes)))
        (global.set $made_up
          (i64.add (i64.mul (global.get $made_up) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))
        (i32.store8 (local.get $at) (i32.wrap_i64 (i64.shr_u (global.get $made_up) (i64.const 56))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $bytes (i32.sub (local.get $bytes) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  (global $ticks (mut i64) (i64.const 0))
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $out i32) (result i32)
    (if (global.get $taken)
      (then (return (call $clock_time_get (local.get $clock) (local.get $precision) (local.get $out)))))
    (global.set $ticks (i64.add (global.get $ticks) (i64.const 1000)))
    (i64.store (local.get $out)
      (i64.add (global.get $ticks) (select (i64.const 0) (i64.const 1781000000000000000) (local.get $clock))))
    (i32.const 0))

  ;; What the engine says is kept at `at`. -> whether it went well.
  (func (export "evaluate") (param $engine i32) (param $source i32) (param $path i32) (param $at i32) (param $most i32)
      (result i32)
    (local $well i32)
    (global.set $kept (local.get $at))
    (global.set $room (local.get $most))
    (global.set $stage (i32.const 1))
    (local.set $well
      (call $eval_toplevel (i32.load (local.get $engine)) (local.get $source) (local.get $path)))
    (drop (call $tell_exception))
    (local.get $well))

  ;; How many bytes more could have been kept.
  (func (export "room") (result i32) (global.get $room))

  ;; From now on the end of the event loop, which the engine takes for an error, is that of the program.
  (func (export "settle") (param $with i32) (param $said i32) (param $said_bytes i32)
    (global.set $stage (i32.const 2))
    (global.set $code (local.get $with))
    (global.set $last (local.get $said))
    (global.set $last_bytes (local.get $said_bytes)))

  (func (export "pass-write") (param $fd i32) (param $pieces i32) (param $count i32) (param $out i32) (result i32)
    (call $fd_write (local.get $fd) (local.get $pieces) (local.get $count) (local.get $out)))

  (func (export "pass-read") (param $fd i32) (param $pieces i32) (param $count i32) (param $out i32) (result i32)
    (call $fd_read (local.get $fd) (local.get $pieces) (local.get $count) (local.get $out)))

  (func (export "fd_write") (param $fd i32) (param $pieces i32) (param $count i32) (param $out i32) (result i32)
    (local $bytes i32) (local $size i32)
    (if (i32.or (i32.eqz (global.get $stage)) (i32.ne (local.get $fd) (i32.const 2)))
      (then
        (return (call $fd_write (local.get $fd) (local.get $pieces) (local.get $count) (local.get $out)))))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $size (i32.load offset=4 (local.get $pieces)))
        (local.set $bytes (i32.add (local.get $bytes) (local.get $size)))
        (if (i32.and (i32.eq (global.get $stage) (i32.const 1)) (i32.le_u (local.get $size) (global.get $room)))
          (then
            (memory.copy (global.get $kept) (i32.load (local.get $pieces)) (local.get $size))
            (global.set $kept (i32.add (global.get $kept) (local.get $size)))
            (global.set $room (i32.sub (global.get $room) (local.get $size)))))
        (local.set $pieces (i32.add (local.get $pieces) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $next)))
    (i32.store (local.get $out) (local.get $bytes))
    (i32.const 0))

  ;; When the program is over, it is imported once more, for what it threw: then its file is taken to be there, and no
  ;; file is read.
  (func (export "path_filestat_get") (param $fd i32) (param $follow i32) (param $path i32) (param $bytes i32)
      (param $out i32) (result i32)
    (if (i32.eq (global.get $stage) (i32.const 2))
      (then
        (memory.fill (local.get $out) (i32.const 0) (i32.const 64))
        (i32.store8 offset=16 (local.get $out) (i32.const 4))  ;; a regular file
        (return (i32.const 0))))
    (call $path_filestat_get (local.get $fd) (local.get $follow) (local.get $path) (local.get $bytes) (local.get $out)))

  (func (export "path_open") (param $fd i32) (param $follow i32) (param $path i32) (param $bytes i32) (param $how i32)
      (param $rights i64) (param $inherited i64) (param $flags i32) (param $out i32) (result i32)
    (if (i32.eq (global.get $stage) (i32.const 2)) (then (return (i32.const 44))))  ;; ENOENT
    (call $path_open (local.get $fd) (local.get $follow) (local.get $path) (local.get $bytes) (local.get $how)
      (local.get $rights) (local.get $inherited) (local.get $flags) (local.get $out)))

  (func (export "proc_exit") (param $with i32)
    (if (i32.eq (global.get $stage) (i32.const 2))
      (then
        ;; The engine is done with its memory: the beginning of it, where nothing lies, is free.
        (i32.store (i32.const 0) (global.get $last))
        (i32.store (i32.const 4) (global.get $last_bytes))
        (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $exit (global.get $code))))
    (call $proc_exit (local.get $with))
    (unreachable))
)
