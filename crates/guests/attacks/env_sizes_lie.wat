;; Arguments and variables written to the end of memory and past it.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (if (i32.eqz (call $args (i32.const 65535) (i32.const 65535))) (then (call $exit (i32.const 101))))
    (if (i32.eqz (call $args (i32.const -4) (i32.const 0))) (then (call $exit (i32.const 102))))
    (if (i32.eqz (call $environ (i32.const 0) (i32.const 65534))) (then (call $exit (i32.const 103))))
    (if (i32.eqz (call $sizes (i32.const 65533) (i32.const 0))) (then (call $exit (i32.const 104))))))
