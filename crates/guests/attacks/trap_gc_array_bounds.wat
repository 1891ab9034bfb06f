;; An array of four billion elements, and then one read past the end of a small one.
(module
  (type $a (array (mut i64)))
  (func (export "_start") (drop (array.get $a (array.new_default $a (i32.const 4)) (i32.const -1)))))
