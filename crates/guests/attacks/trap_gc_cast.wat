;; Casts a number to a structure.
(module
  (type $s (struct (field i32)))
  (func (export "_start") (drop (ref.cast (ref $s) (ref.i31 (i32.const 7))))))
