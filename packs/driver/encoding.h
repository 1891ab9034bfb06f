/* The value encoding of the guest ABI: CBOR, as docs/reference/guest-abi.md has it. */
#ifndef ENCODING_H
#define ENCODING_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_DEPTH 100
/* Without a bound a few lists that share their items would never end. */
#define MAX_ITEMS (4 << 20)
enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { FALSE = 0xf4, TRUE = 0xf5, NOTHING = 0xf6, FLOAT = 0xfb };
enum { TAG_BIG = 2, TAG_BIG_NEGATIVE = 3 };

struct bytes {
    uint8_t *data;     /* malloc'ed */
    size_t length, capacity;
    uint32_t items;    /* values written so far */
    bool failed;       /* no memory */
};
void bytes_add(struct bytes *to, const void *data, size_t length);
void bytes_add_byte(struct bytes *to, int byte);
void write_head(struct bytes *to, int major, uint64_t n);
void write_integer(struct bytes *to, int64_t number);
void write_float(struct bytes *to, double number);
bool is_text(const void *text, size_t length);                        /* it is UTF-8 */
void write_text(struct bytes *to, const char *text, size_t length);   /* what is no UTF-8 in it is escaped */
void write_string(struct bytes *to, const char *text, size_t length); /* what is no UTF-8 is bytes */

struct reader { const uint8_t *at, *end; };
bool read_head(struct reader *r, int *major, int *low, uint64_t *n);
double read_big(const uint8_t *at, uint64_t length, bool negative);   /* beyond 64 bits, as near as a float comes */
#endif
