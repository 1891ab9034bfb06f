;; Imports its memory from env (emscripten style).
(module
  (import "env" "memory" (memory 1))
  (func (export "_start")))
