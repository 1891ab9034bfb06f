;; One array of 2 GiB from one instruction.
(module
  (type $a (array (mut i64)))
  (func (export "_start") (drop (array.new_default $a (i32.const 268435455)))))
