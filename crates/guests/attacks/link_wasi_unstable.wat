;; Imports the old wasi_unstable namespace.
(module
  (import "wasi_unstable" "proc_exit" (func $x (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (call $x (i32.const 0))))
