;; A language of one letter a turn, on the guest ABI: enough to try every end that a turn can have.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "ringfence" "host_call" (func $call (param i32 i32 i32 i32) (result i64)))
  (import "ringfence" "host_take" (func $take (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; 256: the result. 512: the words of a deadline, 528: those of Ctrl-C. 768: what was interrupted, and its bits.
  (data (i32.const 512) "\00\03\00\00\01\00\00\00\04\03\00\00\02\00\00\00")
  (data (i32.const 528) "\00\03\00\00\02\00\00\00\04\03\00\00\04\00\00\00")
  (data (i32.const 1024) "\a3dtypeeErrorgmessagedtextitracebackitraceback")
  (data (i32.const 1088) "\a3dtypelTimeoutErrorgmessage`itraceback`")
  (data (i32.const 1152) "\a3dtypeqKeyboardInterruptgmessage`itraceback`")
  (data (i32.const 1216) "\a3dtypekMemoryErrorgmessage`itraceback`")
  (data (i32.const 1280) "hello\n")
  (data (i32.const 1344) "<object>")
  (global $turns (mut i32) (i32.const 0))
  (global $top (mut i32) (i32.const 65536))
  (func (export "_start"))
  (func (export "rf_abi") (result i32) (i32.const 1))
  (func (export "rf_alloc") (param $len i32) (result i32) (local $at i32)
    (local.set $at (global.get $top))
    (global.set $top (i32.add (global.get $top) (local.get $len)))
    (if (i32.gt_u (global.get $top) (i32.shl (memory.size) (i32.const 16)))
      (then (if (i32.eq (i32.const -1)
          (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $len) (i32.const 16)))))
        (then (global.set $top (local.get $at)) (return (i32.const 0))))))
    (local.get $at))
  (func (export "rf_free") (param $at i32) (global.set $top (local.get $at)))
  (func (export "rf_interrupt") (param $kind i32) (result i32)
    (i32.add (i32.const 512) (i32.shl (local.get $kind) (i32.const 4))))
  (func $say (param $status i32) (param $code i32) (param $at i32) (param $len i32) (result i32)
    (i64.store (i32.const 264) (i64.const 0))
    (i64.store (i32.const 272) (i64.const 0))
    (i32.store (i32.const 256) (local.get $status))
    (i32.store (i32.const 260) (local.get $code))
    (i32.store (i32.add (i32.const 264) (i32.shl (i32.eq (local.get $status) (i32.const 2)) (i32.const 3))) (local.get $at))
    (i32.store (i32.add (i32.const 268) (i32.shl (i32.eq (local.get $status) (i32.const 2)) (i32.const 3))) (local.get $len))
    (i32.const 256))
  ;; What was raised from outside, or nothing.
  (func $interrupted (result i32) (local $by i32)
    (local.set $by (i32.load (i32.const 768)))
    (i64.store (i32.const 768) (i64.const 0))
    (if (i32.eq (local.get $by) (i32.const 1)) (then (return (call $say (i32.const 2) (i32.const 0) (i32.const 1088) (i32.const 39)))))
    (if (i32.eq (local.get $by) (i32.const 2)) (then (return (call $say (i32.const 2) (i32.const 0) (i32.const 1152) (i32.const 44)))))
    (i32.const 0))
  (func $wait_for_interrupt (result i32) (local $what i32)
    (loop $on
      (local.set $what (call $interrupted))
      (br_if $on (i32.eqz (local.get $what))))
    (local.get $what))
  (func $print
    (i32.store (i32.const 2048) (i32.const 1280))
    (i32.store (i32.const 2052) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 2048) (i32.const 1) (i32.const 2056))))
  (func $sleep
    (memory.fill (i32.const 2112) (i32.const 0) (i32.const 48))
    (i32.store (i32.const 2128) (i32.const 1))
    (i64.store (i32.const 2136) (i64.const 100000000000))
    (drop (call $poll (i32.const 2112) (i32.const 2176) (i32.const 1) (i32.const 2240))))
  (func $down (param i32) (result i32) (i32.add (i32.const 1) (call $down (i32.add (local.get 0) (i32.const 1)))))
  ;; Sends the rest of the source to the host; its answer is the value.
  (func $ask (param $at i32) (param $len i32) (result i32) (local $answer i64)
    (local.set $answer (call $call (local.get $at) (local.get $len) (i32.const 8192) (i32.const 64)))
    (if (i64.lt_s (local.get $answer) (i64.const 0))
      (then (return (call $say (i32.const 3) (i32.wrap_i64 (i64.sub (i64.const 0) (local.get $answer))) (i32.const 0) (i32.const 0)))))
    (if (i64.gt_s (local.get $answer) (i64.const 64))
      (then (drop (call $take (i32.const 8192) (i32.wrap_i64 (local.get $answer))))))
    (call $say (i32.const 1) (i32.const 0) (i32.const 8192) (i32.wrap_i64 (local.get $answer))))
  (func $eval (export "rf_eval") (param $at i32) (param $len i32) (param $flags i32) (result i32) (local $letter i32) (local $what i32)
    (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
    (local.set $letter (if (result i32) (local.get $len) (then (i32.load8_u (local.get $at))) (else (i32.const 0))))
    ;; c: counts its turns
    (if (i32.eq (local.get $letter) (i32.const 99)) (then
      (i32.store8 (i32.const 4096) (i32.const 24))
      (i32.store8 (i32.const 4097) (global.get $turns))
      (return (call $say (i32.const 1) (i32.const 0) (i32.const 4096) (i32.const 2)))))
    ;; t: text; e: error; x: exit; q: proc_exit; u: trap; r: recursion
    (if (i32.eq (local.get $letter) (i32.const 116)) (then
      (return (call $say (i32.const 1) (i32.const 1) (i32.const 1344) (i32.const 8)))))
    (if (i32.eq (local.get $letter) (i32.const 101)) (then
      (return (call $say (i32.const 2) (i32.const 0) (i32.const 1024) (i32.const 45)))))
    (if (i32.eq (local.get $letter) (i32.const 120)) (then
      (return (call $say (i32.const 3) (i32.const 7) (i32.const 0) (i32.const 0)))))
    (if (i32.eq (local.get $letter) (i32.const 113)) (then (call $exit (i32.const 3))))
    (if (i32.eq (local.get $letter) (i32.const 117)) (then unreachable))
    (if (i32.eq (local.get $letter) (i32.const 114)) (then (drop (call $down (i32.const 0)))))
    ;; l: loops for ever; s: until it is interrupted; w: sleeps, and looks then; y: sleeps and does not look; W: sleeps and never looks
    (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $on (br $on))))
    (if (i32.eq (local.get $letter) (i32.const 115)) (then (return (call $wait_for_interrupt))))
    (if (i32.eq (local.get $letter) (i32.const 119)) (then
      (call $sleep)
      (local.set $what (call $interrupted))
      (if (local.get $what) (then (return (local.get $what))))))
    (if (i32.eq (local.get $letter) (i32.const 121)) (then (call $sleep)))
    (if (i32.eq (local.get $letter) (i32.const 87)) (then (loop $on (call $sleep) (br $on))))
    ;; i: what interrupts it, if anything does already
    (if (i32.eq (local.get $letter) (i32.const 105)) (then
      (return (call $say (i32.const 3) (i32.load (i32.const 768)) (i32.const 0) (i32.const 0)))))
    ;; m: takes all memory; p: prints; o: prints for ever
    (if (i32.eq (local.get $letter) (i32.const 109)) (then
      (loop $on (br_if $on (i32.ne (i32.const -1) (memory.grow (i32.const 16)))))
      (return (call $say (i32.const 2) (i32.const 0) (i32.const 1216) (i32.const 38)))))
    (if (i32.eq (local.get $letter) (i32.const 112)) (then (call $print)))
    (if (i32.eq (local.get $letter) (i32.const 111)) (then (loop $on (call $print) (br $on))))
    ;; M: a message to the host
    (if (i32.eq (local.get $letter) (i32.const 77)) (then
      (return (call $ask (i32.add (local.get $at) (i32.const 1)) (i32.sub (local.get $len) (i32.const 1))))))
    ;; C: calls the function of the host that the rest names, with nothing
    (if (i32.eq (local.get $letter) (i32.const 67)) (then
      (i32.store16 (i32.const 6144) (i32.const 0x8346))
      (i32.store8 (i32.const 6146) (i32.add (i32.const 0x5f) (local.get $len)))
      (memory.copy (i32.const 6147) (i32.add (local.get $at) (i32.const 1)) (i32.sub (local.get $len) (i32.const 1)))
      (i32.store16 (i32.add (i32.const 6146) (local.get $len)) (i32.const 0xa080))
      (return (call $ask (i32.const 6144) (i32.add (i32.const 4) (local.get $len))))))
    ;; 0 to 9: results that are none
    (if (i32.eq (local.get $letter) (i32.const 48)) (then (return (i32.const 0))))
    (if (i32.eq (local.get $letter) (i32.const 49)) (then (return (i32.const -1))))
    (if (i32.eq (local.get $letter) (i32.const 50)) (then (return (i32.const 0x80000000))))
    (if (i32.eq (local.get $letter) (i32.const 51)) (then (return (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)))))
    (if (i32.eq (local.get $letter) (i32.const 52)) (then
      (return (call $say (i32.const 1) (i32.const 0) (i32.const -1) (i32.const -1)))))
    (if (i32.eq (local.get $letter) (i32.const 53)) (then
      (return (call $say (i32.const 1) (i32.const 1) (i32.const 1024) (i32.const -1)))))
    (if (i32.eq (local.get $letter) (i32.const 54)) (then
      (return (call $say (i32.const 2) (i32.const 0) (i32.const 0x80000000) (i32.const 8)))))
    (if (i32.eq (local.get $letter) (i32.const 55)) (then
      (return (call $say (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)))))
    (if (i32.eq (local.get $letter) (i32.const 56)) (then
      (return (call $say (i32.const 1) (i32.const 0) (i32.const 1280) (i32.const 6)))))
    ;; Z: scribbles over its words, then loops
    (if (i32.eq (local.get $letter) (i32.const 90)) (then
      (memory.fill (i32.const 512) (i32.const 255) (i32.const 32))
      (return (call $wait_for_interrupt))))
    ;; E: runs itself inside
    (if (i32.eq (local.get $letter) (i32.const 69)) (then
      (return (call $eval (i32.add (local.get $at) (i32.const 1)) (i32.sub (local.get $len) (i32.const 1)) (i32.const 0)))))
    (call $say (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
