;; One euro sign written in three separate one-byte writes.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 1024) "\e2\82\ac")
  (func $puts (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $main (export "_start")
    (call $puts (i32.const 1024) (i32.const 1))
    (call $puts (i32.const 1025) (i32.const 1))
    (call $puts (i32.const 1026) (i32.const 1))))
