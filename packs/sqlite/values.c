/* Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md. */
#include <stdlib.h>
#include <string.h>
#include "driver.h"

#define MAX_DEPTH 100
enum { FALSE = 0xf4, TRUE = 0xf5, NOTHING = 0xf6, FLOAT = 0xfb };

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
static void add_byte(struct bytes *to, int byte) {
    uint8_t one = (uint8_t)byte;
    bytes_add(to, &one, 1);
}
static void add_big_endian(struct bytes *to, uint64_t n, int width) {
    while (width--) add_byte(to, (int)(n >> 8 * width & 0xff));
}
void write_head(struct bytes *to, int major, uint64_t n) {
    int width = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
    add_byte(to, major << 5 | (width == 0 ? (int)n : width == 1 ? 24 : width == 2 ? 25 : width == 4 ? 26 : 27));
    add_big_endian(to, n, width);
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
static bool is_text(const uint8_t *at, size_t length) {
    size_t step;
    for (const uint8_t *end = at + length; at < end; at += step)
        if (!(step = character(at, end))) return false;
    return true;
}
static void add_text(struct bytes *to, const char *text, size_t length) {
    write_head(to, TEXT, length);
    bytes_add(to, text, length);
}
void write_text(struct bytes *to, const char *text, size_t length) {
    if (is_text((const uint8_t *)text, length)) {
        add_text(to, text, length);
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
    else add_text(to, (char *)shown.data, shown.length);
    free(shown.data);
}

void write_value(struct bytes *to, sqlite3_value *value) {
    sqlite3_int64 integer;
    double number;
    uint64_t bits;
    size_t length;
    const void *data;
    switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
            integer = sqlite3_value_int64(value);
            if (integer < 0) write_head(to, NEGATIVE, (uint64_t)(-1 - integer));
            else write_head(to, UNSIGNED, (uint64_t)integer);
            break;
        case SQLITE_FLOAT:
            number = sqlite3_value_double(value);
            memcpy(&bits, &number, sizeof bits);
            add_byte(to, FLOAT);
            add_big_endian(to, bits, 8);
            break;
        case SQLITE_TEXT:
            data = sqlite3_value_text(value);
            length = data ? (size_t)sqlite3_value_bytes(value) : 0;
            if (!data) to->failed = true;
            else if (is_text(data, length)) add_text(to, data, length);
            else {
                write_head(to, BYTES, length);
                bytes_add(to, data, length);
            }
            break;
        case SQLITE_BLOB:
            data = sqlite3_value_blob(value);
            length = (size_t)sqlite3_value_bytes(value);
            write_head(to, BYTES, length);
            bytes_add(to, data, length);
            break;
        default: add_byte(to, NOTHING);
    }
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
bool read_skip(struct reader *r, int depth) {
    int major, low;
    uint64_t n;
    if (!read_head(r, &major, &low, &n) || depth > MAX_DEPTH) return false;
    if (major == BYTES || major == TEXT) {
        if (n > (uint64_t)(r->end - r->at)) return false;
        r->at += n;
    }
    if (major == TAG) n = 1;
    if (major == MAP) n *= 2;
    if (major >= ARRAY && major <= TAG)
        while (n--)
            if (!read_skip(r, depth + 1)) return false;
    return true;
}

static double big(const uint8_t *at, uint64_t length, bool negative) {
    double number = 0;
    for (uint64_t i = 0; i < length; i++) number = number * 256 + at[i];
    return negative ? -1 - number : number;
}
static void json_text(sqlite3_str *to, const uint8_t *at, uint64_t length) {
    sqlite3_str_appendchar(to, 1, '"');
    for (; length; length--, at++) {
        if (*at < 0x20) sqlite3_str_appendf(to, "\\u%04x", *at);
        else if (*at == '"' || *at == '\\') sqlite3_str_appendf(to, "\\%c", *at);
        else sqlite3_str_append(to, (const char *)at, 1);
    }
    sqlite3_str_appendchar(to, 1, '"');
}
static bool json(struct reader *r, sqlite3_str *to, int depth) {
    int major, low;
    uint64_t n;
    if (!read_head(r, &major, &low, &n) || depth > MAX_DEPTH) return false;
    switch (major) {
        case UNSIGNED: sqlite3_str_appendf(to, "%llu", n); return true;
        case NEGATIVE: sqlite3_str_appendf(to, "%.17g", -1 - (double)n); return true;
        case BYTES: case TEXT:
            if (n > (uint64_t)(r->end - r->at)) return false;
            json_text(to, r->at, n);
            r->at += n;
            return true;
        case ARRAY: case MAP:
            sqlite3_str_appendchar(to, 1, major == ARRAY ? '[' : '{');
            for (uint64_t i = 0; i < n; i++) {
                if (i) sqlite3_str_appendchar(to, 1, ',');
                if (major == MAP) {
                    bool is_text = r->at < r->end && *r->at >> 5 == TEXT;
                    if (!is_text) sqlite3_str_appendchar(to, 1, '"');
                    if (!json(r, to, depth + 1)) return false;
                    sqlite3_str_appendall(to, is_text ? ":" : "\":");
                }
                if (!json(r, to, depth + 1)) return false;
            }
            sqlite3_str_appendchar(to, 1, major == ARRAY ? ']' : '}');
            return true;
        case TAG: {
            uint64_t size;
            bool negative = n == 3;
            if (!read_head(r, &major, &low, &size) || major != BYTES || size > (uint64_t)(r->end - r->at)) return false;
            sqlite3_str_appendf(to, "%.17g", big(r->at, size, negative));
            r->at += size;
            return true;
        }
        default: break;
    }
    double number;
    memcpy(&number, &n, sizeof number);
    if (low == 27) sqlite3_str_appendf(to, "%!.17g", number);
    else sqlite3_str_appendall(to, low == 20 ? "false" : low == 21 ? "true" : "null");
    return true;
}

bool read_result(struct reader *r, sqlite3_context *to) {
    struct reader again = *r;
    int major, low;
    uint64_t n;
    if (!read_head(r, &major, &low, &n)) return false;
    uint64_t left = (uint64_t)(r->end - r->at);
    double number;
    switch (major) {
        case UNSIGNED: case NEGATIVE:
            if (n <= INT64_MAX) sqlite3_result_int64(to, major == NEGATIVE ? -1 - (sqlite3_int64)n : (sqlite3_int64)n);
            else sqlite3_result_double(to, major == NEGATIVE ? -1 - (double)n : (double)n);
            return true;
        case BYTES: case TEXT:
            if (n > left) return false;
            if (major == TEXT) sqlite3_result_text64(to, (const char *)r->at, n, SQLITE_TRANSIENT, SQLITE_UTF8);
            else sqlite3_result_blob64(to, r->at, n, SQLITE_TRANSIENT);
            return true;
        case ARRAY: case MAP: {
            sqlite3_str *text = sqlite3_str_new(NULL);
            bool good = json(&again, text, 0);
            char *made = sqlite3_str_finish(text);
            if (good && made) sqlite3_result_text(to, made, -1, sqlite3_free);
            else sqlite3_free(made);
            return good && made;
        }
        case TAG: {
            uint64_t size;
            bool negative = n == 3;
            if (!read_head(r, &major, &low, &size) || major != BYTES || size > (uint64_t)(r->end - r->at)) return false;
            sqlite3_result_double(to, big(r->at, size, negative));
            return true;
        }
        default: break;
    }
    memcpy(&number, &n, sizeof number);
    if (low == 20 || low == 21) sqlite3_result_int(to, low == 21);
    else if (low == 27) sqlite3_result_double(to, number);
    else sqlite3_result_null(to);
    return true;
}
