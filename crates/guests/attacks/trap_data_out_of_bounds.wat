;; A data segment past the end of memory: the trap comes from the host's copying, not from an instruction.
(module (memory (export "memory") 1) (data (i32.const 65530) "0123456789") (func (export "_start")))
