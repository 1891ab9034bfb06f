;; Traps while being instantiated.
(module (func $boom unreachable) (start $boom) (func (export "_start")))
