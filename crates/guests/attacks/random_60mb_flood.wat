;; Random_get of 60 MiB in an endless loop.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (memory (export "memory") 961)
  (func $main (export "_start")
    (loop $l (drop (call $random_get (i32.const 4096) (i32.const 62914560))) (br $l))))
