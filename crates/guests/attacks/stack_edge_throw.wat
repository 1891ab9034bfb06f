;; Catches at every depth, and throws where the stack ends: unwinding needs stack too. The trap itself is not caught.
(module
  (tag $t)
  (func $down
    (block $h (try_table (catch_all $h) (call $down)))
    (throw $t))
  (func (export "_start") (call $down)))
