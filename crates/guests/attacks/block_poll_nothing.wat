;; poll_oneoff for no subscription at all would wait for ever: it is an error number.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.eqz (call $poll (i32.const 0) (i32.const 512) (i32.const 0) (i32.const 640)))
      (then (call $exit (i32.const 101))))))
