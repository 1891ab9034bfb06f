;; Calls the host at every depth of a recursion that ends at the stack's end: the host's own stack must still suffice.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "a/../b/../../../etc/passwd")
  (func $down
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 512)))
    (drop (call $open (i32.const 3) (i32.const 1) (i32.const 64) (i32.const 26)
      (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 512)))
    (call $down))
  (func (export "_start") (call $down)))
