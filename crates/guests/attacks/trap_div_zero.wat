;; Traps on purpose: div_zero.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (drop (i32.div_u (i32.const 1) (i32.const 0)))))
