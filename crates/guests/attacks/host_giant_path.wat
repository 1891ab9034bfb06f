;; A path of 2 GiB, one of 60 KiB, and one that ends outside memory.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink" (func $link (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $try (param $at i32) (param $length i32)
    (if (i32.eqz (call $open (i32.const 3) (i32.const 1) (local.get $at) (local.get $length)
          (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 8)))
      (then (call $exit (i32.const 101))))
    (if (i32.eqz (call $link (local.get $at) (local.get $length) (i32.const 3) (local.get $at) (local.get $length)))
      (then (call $exit (i32.const 102)))))
  (func (export "_start")
    (memory.fill (i32.const 16) (i32.const 97) (i32.const 61440))
    (call $try (i32.const 16) (i32.const 0x7fffffff))
    (call $try (i32.const 16) (i32.const 61440))
    (call $try (i32.const 65535) (i32.const 16))
    (call $try (i32.const -1) (i32.const -1))))
