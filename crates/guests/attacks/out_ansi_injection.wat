;; Terminal escapes: clear, title, OSC 52 clipboard, hyperlink, DCS, C1, bidi override, backspace.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data
    (i32.const 1024)
    "\1b[2J\1b[H\1b]0;pwned\07\1b]52;c;cHduZWQ=\07\1b]8;;http://evil.invalid\07click\1b]8;;\07\1b[31mred\1bP+q544e\1b\5c\9b5n\e2\80\aetxt.exe\08\08\0d\0a")
  (func $puts (param $p i32) (param $n i32)
    (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $main (export "_start")
    (call $puts (i32.const 1024) (i32.const 104))))
