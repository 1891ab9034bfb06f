;; Allocates at every depth of a recursion down to the end of the stack, which each collection walks as a whole. So
;; little at a time that the end is reached long before any deadline.
(module
  (type $bytes (array (mut i8)))
  (func $down (drop (array.new_default $bytes (i32.const 64))) (call $down))
  (func (export "_start") (call $down)))
