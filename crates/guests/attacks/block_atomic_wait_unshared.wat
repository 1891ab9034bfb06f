;; memory.atomic.wait64 on a memory that is not shared: an atomic instruction all the same.
(module
  (memory (export "memory") 1)
  (func (export "_start") (drop (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const -1)))))
