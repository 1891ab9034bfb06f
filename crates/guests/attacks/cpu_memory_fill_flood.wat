;; Memory.fill of 60 MiB over and over: long bulk operations between interruption points.
(module
  (memory (export "memory") 1)
  (func $main (export "_start")
    (drop (memory.grow (i32.const 960)))
    (loop $l (memory.fill (i32.const 0) (i32.const 7) (i32.const 62914560)) (br $l))))
