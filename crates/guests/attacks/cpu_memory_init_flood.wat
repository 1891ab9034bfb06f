;; memory.init of a 64 KiB segment and memory.copy backwards over itself, for ever.
(module
  (memory 512)
  (data $d "0123456789abcdef")
  (func (export "_start")
    (loop $l
      (memory.init $d (i32.const 0) (i32.const 0) (i32.const 16))
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 33554431))
      (br $l))))
