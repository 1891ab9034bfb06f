"""
Components with resources: one that makes counters, and one that keeps objects of its host's.

A counter is a word of memory that its handle leads to. `live` says how many have not ended.
"""

from __future__ import annotations

COUNTERS = b"""(component
  (core module $state
    (memory (export "memory") 16)
    (global $next (mut i32) (i32.const 1024))
    (global $live (export "live") (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.div_u (i32.add (local.get 3) (i32.const 131071)) (i32.const 65536))))))
      (local.get $at))
    (func (export "end") (param $at i32)
      (global.set $live (i32.sub (global.get $live) (i32.const 1)))
      (if (i32.eq (i32.load (local.get $at)) (i32.const 666)) (then unreachable))
      (if (i32.eq (i32.load (local.get $at)) (i32.const 999)) (then (loop (br 0))))
      (i32.store (local.get $at) (i32.const -1))))
  (core instance $state (instantiate $state))
  (type $counter (resource (rep i32) (dtor (func $state "end"))))
  (core func $new (canon resource.new $counter))
  (core func $drop (canon resource.drop $counter))
  (core func $rep (canon resource.rep $counter))
  (core module $m
    (import "state" "memory" (memory 1))
    (import "state" "live" (global $live (mut i32)))
    (import "state" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
    (import "host" "new" (func $new (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (import "host" "rep" (func $rep (param i32) (result i32)))
    (func $make (export "make") (param $start i32) (result i32)
      (local $at i32)
      (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 4)))
      (i32.store (local.get $at) (local.get $start))
      (global.set $live (i32.add (global.get $live) (i32.const 1)))
      (call $new (local.get $at)))
    (func (export "add") (param $at i32) (param $by i32) (result i32)
      (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (local.get $by)))
      (i32.load (local.get $at)))
    (func (export "fail") (param $at i32) (result i32) (i32.const 1))
    (func (export "merge") (param $one i32) (param $other i32) (result i32)
      (local $sum i32)
      (local.set $sum (i32.add (i32.load (call $rep (local.get $one))) (i32.load (call $rep (local.get $other)))))
      (call $drop (local.get $one))
      (call $drop (local.get $other))
      (call $make (local.get $sum)))
    (func (export "forge") (param $handle i32) (result i32) (local.get $handle))
    (func (export "twice") (param $handle i32) (result i32)
      (call $drop (local.get $handle)) (call $drop (local.get $handle)) (i32.const 0))
    (func (export "live") (result i32) (global.get $live))
    (func (export "leak") (param $count i32)
      (block $over (loop $again
        (br_if $over (i32.eqz (local.get $count)))
        (drop (call $new (i32.const 2048)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $again))))
    (func (export "many") (param $count i32) (result i32)
      (local $list i32) (local $at i32)
      (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
        (i32.add (i32.const 8) (i32.mul (local.get $count) (i32.const 4)))))
      (i32.store (local.get $list) (i32.add (local.get $list) (i32.const 8)))
      (i32.store offset=4 (local.get $list) (local.get $count))
      (local.set $at (i32.add (local.get $list) (i32.const 8)))
      (block $over (loop $again
        (br_if $over (i32.eqz (local.get $count)))
        (i32.store (local.get $at) (call $make (local.get $count)))
        (local.set $at (i32.add (local.get $at) (i32.const 4)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $again)))
      (local.get $list))
    (func (export "sum") (param $list i32) (param $count i32) (result i32)
      (local $sum i32)
      (block $over (loop $again
        (br_if $over (i32.eqz (local.get $count)))
        (local.set $sum (i32.add (local.get $sum) (i32.load (i32.load (local.get $list)))))
        (local.set $list (i32.add (local.get $list) (i32.const 4)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $again)))
      (local.get $sum)))
  (core instance $i (instantiate $m
    (with "state" (instance $state))
    (with "host" (instance (export "new" (func $new)) (export "drop" (func $drop)) (export "rep" (func $rep))))))
  (func $make (param "start" u32) (result (own $counter)) (canon lift (core func $i "make")))
  (func $add (param "self" (borrow $counter)) (param "by" u32) (result u32) (canon lift (core func $i "add")))
  (func $fail (param "self" (borrow $counter)) (result (result)) (canon lift (core func $i "fail")))
  (func $merge (param "one" (own $counter)) (param "other" (own $counter)) (result (own $counter))
    (canon lift (core func $i "merge")))
  (func $forge (param "handle" u32) (result (own $counter)) (canon lift (core func $i "forge")))
  (func $twice (param "counter" (own $counter)) (result u32) (canon lift (core func $i "twice")))
  (func $live (result u32) (canon lift (core func $i "live")))
  (func $leak (param "count" u32) (canon lift (core func $i "leak")))
  (func $many (param "count" u32) (result (list (own $counter)))
    (canon lift (core func $i "many") (memory (core memory $state "memory"))))
  (func $sum (param "counters" (list (borrow $counter))) (result u32) (canon lift (core func $i "sum")
    (memory (core memory $state "memory")) (realloc (core func $state "realloc"))))
  (component $shim
    (import "counter" (type $c (sub resource)))
    (import "make" (func $make (param "start" u32) (result (own $c))))
    (import "add" (func $add (param "self" (borrow $c)) (param "by" u32) (result u32)))
    (import "fail" (func $fail (param "self" (borrow $c)) (result (result))))
    (import "merge" (func $merge (param "one" (own $c)) (param "other" (own $c)) (result (own $c))))
    (import "forge" (func $forge (param "handle" u32) (result (own $c))))
    (import "twice" (func $twice (param "counter" (own $c)) (result u32)))
    (import "live" (func $live (result u32)))
    (import "leak" (func $leak (param "count" u32)))
    (import "many" (func $many (param "count" u32) (result (list (own $c)))))
    (import "sum" (func $sum (param "counters" (list (borrow $c))) (result u32)))
    (export $counter "counter" (type $c))
    (export "[constructor]counter" (func $make) (func (param "start" u32) (result (own $counter))))
    (export "[method]counter.add" (func $add) (func (param "self" (borrow $counter)) (param "by" u32) (result u32)))
    (export "[method]counter.drop" (func $fail) (func (param "self" (borrow $counter)) (result (result))))
    (export "[static]counter.merge" (func $merge)
      (func (param "one" (own $counter)) (param "other" (own $counter)) (result (own $counter))))
    (export "forge" (func $forge) (func (param "handle" u32) (result (own $counter))))
    (export "twice" (func $twice) (func (param "counter" (own $counter)) (result u32)))
    (export "live" (func $live))
    (export "leak" (func $leak))
    (export "many" (func $many) (func (param "count" u32) (result (list (own $counter)))))
    (export "sum" (func $sum) (func (param "counters" (list (borrow $counter))) (result u32))))
  (instance $api (instantiate $shim
    (with "counter" (type $counter)) (with "make" (func $make)) (with "add" (func $add)) (with "fail" (func $fail))
    (with "merge" (func $merge)) (with "forge" (func $forge)) (with "twice" (func $twice)) (with "live" (func $live))
    (with "leak" (func $leak)) (with "many" (func $many)) (with "sum" (func $sum))))
  (export "test:zoo/counters@1.0.0" (instance $api)))"""

