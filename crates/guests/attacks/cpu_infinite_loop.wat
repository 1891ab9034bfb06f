;; Spins forever in _start.
(module
  (memory (export "memory") 1)
  (func $main (export "_start")
    (loop $l (br $l))))
