;; Two functions that call each other through a table, by tail calls: no loop, no direct call, no growing stack.
(module
  (type $t (func (param i32)))
  (table funcref (elem $a $b))
  (func $a (type $t) (return_call_indirect (type $t) (i32.const 7) (i32.const 1)))
  (func $b (type $t) (return_call_indirect (type $t) (i32.const 7) (i32.const 0)))
  (func (export "_start") (call $a (i32.const 0))))