# It keeps a blob in a global, and calls what its host has for blobs.
KEEPER = b"""(component
  (import "test:zoo/blobs" (instance $blobs
    (export "blob" (type $blob (sub resource)))
    (export "[constructor]blob" (func (param "size" u32) (result (own $blob))))
    (export "[method]blob.size" (func (param "self" (borrow $blob)) (result u32)))
    (export "[static]blob.join" (func (param "one" (own $blob)) (param "other" (own $blob)) (result (own $blob))))
    (export "swap" (func (param "blob" (own $blob)) (result (own $blob))))))
  (alias export $blobs "blob" (type $blob))
  (core func $make (canon lower (func $blobs "[constructor]blob")))
  (core func $size (canon lower (func $blobs "[method]blob.size")))
  (core func $join (canon lower (func $blobs "[static]blob.join")))
  (core func $swap (canon lower (func $blobs "swap")))
  (core func $drop (canon resource.drop $blob))
  (core module $m
    (import "host" "make" (func $make (param i32) (result i32)))
    (import "host" "size" (func $size (param i32) (result i32)))
    (import "host" "join" (func $join (param i32 i32) (result i32)))
    (import "host" "swap" (func $swap (param i32) (result i32)))
    (import "host" "drop" (func $drop (param i32)))
    (global $kept (mut i32) (i32.const 0))
    (func (export "make") (param i32) (result i32) (call $make (local.get 0)))
    (func (export "measure") (param $blob i32) (result i32) (local $size i32)
      (local.set $size (call $size (local.get $blob)))
      (call $drop (local.get $blob))
      (local.get $size))
    (func (export "hold") (param $blob i32) (result i32) (call $size (local.get $blob)))
    (func (export "keep") (param $blob i32) (global.set $kept (local.get $blob)))
    (func (export "give") (result i32) (local $kept i32)
      (local.set $kept (global.get $kept)) (global.set $kept (i32.const 0)) (local.get $kept))
    (func (export "forget") (call $drop (global.get $kept)))
    (func (export "join") (param i32 i32) (result i32) (call $swap (call $join (local.get 0) (local.get 1))))
    (func (export "probe") (param $handle i32) (result i32) (call $size (local.get $handle)))
    (func (export "pile") (param $count i32)
      (block $over (loop $again
        (br_if $over (i32.eqz (local.get $count)))
        (drop (call $make (i32.const 1)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $again)))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "make" (func $make)) (export "size" (func $size)) (export "join" (func $join))
    (export "swap" (func $swap)) (export "drop" (func $drop))))))
  (func (export "make") (param "size" u32) (result (own $blob)) (canon lift (core func $i "make")))
  (func (export "measure") (param "blob" (borrow $blob)) (result u32) (canon lift (core func $i "measure")))
  (func (export "hold") (param "blob" (borrow $blob)) (result u32) (canon lift (core func $i "hold")))
  (func (export "keep") (param "blob" (own $blob)) (canon lift (core func $i "keep")))
  (func (export "give") (result (own $blob)) (canon lift (core func $i "give")))
  (func (export "forget") (canon lift (core func $i "forget")))
  (func (export "join") (param "one" (own $blob)) (param "other" (own $blob)) (result (own $blob))
    (canon lift (core func $i "join")))
  (func (export "probe") (param "handle" u32) (result u32) (canon lift (core func $i "probe")))
  (func (export "pile") (param "count" u32) (canon lift (core func $i "pile"))))"""


class Blob:
    """What the host has for `blob`; it counts those that the plugin let go of."""

    dropped = 0

    def __init__(self, size: int) -> None:
        self.length = size

    def size(self) -> int:
        """Give how large it is."""
        return self.length

    @staticmethod
    def join(one: Blob, other: Blob) -> Blob:
        """Make one of two."""
        return Blob(one.length + other.length)

    def drop(self) -> None:
        """Count it."""
        type(self).dropped += 1


class Blobs:
    """The interface `test:zoo/blobs`."""

    Blob = Blob

    @staticmethod
    def swap(blob: object) -> object:
        """Give it back."""
        return blob
