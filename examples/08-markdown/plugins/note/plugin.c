// Renders a note, without a library. Its second line may ask it never to come back: others are not to suffer from that.
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
  next = (unsigned char *)(at + size);
  return (void *)at;
}

typedef struct { const char *text; size_t length; } string;
static struct { uint8_t is_error; string said; } result;
static char *end;

static void put(string part, int is_text) {
  for (size_t i = 0; i < part.length; i++) {
    if (is_text && part.text[i] == '<') { put((string){"&lt;", 4}, 0); continue; }
    *(end = cabi_realloc(NULL, 0, 1, 1)) = part.text[i];
  }
}

__attribute__((export_name("render")))
void *render(const char *title, size_t length, const string *lines, size_t count) {
  char *start = cabi_realloc(NULL, 0, 1, 0);
  put((string){"<aside><b>", 10}, 0), put((string){title, length}, 1), put((string){"</b> ", 5}, 0);
  for (size_t i = 0; i < count; i++) {
    for (volatile int forever = lines[i].length == 7 && lines[i].text[0] == 'f'; forever;) {}
    put(lines[i], 1);
  }
  put((string){"</aside>", 8}, 0);
  result.is_error = count == 0;
  result.said = count ? (string){start, end + 1 - start} : (string){"an empty note", 13};
  return &result;
}

__attribute__((export_name("cabi_post_render")))
void after_render(void *given) {
  (void)given;
  next = &__heap_base;
}
