;; Traps on purpose: oob_load.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (drop (i32.load (i32.const 0x7fffffff)))))
