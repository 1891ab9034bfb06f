;; fd_read and fd_write with a vector of one buffer of 4 GiB, and one of 4 billion buffers.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\40\00\00\00\ff\ff\ff\ff")
  (func (export "_start")
    (if (i32.eqz (call $read (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 32)))
      (then (call $exit (i32.const 101))))
    (if (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
      (then (call $exit (i32.const 102))))
    (if (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const -1) (i32.const 32)))
      (then (call $exit (i32.const 103))))))
