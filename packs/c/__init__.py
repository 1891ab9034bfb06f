"""C: clang and wasm-ld, as the project YoWASP has built them for WASI, with a C library inside."""
