/* Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md. */
#include <stdlib.h>
#include <string.h>
#include "driver.h"

void write_value(struct bytes *to, sqlite3_value *value) {
    size_t length;
    const void *data;
    switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER:
            write_integer(to, sqlite3_value_int64(value));
            break;
        case SQLITE_FLOAT:
            write_float(to, sqlite3_value_double(value));
            break;
        case SQLITE_TEXT:
            data = sqlite3_value_text(value);
            length = data ? (size_t)sqlite3_value_bytes(value) : 0;
            if (!data) to->failed = true;
            else write_string(to, data, length);
            break;
        case SQLITE_BLOB:
            data = sqlite3_value_blob(value);
            length = (size_t)sqlite3_value_bytes(value);
            write_head(to, BYTES, length);
            bytes_add(to, data, length);
            break;
        default: bytes_add_byte(to, NOTHING);
    }
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
            sqlite3_str_appendf(to, "%.17g", read_big(r->at, size, negative));
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
            sqlite3_result_double(to, read_big(r->at, size, negative));
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
