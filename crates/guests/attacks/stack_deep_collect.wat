;; Allocates for ever below a recursion of 4000 steps, all of which every collection walks.
(module
  (type $bytes (array (mut i8)))
  (func $down (param $left i32)
    (if (local.get $left) (then (call $down (i32.sub (local.get $left) (i32.const 1)))))
    (loop $again (drop (array.new_default $bytes (i32.const 4096))) (br $again)))
  (func (export "_start") (call $down (i32.const 4000))))
