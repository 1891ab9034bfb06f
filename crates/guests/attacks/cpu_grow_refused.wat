;; Asks for memory that it never gets, for ever: a refusal costs the host, and must not cost the deadline.
(module
  (memory (export "memory") 1)
  (func (export "_start") (loop $l (drop (memory.grow (i32.const 65535))) (br $l))))
