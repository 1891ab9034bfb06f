;; array.fill and array.copy over 32 MiB for ever: bulk operations on the collected heap, which no epoch interrupts.
(module
  (type $bytes (array (mut i8)))
  (func (export "_start") (local $a (ref $bytes))
    (local.set $a (array.new_default $bytes (i32.const 33554432)))
    (loop $l
      (array.fill $bytes (local.get $a) (i32.const 0) (i32.const 7) (i32.const 33554432))
      (array.copy $bytes $bytes (local.get $a) (i32.const 1) (local.get $a) (i32.const 0) (i32.const 33554431))
      (br $l))))
