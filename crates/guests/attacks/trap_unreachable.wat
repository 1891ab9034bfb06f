;; Traps on purpose: unreachable.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (unreachable)))
