;; Imports wasi_snapshot_preview1.fd_exec.
(module
  (import "wasi_snapshot_preview1" "fd_exec" (func $w (result i32)))
  (memory (export "memory") 1)
  (func (export "_start") (drop (call $w))))
