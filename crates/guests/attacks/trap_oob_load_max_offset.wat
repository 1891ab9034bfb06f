;; Traps on purpose: oob_load_max_offset.
(module
  (memory (export "memory") 1)
  (table 1 funcref)
  (func $main (export "_start")
    (drop (i64.load offset=0xffffffff (i32.const -1)))))
