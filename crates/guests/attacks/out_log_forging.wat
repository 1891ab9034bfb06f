;; Fake log records, CR overwrite, NUL and JSON injection in output lines.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data
    (i32.const 1024)
    "hello\0d\0a2026-11-21T00:00:00Z INFO audit capability granted net=* module=evil\0a{\22level\22:\22info\22,\22event\22:\22grant\22,\22cap\22:\22fs:/\22}\0a\22, \22outcome\22: \22allowed\22}\0a\00\00end\0a")
  (func $puts (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $main (export "_start")
    (call $puts (i32.const 1024) (i32.const 153))))
