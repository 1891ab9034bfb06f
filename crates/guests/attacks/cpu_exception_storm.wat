;; Throw/catch in an endless loop (exception-handling proposal).
(module
  (memory (export "memory") 1)
  (tag $t)
  (func $thrower (throw $t))
  (func (export "_start") (loop $l (block $h (try_table (catch $t $h) (call $thrower))) (br $l))))
