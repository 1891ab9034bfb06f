;; SHOUT: a language of one statement. A program is a text, and running it prints that in capitals.
;;
;; Its interpreter is what a pack has to be at least: a command of WASI 0.1 that knows `-c TEXT`, takes a script's text
;; from its host, and reads standard input otherwise. Guest ABI: docs/reference/guest-abi.md.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (import "ringfence" "host_call" (func $host_call (param i32 i32 i32 i32) (result i64)))
  (memory (export "memory") 16)
  ;; 0: a message to the host. 16: one buffer of a stream, and how much was moved. 64: counts of the arguments.
  ;; 1024: addresses of the arguments. 65536: the arguments. 524288: what is read, 64 KiB at a time.
  (data (i32.const 0) "S")
  (global $source i32 (i32.const 524288))
  (global $room i32 (i32.const 65536))

  (func (export "rf_abi") (result i32) (i32.const 1))

  (func (export "_start") (local $length i32)
    (drop (call $args_sizes_get (i32.const 64) (i32.const 68)))
    (if (i32.or (i32.gt_u (i32.load (i32.const 64)) (i32.const 1000))
                (i32.gt_u (i32.load (i32.const 68)) (i32.const 400000)))
      (then (call $proc_exit (i32.const 2))))
    (drop (call $args_get (i32.const 1024) (i32.const 65536)))
    ;; shout -c TEXT
    (if (i32.gt_u (i32.load (i32.const 64)) (i32.const 2))
      (then (if (i32.eq (i32.load16_u (i32.load (i32.const 1028))) (i32.const 0x632d)) ;; "-c"
        (then
          (call $shout (i32.load (i32.const 1032)) (call $length_of (i32.load (i32.const 1032))))
          (call $proc_exit (i32.const 0))))))
    ;; shout SCRIPT: the host has its text, or refuses
    (local.set $length (i32.wrap_i64
      (call $host_call (i32.const 0) (i32.const 1) (global.get $source) (global.get $room))))
    (if (i32.ge_s (local.get $length) (i32.const 0))
      (then
        (if (i32.gt_u (local.get $length) (global.get $room)) (then (call $proc_exit (i32.const 2))))
        (call $shout (global.get $source) (local.get $length))
        (call $proc_exit (i32.const 0))))
    ;; shout -
    (loop $more
      (i32.store (i32.const 16) (global.get $source))
      (i32.store (i32.const 20) (global.get $room))
      (drop (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24)))
      (call $shout (global.get $source) (i32.load (i32.const 24)))
      (br_if $more (i32.load (i32.const 24)))))

  (func $length_of (param $text i32) (result i32) (local $at i32)
    (local.set $at (local.get $text))
    (block $end (loop $next
      (br_if $end (i32.eqz (i32.load8_u (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (i32.sub (local.get $at) (local.get $text)))

  (func $shout (param $text i32) (param $length i32) (local $at i32) (local $byte i32)
    (block $end (loop $next
      (br_if $end (i32.ge_u (local.get $at) (local.get $length)))
      (local.set $byte (i32.load8_u (i32.add (local.get $text) (local.get $at))))
      (if (i32.le_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 25))
        (then (i32.store8 (i32.add (local.get $text) (local.get $at)) (i32.sub (local.get $byte) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
    (i32.store (i32.const 16) (local.get $text))
    (i32.store (i32.const 20) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))))
