;; memory.atomic.wait32 without a timeout on a shared memory: the threads proposal is off, so it is no program.
(module
  (memory (export "memory") 1 1 shared)
  (func (export "_start") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))
