;; A filter of images: every byte of a picture, brighter by so much, and no brighter than white.
;;
;; package app:filter;
;; world filter { export brighten: func(pixels: list<u8>, by: u8) -> list<u8>; }
(component
  (core module $filter
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "allocate") (param i32 i32 i32 i32) (result i32)
      (local $at i32) (local $pages i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.set $pages (i32.sub (i32.shr_u (i32.add (global.get $next) (i32.const 65535)) (i32.const 16)) (memory.size)))
      (if (i32.gt_s (local.get $pages) (i32.const 0))
        (then (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable))))
      (local.get $at))
    (func (export "reset") (param i32) (global.set $next (i32.const 1024)))
    ;; In place: the picture was copied in, and is copied out from where it is.
    (func (export "brighten") (param $at i32) (param $length i32) (param $by i32) (result i32)
      (local $end i32) (local $here i32) (local $pixel i32)
      (local.set $here (local.get $at))
      (local.set $end (i32.add (local.get $at) (local.get $length)))
      (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $here) (local.get $end)))
        (local.set $pixel (i32.add (i32.load8_u (local.get $here)) (local.get $by)))
        (i32.store8 (local.get $here)
          (select (i32.const 255) (local.get $pixel) (i32.gt_u (local.get $pixel) (i32.const 255))))
        (local.set $here (i32.add (local.get $here) (i32.const 1)))
        (br $next)))
      (i32.store (i32.const 16) (local.get $at))
      (i32.store (i32.const 20) (local.get $length))
      (i32.const 16)))
  (core instance $i (instantiate $filter))
  (func (export "brighten") (param "pixels" (list u8)) (param "by" u8) (result (list u8))
    (canon lift (core func $i "brighten") (memory (core memory $i "memory")) (realloc (core func $i "allocate"))
      (post-return (core func $i "reset")))))
