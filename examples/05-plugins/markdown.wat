;; A renderer of the smallest Markdown there is: headings, paragraphs, and links, which it asks its host about.
;;
;; package app:markdown@1.0.0;
;; interface content {
;;   record link { url: string, text: string }
;;   record page { title: string, links: list<link> }
;;   variant parse-error { empty, too-long(u32) }
;;   parse: func(text: string) -> result<page, parse-error>;
;; }
;; world renderer {
;;   import app:host/store;       // get: func(name: string) -> option<string>
;;   export content;
;;   export render: func(text: string) -> string;
;; }
(component
  (import "app:host/store" (instance $store
    (export "get" (func (param "name" string) (result (option string))))))

  ;; Memory of its own: what a call takes is given back when its result was read.
  (core module $memory
    (memory (export "memory") 2)
    (global $next (mut i32) (i32.const 4096))
    (func (export "allocate") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (block $fits
        (br_if $fits (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
        (br_if $fits (i32.ne (i32.const -1)
          (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get 3) (i32.const 65536))))))
        (unreachable))
      (local.get $at))
    (func (export "reset") (param i32) (global.set $next (i32.const 4096))))
  (core instance $memory (instantiate $memory))
  (core func $get (canon lower (func $store "get")
    (memory (core memory $memory "memory")) (realloc (core func $memory "allocate"))))

  (core module $renderer
    (import "memory" "memory" (memory 2))
    (import "memory" "allocate" (func $allocate (param i32 i32 i32 i32) (result i32)))
    (import "store" "get" (func $get (param i32 i32 i32)))
    (data (i32.const 128) "<h1></h1><p></p>footer")
    (global $out (mut i32) (i32.const 0))

    (func $put (param $at i32) (param $length i32)
      (memory.copy (global.get $out) (local.get $at) (local.get $length))
      (global.set $out (i32.add (global.get $out) (local.get $length))))

    ;; render: what is at $at, in a heading or a paragraph, and the host's footer below it.
    (func (export "render") (param $at i32) (param $length i32) (result i32)
      (local $start i32) (local $heading i32)
      (call $get (i32.const 144) (i32.const 6) (i32.const 64))
      (local.set $start (call $allocate (i32.const 0) (i32.const 0) (i32.const 1)
        (i32.add (i32.add (local.get $length) (i32.const 16)) (i32.load (i32.const 72)))))
      (global.set $out (local.get $start))
      (local.set $heading (i32.and
        (i32.ge_u (local.get $length) (i32.const 2)) (i32.eq (i32.load16_u (local.get $at)) (i32.const 0x2023))))
      (if (local.get $heading)
        (then
          (call $put (i32.const 128) (i32.const 4))
          (call $put (i32.add (local.get $at) (i32.const 2)) (i32.sub (local.get $length) (i32.const 2)))
          (call $put (i32.const 132) (i32.const 5)))
        (else
          (call $put (i32.const 137) (i32.const 3))
          (call $put (local.get $at) (local.get $length))
          (call $put (i32.const 140) (i32.const 4))))
      (if (i32.load8_u (i32.const 64))
        (then (call $put (i32.load (i32.const 68)) (i32.load (i32.const 72)))))
      (i32.store (i32.const 32) (local.get $start))
      (i32.store (i32.const 36) (i32.sub (global.get $out) (local.get $start)))
      (i32.const 32))

    ;; parse: the text is the page's title, and each word that begins with `http` a link.
    (func (export "parse") (param $at i32) (param $length i32) (result i32)
      (local $end i32) (local $word i32) (local $links i32) (local $count i32)
      (i64.store (i32.const 32) (i64.const 0))
      (if (i32.eqz (local.get $length))
        (then (i32.store8 (i32.const 32) (i32.const 1)) (return (i32.const 32))))
      (if (i32.gt_u (local.get $length) (i32.const 10000))
        (then
          (i32.store8 (i32.const 32) (i32.const 1))
          (i32.store8 (i32.const 36) (i32.const 1))
          (i32.store (i32.const 40) (local.get $length))
          (return (i32.const 32))))
      (local.set $links (call $allocate (i32.const 0) (i32.const 0) (i32.const 4)
        (i32.mul (i32.const 16) (local.get $length))))
      (i32.store (i32.const 36) (local.get $at))
      (i32.store (i32.const 40) (local.get $length))
      (local.set $end (i32.add (local.get $at) (local.get $length)))
      (loop $words
        (local.set $word (local.get $at))
        (block $over (loop $letters
          (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
          (br_if $over (i32.eq (i32.load8_u (local.get $at)) (i32.const 32)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $letters)))
        (if (i32.and
            (i32.ge_u (i32.sub (local.get $at) (local.get $word)) (i32.const 4))
            (i32.eq (i32.load (local.get $word)) (i32.const 0x70747468)))
          (then
            (call $link
              (i32.add (local.get $links) (i32.mul (i32.const 16) (local.get $count)))
              (local.get $word) (i32.sub (local.get $at) (local.get $word)))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br_if $words (i32.lt_u (local.get $at) (local.get $end))))
      (i32.store (i32.const 44) (local.get $links))
      (i32.store (i32.const 48) (local.get $count))
      (i32.const 32))

    (func $link (param $to i32) (param $word i32) (param $length i32)
      (i32.store (local.get $to) (local.get $word))
      (i32.store offset=4 (local.get $to) (local.get $length))
      (i32.store offset=8 (local.get $to) (local.get $word))
      (i32.store offset=12 (local.get $to) (local.get $length))))
  (core instance $renderer (instantiate $renderer
    (with "memory" (instance $memory)) (with "store" (instance (export "get" (func $get))))))

  (type $link (record (field "url" string) (field "text" string)))
  (type $page (record (field "title" string) (field "links" (list $link))))
  (type $error (variant (case "empty") (case "too-long" u32)))
  (type $parse (func (param "text" string) (result (result $page (error $error)))))
  (func $parse (type $parse) (canon lift (core func $renderer "parse") (memory (core memory $memory "memory"))
    (realloc (core func $memory "allocate")) (post-return (core func $memory "reset"))))
  (component $content
    (type $link (record (field "url" string) (field "text" string)))
    (import "link" (type $link-name (eq $link)))
    (type $page (record (field "title" string) (field "links" (list $link-name))))
    (import "page" (type $page-name (eq $page)))
    (type $error (variant (case "empty") (case "too-long" u32)))
    (import "parse-error" (type $error-name (eq $error)))
    (import "parse" (func $parse (param "text" string) (result (result $page-name (error $error-name)))))
    (export $link-out "link" (type $link))
    (type $page-made (record (field "title" string) (field "links" (list $link-out))))
    (export $page-out "page" (type $page-made))
    (export $error-out "parse-error" (type $error))
    (export "parse" (func $parse)
      (func (param "text" string) (result (result $page-out (error $error-out))))))
  (instance $content (instantiate $content
    (with "link" (type $link)) (with "page" (type $page)) (with "parse-error" (type $error))
    (with "parse" (func $parse))))
  (export "app:markdown/content@1.0.0" (instance $content))
  (func (export "render") (param "text" string) (result string)
    (canon lift (core func $renderer "render") (memory (core memory $memory "memory"))
      (realloc (core func $memory "allocate")) (post-return (core func $memory "reset")))))
