;; A long list that is kept, and rubbish for ever: every collection walks the whole list.
(module
  (type $cell (struct (field (ref null $cell))))
  (global $kept (mut (ref null $cell)) (ref.null $cell))
  (func (export "_start") (local $n i32)
    (loop $keep
      (global.set $kept (struct.new $cell (global.get $kept)))
      (br_if $keep (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 400000))))
    (loop $l (drop (struct.new $cell (ref.null $cell))) (br $l))))
