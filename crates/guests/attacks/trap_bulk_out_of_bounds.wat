;; memory.fill that begins inside memory and ends far outside, with a length that wraps around.
(module (memory 1) (func (export "_start") (memory.fill (i32.const 65535) (i32.const 1) (i32.const -1))))
