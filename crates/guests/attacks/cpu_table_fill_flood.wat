;; Table.fill over a 1M-element table forever.
(module
  (memory (export "memory") 1)
  (table $t 1 1000000 funcref)
  (func (export "_start")
    (drop (table.grow $t (ref.null func) (i32.const 900000)))
    (loop $l (table.fill $t (i32.const 0) (ref.null func) (i32.const 900000)) (br $l))))
