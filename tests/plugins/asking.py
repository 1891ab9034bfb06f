"""A plugin with functions of both sides: it asks its host, and says what it heard."""

ASKING = b"""(component
  (import "ask" (func $ask (param "n" s32) (result s32)))
  (core func $ask (canon lower (func $ask)))
  (core module $m
    (import "host" "ask" (func $ask (param i32) (result i32)))
    (func (export "ask") (param i32) (result i32) (call $ask (local.get 0))))
  (core instance $i (instantiate $m (with "host" (instance (export "ask" (func $ask))))))
  (func (export "ask") (param "n" s32) (result s32) (canon lift (core func $i "ask"))))"""
