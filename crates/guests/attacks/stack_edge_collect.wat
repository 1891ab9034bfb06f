;; Allocates at every depth of a recursion down to the end of the stack, which every collection walks as a whole.
(module
  (type $bytes (array (mut i8)))
  (func $down (drop (array.new_default $bytes (i32.const 4096))) (call $down))
  (func (export "_start") (call $down)))
