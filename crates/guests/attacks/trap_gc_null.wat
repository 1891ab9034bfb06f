;; Reads a field of nothing.
(module
  (type $s (struct (field i32)))
  (func (export "_start") (drop (struct.get $s 0 (ref.null $s)))))
