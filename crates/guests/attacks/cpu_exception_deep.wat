;; Throws from a thousand frames down, over and over: unwinding is host code that runs between two looks at the clock.
(module
  (tag $t)
  (func $down (param i32)
    (if (i32.eqz (local.get 0)) (then (throw $t)))
    (call $down (i32.sub (local.get 0) (i32.const 1))))
  (func (export "_start")
    (loop $l (block $h (try_table (catch $t $h) (call $down (i32.const 1000)))) (br $l))))
