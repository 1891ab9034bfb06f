;; No _start at all.
(module
  (memory (export "memory") 1)
  (func (export "other")))
