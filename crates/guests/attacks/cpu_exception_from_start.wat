;; An exception storm while being instantiated: in the start section, before there is an entry point to stop.
(module
  (tag $t)
  (func $storm (loop $l (block $h (try_table (catch $t $h) (throw $t))) (br $l)))
  (start $storm)
  (func (export "_start")))
