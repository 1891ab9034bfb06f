;; Import names that carry ESC, CR, LF: they come back in the error message.
(module
  (import "x\1b[31mRED\0aINFO forged log line\0d" "x\1b[31mRED\0aINFO forged log line\0d" (func))
  (memory (export "memory") 1)
  (func (export "_start")))
