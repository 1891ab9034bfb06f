;; The same with a table, a hundred elements at a time until there are no more, and then on.
(module
  (table $t 1 externref)
  (func (export "_start") (loop $l (drop (table.grow $t (ref.null extern) (i32.const 1000000))) (br $l))))
