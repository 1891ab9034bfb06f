;; Traps on purpose: null_funcref.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (call_indirect (i32.const 0))))
