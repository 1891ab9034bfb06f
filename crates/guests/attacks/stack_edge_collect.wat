;; Allocates at every depth of a recursion that ends at the stack's end: the collector runs where the stack is gone.
(module
  (type $bytes (array (mut i8)))
  (func $down (drop (array.new_default $bytes (i32.const 4096))) (call $down))
  (func (export "_start") (call $down)))
