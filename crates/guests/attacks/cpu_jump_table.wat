;; Jumps for ever through a table, to the head of one of three loops: a back edge that is not a plain branch.
(module
  (func (export "_start") (local $n i32)
    (loop $a (loop $b (loop $c
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_table $a $b $c $a (i32.rem_u (local.get $n) (i32.const 4))))))))
