;; Traps on purpose: bad_conversion.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (drop (i32.trunc_f64_s (f64.const nan)))))
