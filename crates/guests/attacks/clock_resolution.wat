;; Measures the finest visible clock step (information for the Spectre threat model).
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
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
  (func $main (export "_start") (local $i i32) (local $a i64) (local $b i64) (local $min i64)
    (local.set $min (i64.const 1000000000))
    (loop $l
      (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 512)))
      (local.set $a (i64.load (i32.const 512)))
      (drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 512)))
      (local.set $b (i64.sub (i64.load (i32.const 512)) (local.get $a)))
      (if
        (i32.and (i64.gt_u (local.get $b) (i64.const 0)) (i64.lt_u (local.get $b) (local.get $min)))
        (then (local.set $min (local.get $b))))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
    (call $report (i32.const 1) (i32.wrap_i64 (local.get $min)))))
