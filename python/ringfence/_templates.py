"""What a new plugin begins with: its world in WIT, its source, and how it is built."""

from __future__ import annotations

_WIT = """\
package example:@NAME@;

// What the plugin exports to its host, and imports from it. After a change: `ringfence build`.
world plugin {
  export greet: func(name: string) -> string;
}
"""
_README = """\
# @NAME@

A plugin in @LANGUAGE@. `plugin.wit` says what it exports; `@SOURCE@` does it.

```sh
ringfence build
ringfence call plugin.wasm 'greet("Ada")'
ringfence bindings plugin.wasm -o plugin.pyi
```
"""
_PYTHON = '''\
"""The plugin: a class named after its world, with a method for each function that it exports."""

import wit_world


class WitWorld(wit_world.WitWorld):
    def greet(self, name: str) -> str:
        return f"Hello, {name}!"
'''
_JAVASCRIPT = """\
// The plugin: a function for each that it exports, in camelCase.
export function greet(name) {
  return `Hello, ${name}!`;
}
"""
_RUST = """\
// The plugin: `Guest` has a method for each function that it exports.
wit_bindgen::generate!({ world: "plugin", path: "plugin.wit" });

struct Plugin;

impl Guest for Plugin {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }
}

export!(Plugin);
"""
_CARGO = """\
[package]
name = "plugin"
version = "0.1.0"
edition = "2021"

[lib]
crate-type = ["cdylib"]

[dependencies]
wit-bindgen = "@WIT_BINDGEN@"

[workspace]
"""
_C = """\
// The plugin, without a library: a function for each that it exports, as the canonical ABI has them.
#include <stddef.h>
#include <stdint.h>

extern unsigned char __heap_base;
static unsigned char *next = &__heap_base;

// The host puts parameters here; all of it is given back after each call.
__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  uintptr_t at = ((uintptr_t)next + align - 1) & ~(uintptr_t)(align - 1);
  size_t pages = (at + size + 65535) / 65536, have = __builtin_wasm_memory_size(0);
  if (pages > have && __builtin_wasm_memory_grow(0, pages - have) == (size_t)-1) __builtin_trap();
  for (size_t i = 0; i < old_size && i < size; i++) ((unsigned char *)at)[i] = ((unsigned char *)old)[i];
  next = (unsigned char *)(at + size);
  return (void *)at;
}

static struct { const char *text; size_t length; } result;

__attribute__((export_name("greet")))
void *greet(const char *name, size_t length) {
  static const char hello[] = "Hello, ";
  size_t start = sizeof hello - 1;
  char *text = cabi_realloc(NULL, 0, 1, start + length + 1);
  for (size_t i = 0; i < start; i++) text[i] = hello[i];
  for (size_t i = 0; i < length; i++) text[start + i] = name[i];
  text[start + length] = '!';
  result.text = text;
  result.length = start + length + 1;
  return &result;
}

__attribute__((export_name("cabi_post_greet")))
void after_greet(void *given) {
  (void)given;
  next = &__heap_base;
}
"""
_GO = """\
// The plugin: a function for each that it exports, as the canonical ABI has them.
package main

import (
	"runtime"
	"runtime/debug"
	"unsafe"
)

// What the host puts into memory stays until its call is over.
var kept [][]byte

// Before Go has started there is no allocator yet: what its start needs comes from where that takes its own memory.
var started bool

// Go's collector asks for the time, and a plugin may ask for nothing while its host hands values over. So it runs when
// it is told to: each exported function begins with `collect()`.
func init() {
	debug.SetGCPercent(-1)
	started = true
}

var live uint64

func collect() {
	var memory runtime.MemStats
	if runtime.ReadMemStats(&memory); memory.HeapAlloc > 2*live+(4<<20) {
		runtime.GC()
		runtime.ReadMemStats(&memory)
		live = memory.HeapAlloc
	}
}

//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(uintptr(align))
	}
	if !started {
		at := uintptr(sbrk(uintptr(size + align)))
		return unsafe.Pointer((at + uintptr(align) - 1) &^ (uintptr(align) - 1))
	}
	made := make([]byte, size+align)
	kept = append(kept, made)
	first := -uintptr(unsafe.Pointer(&made[0])) & (uintptr(align) - 1)
	copy(made[first:], unsafe.Slice((*byte)(old), oldSize))
	return unsafe.Pointer(&made[first])
}

// Go's own pointers have eight bytes here.
var result struct{ text, length uint32 }

//go:wasmexport greet
func greet(name *byte, length uint32) unsafe.Pointer {
	collect()
	text := []byte("Hello, " + unsafe.String(name, length) + "!")
	kept = append(kept, text)
	result.text, result.length = uint32(uintptr(unsafe.Pointer(&text[0]))), uint32(len(text))
	return unsafe.Pointer(&result)
}

//go:wasmexport cabi_post_greet
func after(given unsafe.Pointer) {
	kept = nil
}

func main() {}
"""
# Without a file of assembly, Go's compiler refuses functions that have no body.
_ASSEMBLY = "// `sbrk` is the runtime's.\n"
WIT_BINDGEN = "0.63"
_SOURCES = {
    "python": {"app.py": _PYTHON},
    "javascript": {"plugin.js": _JAVASCRIPT},
    "rust": {"src/lib.rs": _RUST, "Cargo.toml": _CARGO.replace("@WIT_BINDGEN@", WIT_BINDGEN)},
    "c": {"plugin.c": _C},
    "go": {"plugin.go": _GO, "sbrk.s": _ASSEMBLY, "go.mod": "module example\n\ngo 1.24\n"},
}
LANGUAGES = tuple(_SOURCES)


def files(name: str, language: str) -> dict[str, str]:
    """Give the files of a new plugin, by their paths in its folder."""
    sources = _SOURCES[language]
    readme = _README.replace("@LANGUAGE@", language).replace("@SOURCE@", next(iter(sources)))
    told = {"plugin.wit": _WIT, "plugin.toml": f'language = "{language}"\n', "README.md": readme, **sources}
    return {path: text.replace("@NAME@", name) for path, text in told.items()}
