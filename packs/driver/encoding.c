/* Values as bytes: what no interpreter is needed for. */
#include <stdlib.h>
#include <string.h>
#include "encoding.h"

void bytes_add(struct bytes *to, const void *data, size_t length) {
    if (to->failed || !length) return;
    if (length > to->capacity - to->length) {
        size_t capacity = to->capacity ? to->capacity : 128;
        while (length > capacity - to->length) capacity *= 2;
        uint8_t *grown = realloc(to->data, capacity);
        if (!grown) {
            to->failed = true;
            return;
        }
        to->data = grown;
        to->capacity = capacity;
    }
    memcpy(to->data + to->length, data, length);
    to->length += length;
}
void bytes_add_byte(struct bytes *to, int byte) {
    uint8_t one = (uint8_t)byte;
    bytes_add(to, &one, 1);
}
static void add_big_endian(struct bytes *to, uint64_t n, int width) {
    while (width--) bytes_add_byte(to, (int)(n >> 8 * width & 0xff));
}
void write_head(struct bytes *to, int major, uint64_t n) {
    int width = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
    bytes_add_byte(to, major << 5 | (width == 0 ? (int)n : width == 1 ? 24 : width == 2 ? 25 : width == 4 ? 26 : 27));
    add_big_endian(to, n, width);
}
void write_integer(struct bytes *to, int64_t number) {
    if (number < 0) write_head(to, NEGATIVE, (uint64_t)(-1 - number));
    else write_head(to, UNSIGNED, (uint64_t)number);
}
void write_float(struct bytes *to, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    bytes_add_byte(to, FLOAT);
    add_big_endian(to, bits, 8);
}

/* How many bytes the character at `at` has; 0 where it is none of UTF-8. */
static size_t character(const uint8_t *at, const uint8_t *end) {
    uint8_t first = *at;
    size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >> 4 == 0xe ? 3 : first >= 0xf0 && first < 0xf5 ? 4 : 0;
    if (!length || (size_t)(end - at) < length) return 0;
    for (size_t i = 1; i < length; i++)
        if (at[i] >> 6 != 2) return 0;
    if ((first == 0xe0 && at[1] < 0xa0) || (first == 0xed && at[1] > 0x9f) || (first == 0xf0 && at[1] < 0x90) || (first == 0xf4 && at[1] > 0x8f)) return 0;
    return length;
}
bool is_text(const void *text, size_t length) {
    const uint8_t *at = text, *end = at + length;
    for (size_t step; at < end; at += step)
        if (!(step = character(at, end))) return false;
    return true;
}
static void add_string(struct bytes *to, int major, const char *text, size_t length) {
    write_head(to, major, length);
    bytes_add(to, text, length);
}
void write_string(struct bytes *to, const char *text, size_t length) {
    add_string(to, is_text(text, length) ? TEXT : BYTES, text, length);
}
void write_text(struct bytes *to, const char *text, size_t length) {
    if (is_text(text, length)) {
        add_string(to, TEXT, text, length);
        return;
    }
    static const char digits[] = "0123456789abcdef";
    struct bytes shown = {0};
    const uint8_t *at = (const uint8_t *)text, *end = at + length;
    for (size_t step; at < end; at += step ? step : 1) {
        char escaped[4] = {'\\', 'x', digits[*at >> 4], digits[*at & 15]};
        if ((step = character(at, end))) bytes_add(&shown, at, step);
        else bytes_add(&shown, escaped, sizeof escaped);
    }
    if (shown.failed) to->failed = true;
    else add_string(to, TEXT, (char *)shown.data, shown.length);
    free(shown.data);
}

bool read_head(struct reader *r, int *major, int *low, uint64_t *n) {
    if (r->at == r->end) return false;
    *major = *r->at >> 5;
    *low = *r->at++ & 31;
    *n = (uint64_t)*low;
    if (*low < 24) return true;
    int width = *low < 28 ? 1 << (*low - 24) : 0;
    if (!width || r->end - r->at < width) return false;
    for (*n = 0; width; width--) *n = *n << 8 | *r->at++;
    return true;
}
double read_big(const uint8_t *at, uint64_t length, bool negative) {
    double number = 0;
    for (uint64_t i = 0; i < length; i++) number = number * 256 + at[i];
    return negative ? -1 - number : number;
}
