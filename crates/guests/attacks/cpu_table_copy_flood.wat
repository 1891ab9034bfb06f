;; table.copy and table.init over a million elements for ever.
(module
  (table $a 1000000 funcref) (table $b 1000000 funcref)
  (func $f)
  (elem $e func $f $f $f $f)
  (func (export "_start")
    (loop $l
      (table.copy $a $b (i32.const 0) (i32.const 0) (i32.const 1000000))
      (table.init $a $e (i32.const 999996) (i32.const 0) (i32.const 4))
      (br $l))))
