;; Proc_raise of every signal number 0..31.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_raise" (func $proc_raise (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 128) "step=") (data (i32.const 136) " errno=") (data (i32.const 144) "\0a")
  (func $puts (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $num (param $v i32) (local $p i32)
    (local.set $p (i32.const 96))
    (loop $l
      (local.set $p (i32.sub (local.get $p) (i32.const 1)))
      (i32.store8 (local.get $p) (i32.add (i32.const 48) (i32.rem_u (local.get $v) (i32.const 10))))
      (local.set $v (i32.div_u (local.get $v) (i32.const 10)))
      (br_if $l (local.get $v)))
    (call $puts (local.get $p) (i32.sub (i32.const 96) (local.get $p))))
  ;; Prints "step=S errno=E".
  (func $report (param $s i32) (param $e i32)
    (call $puts (i32.const 128) (i32.const 5)) (call $num (local.get $s))
    (call $puts (i32.const 136) (i32.const 7)) (call $num (local.get $e))
    (call $puts (i32.const 144) (i32.const 1)))
  (func $main (export "_start") (local $i i32)
    (loop $l
      (call $report (local.get $i) (call $proc_raise (local.get $i)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 32))))))
