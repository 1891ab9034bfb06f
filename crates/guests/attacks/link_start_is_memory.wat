;; _start is a memory.
(module
  (memory (export "_start") 1))
