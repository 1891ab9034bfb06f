;; A rule of prices: so many per cent off, as the tenant's own host says, for ten pieces and more.
;;
;; package app:pricing;
;; world rules {
;;   import app:pricing/tenant;   // percent: func(sku: string) -> u32
;;   export price: func(sku: string, quantity: u32, cents: u32) -> u32;
;; }
;; A quantity of 666 is what a broken rule does not come back from.
(component
  (import "app:pricing/tenant" (instance $tenant (export "percent" (func (param "sku" string) (result u32)))))
  (core module $memory
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 1024))
    (func (export "allocate") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (global.get $next))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at))
    (func (export "reset") (param i32) (global.set $next (i32.const 1024))))
  (core instance $memory (instantiate $memory))
  (core func $percent (canon lower (func $tenant "percent")
    (memory (core memory $memory "memory")) (realloc (core func $memory "allocate"))))
  (core module $rules
    (import "tenant" "percent" (func $percent (param i32 i32) (result i32)))
    (func (export "price") (param $sku i32) (param $length i32) (param $quantity i32) (param $cents i32) (result i32)
      (local $full i32)
      (loop $broken (br_if $broken (i32.eq (local.get $quantity) (i32.const 666))))
      (local.set $full (i32.mul (local.get $quantity) (local.get $cents)))
      (if (i32.lt_u (local.get $quantity) (i32.const 10)) (then (return (local.get $full))))
      (i32.div_u
        (i32.mul (local.get $full) (i32.sub (i32.const 100) (call $percent (local.get $sku) (local.get $length))))
        (i32.const 100))))
  (core instance $i (instantiate $rules (with "tenant" (instance (export "percent" (func $percent))))))
  (func (export "price") (param "sku" string) (param "quantity" u32) (param "cents" u32) (result u32)
    (canon lift (core func $i "price") (memory (core memory $memory "memory")) (realloc (core func $memory "allocate"))
      (post-return (core func $memory "reset")))))
