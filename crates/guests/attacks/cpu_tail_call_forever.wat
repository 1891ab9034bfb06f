;; Endless return_call chain (tail-call proposal).
(module
  (memory (export "memory") 1)
  (func $a (return_call $b))
  (func $b (return_call $a))
  (func (export "_start") (call $a)))
