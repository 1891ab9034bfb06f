;; poll_oneoff until an absolute time past every clock: the sum must not wrap around into now or panic.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const -1))
    (i32.store16 (i32.const 40) (i32.const 1))
    (loop $l
      (drop (call $poll (i32.const 0) (i32.const 512) (i32.const 1) (i32.const 640)))
      (i32.store16 (i32.const 40) (i32.xor (i32.load16_u (i32.const 40)) (i32.const 1)))
      (br $l))))
