/* What drivers have in common that stand in front of an interpreter which others have linked. The file that includes this
 * has `malloc` and `free` already, as that interpreter has them. */
#ifndef DRIVER_H
#define DRIVER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(n) __attribute__((export_name(#n))) n
#define BETWEEN(n) __attribute__((export_name(#n))) between_##n
#define WASI(n) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#n)))
#define HOST(n) __attribute__((import_module("ringfence"), import_name(#n)))

enum { ABI = 1, OUR_FAILURE = 70 };
enum { STATUS_NONE, STATUS_VALUE, STATUS_ERROR, STATUS_EXIT };
enum { RESUME_NOTHING, RESUME_FRESH, RESUME_COPY };
/* Of WASI. */
enum { BAD_FD = 8, INVALID = 28, TOO_MANY = 33, ABSENT_FILE = 44, UNSUPPORTED = 58 };
enum { CHARACTERS = 2, DIRECTORY = 3, REGULAR = 4 };

typedef struct { char *at; uint32_t length; } part;

static inline uint32_t length_of(const char *text) {
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}
static inline uint32_t word(const char *at) { uint32_t w; __builtin_memcpy(&w, at, sizeof w); return w; }

/* The result of a turn, as the guest ABI has it. */
static struct { uint32_t status, code, value, value_length, error, error_length; } result;

static inline uint32_t kept(uint32_t *place, const char *bytes, uint32_t length) {
    free((void *)*place);
    char *copy = length ? malloc(length) : NULL;
    if (copy) __builtin_memcpy(copy, bytes, length);
    *place = (uint32_t)copy;
    return copy ? length : 0;
}
/* What holds where the interpreter tells nothing. */
static inline void begin_result(void) {
    result.status = STATUS_ERROR;
    result.code = 1;
    result.value_length = result.error_length = 0;
}
/* status, code and two lengths, then a value and an error. */
static inline void take_result(const char *at, uint32_t n) {
    if (n < 16 || (uint64_t)word(at + 8) + word(at + 12) + 16 > n) return;
    result.status = word(at);
    result.code = word(at + 4);
    result.value_length = kept(&result.value, at + 16, word(at + 8));
    result.error_length = kept(&result.error, at + 16 + word(at + 8), word(at + 12));
}
#endif
