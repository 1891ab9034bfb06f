;; Keeps every exception it throws, in a list: they live in the collected heap as well.
(module
  (tag $t (param i64 i64 i64 i64))
  (type $cell (struct (field exnref) (field (ref null $cell))))
  (func (export "_start") (local $list (ref null $cell))
    (loop $l
      (local.set $list (struct.new $cell
        (block $h (result exnref)
          (try_table (catch_all_ref $h)
            (throw $t (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))
          unreachable)
        (local.get $list)))
      (br $l))))
