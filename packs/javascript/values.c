/* Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md. Writing runs no guest code but
 * getters that a guest has put on Array.prototype. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "driver.h"
#include "engine.h"

#define MAX_SAFE_INTEGER 9007199254740991.0

static int write_number(struct bytes *to, double number) {
    if (fabs(number) <= MAX_SAFE_INTEGER && number == trunc(number) && !(number == 0 && signbit(number))) {
        write_integer(to, (int64_t)number);
    } else write_float(to, number);
    return VALUE_PLAIN;
}

static int write_bigint(JSContext *ctx, struct bytes *to, JSValueConst value) {
    bool negative;
    size_t length;
    uint8_t *bytes = engine_bigint_bytes(ctx, value, &negative, &length);
    if (!bytes) {
        to->failed = true;
        return VALUE_PLAIN;
    }
    if (length <= 8) {
        uint64_t n = 0;
        for (size_t i = 0; i < length; i++) n = n << 8 | bytes[i];
        write_head(to, negative ? NEGATIVE : UNSIGNED, n);
    } else {
        write_head(to, TAG, negative ? TAG_BIG_NEGATIVE : TAG_BIG);
        write_head(to, BYTES, length);
        bytes_add(to, bytes, length);
    }
    free(bytes);
    return VALUE_PLAIN;
}

/* A lone surrogate comes from the engine as the three bytes that UTF-8 does not have. */
static bool has_lone_surrogate(const uint8_t *text, size_t length) {
    for (const uint8_t *at = text, *end = text + length; (at = memchr(at, 0xed, (size_t)(end - at))); at++)
        if (end - at > 1 && at[1] >= 0xa0) return true;
    return false;
}
static int add_text(struct bytes *to, const char *text, size_t length) {
    if (has_lone_surrogate((const uint8_t *)text, length)) return VALUE_NOT_PLAIN;
    write_head(to, TEXT, length);
    bytes_add(to, text, length);
    return VALUE_PLAIN;
}
static int write_js_text(JSContext *ctx, struct bytes *to, JSValueConst value) {
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, value);
    if (!text) return VALUE_THROWN;
    int wrote = add_text(to, text, length);
    JS_FreeCString(ctx, text);
    return wrote;
}

static int write_any(JSContext *ctx, struct bytes *to, JSValueConst value, int depth);

static int write_array(JSContext *ctx, struct bytes *to, JSValueConst array, int depth) {
    int64_t length;
    if (JS_GetLength(ctx, array, &length)) return VALUE_THROWN;
    write_head(to, ARRAY, (uint64_t)length);
    for (int64_t i = 0; i < length; i++) {
        JSValue item = JS_GetPropertyInt64(ctx, array, i);
        if (JS_IsException(item)) return VALUE_THROWN;
        int wrote = write_any(ctx, to, item, depth);
        JS_FreeValue(ctx, item);
        if (wrote) return wrote;
    }
    return VALUE_PLAIN;
}

static int write_property(JSContext *ctx, struct bytes *to, JSValueConst object, JSAtom name, int depth) {
    JSPropertyDescriptor found;
    JSValue key = JS_AtomToValue(ctx, name);
    int wrote = JS_IsString(key) ? write_js_text(ctx, to, key) : VALUE_NOT_PLAIN;   /* else a symbol */
    JS_FreeValue(ctx, key);
    if (wrote) return wrote;
    int has = JS_GetOwnProperty(ctx, &found, object, name);
    if (has <= 0) return has < 0 ? VALUE_THROWN : VALUE_NOT_PLAIN;
    wrote = found.flags & JS_PROP_GETSET ? VALUE_NOT_PLAIN : write_any(ctx, to, found.value, depth);
    JS_FreeValue(ctx, found.value);
    JS_FreeValue(ctx, found.getter);
    JS_FreeValue(ctx, found.setter);
    return wrote;
}

static int write_object(JSContext *ctx, struct bytes *to, JSValueConst object, int depth) {
    JSPropertyEnum *names;
    uint32_t count;
    if (JS_GetOwnPropertyNames(ctx, &names, &count, object, JS_GPN_STRING_MASK | JS_GPN_SYMBOL_MASK | JS_GPN_ENUM_ONLY)) return VALUE_THROWN;
    write_head(to, MAP, count);
    int wrote = VALUE_PLAIN;
    for (uint32_t i = 0; i < count && !wrote; i++) wrote = write_property(ctx, to, object, names[i].atom, depth);
    JS_FreePropertyEnum(ctx, names, count);
    return wrote;
}

static int write_any(JSContext *ctx, struct bytes *to, JSValueConst value, int depth) {
    double number;
    if (to->failed) return VALUE_PLAIN;
    if (to->items++ > MAX_ITEMS || driver_interrupted) {
        JS_ThrowRangeError(ctx, "the value has more items than the host takes");
        return VALUE_THROWN;
    }
    switch (JS_VALUE_GET_NORM_TAG(value)) {
        case JS_TAG_NULL: case JS_TAG_UNDEFINED: return bytes_add_byte(to, NOTHING), VALUE_PLAIN;
        case JS_TAG_BOOL: return bytes_add_byte(to, JS_VALUE_GET_BOOL(value) ? TRUE : FALSE), VALUE_PLAIN;
        case JS_TAG_INT: return write_number(to, JS_VALUE_GET_INT(value));
        case JS_TAG_FLOAT64: return JS_ToFloat64(ctx, &number, value) ? VALUE_THROWN : write_number(to, number);
        case JS_TAG_SHORT_BIG_INT: case JS_TAG_BIG_INT: return write_bigint(ctx, to, value);
        case JS_TAG_STRING: case JS_TAG_STRING_ROPE: return write_js_text(ctx, to, value);
        case JS_TAG_OBJECT: break;
        default: return VALUE_NOT_PLAIN;
    }
    if (JS_GetTypedArrayType(value) == JS_TYPED_ARRAY_UINT8) {
        size_t length;
        const uint8_t *bytes = JS_GetUint8Array(ctx, &length, value);
        if (!bytes && length) return VALUE_THROWN;
        write_head(to, BYTES, length);
        bytes_add(to, bytes, length);
        return VALUE_PLAIN;
    }
    int kind = engine_kind(ctx, value);
    if (kind == ENGINE_OTHER || depth >= MAX_DEPTH) return VALUE_NOT_PLAIN;
    return kind == ENGINE_ARRAY ? write_array(ctx, to, value, depth + 1) : write_object(ctx, to, value, depth + 1);
}

int value_write(JSContext *ctx, JSValueConst value, struct bytes *to) { return write_any(ctx, to, value, 0); }

static JSValue malformed(JSContext *ctx) { return JS_ThrowPlainError(ctx, "the host's answer is malformed"); }

static JSValue read_integer(JSContext *ctx, uint64_t n, bool negative) {
    if (n <= (uint64_t)MAX_SAFE_INTEGER - negative) return JS_NewInt64(ctx, negative ? -1 - (int64_t)n : (int64_t)n);
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(n >> 8 * (7 - i));
    return engine_bigint(ctx, bytes, sizeof bytes, negative);
}

static JSValue read_any(JSContext *ctx, struct reader *r, int depth);

static JSValue read_array(JSContext *ctx, struct reader *r, uint64_t length, int depth) {
    JSValue array = JS_NewArray(ctx);
    for (uint32_t i = 0; i < length; i++) {
        JSValue item = read_any(ctx, r, depth);
        if (JS_IsException(item) || JS_DefinePropertyValueUint32(ctx, array, i, item, JS_PROP_C_W_E) < 0) {
            JS_FreeValue(ctx, array);
            return JS_EXCEPTION;
        }
    }
    return array;
}

/* Properties are defined, not set: `__proto__` is a key like any other. */
static JSValue read_map(JSContext *ctx, struct reader *r, uint64_t length, int depth) {
    JSValue object = JS_NewObject(ctx);
    for (uint64_t i = 0; i < length; i++) {
        int major, low;
        uint64_t size;
        JSAtom name = JS_ATOM_NULL;
        JSValue item = JS_EXCEPTION;
        if (!read_head(r, &major, &low, &size)) malformed(ctx);
        else if (major == UNSIGNED || major == NEGATIVE) JS_ThrowTypeError(ctx, "the host's answer has a key that is a number, not a text");
        else if (major != TEXT || size > (uint64_t)(r->end - r->at)) malformed(ctx);
        else if ((name = JS_NewAtomLen(ctx, (const char *)r->at, (size_t)size)) != JS_ATOM_NULL) {
            r->at += size;
            item = read_any(ctx, r, depth);
        }
        bool failed = JS_IsException(item) || JS_DefinePropertyValue(ctx, object, name, item, JS_PROP_C_W_E) < 0;
        JS_FreeAtom(ctx, name);
        if (failed) {
            JS_FreeValue(ctx, object);
            return JS_EXCEPTION;
        }
    }
    return object;
}

static JSValue read_any(JSContext *ctx, struct reader *r, int depth) {
    int major, low;
    uint64_t n;
    if (!read_head(r, &major, &low, &n)) return malformed(ctx);
    uint64_t left = (uint64_t)(r->end - r->at);
    const uint8_t *at = r->at;
    switch (major) {
        case UNSIGNED: case NEGATIVE: return read_integer(ctx, n, major == NEGATIVE);
        case BYTES: case TEXT:
            if (n > left) return malformed(ctx);
            r->at += n;
            return major == BYTES ? JS_NewUint8ArrayCopy(ctx, at, (size_t)n) : JS_NewStringLen(ctx, (const char *)at, (size_t)n);
        case ARRAY: case MAP:
            if (n > left || depth >= MAX_DEPTH) return malformed(ctx);
            return major == ARRAY ? read_array(ctx, r, n, depth + 1) : read_map(ctx, r, n, depth + 1);
        case TAG: {
            uint64_t size, tag = n;
            if ((tag != TAG_BIG && tag != TAG_BIG_NEGATIVE) || !read_head(r, &major, &low, &size) || major != BYTES || size > left) return malformed(ctx);
            at = r->at;
            if (size > (uint64_t)(r->end - at)) return malformed(ctx);
            r->at += size;
            return engine_bigint(ctx, at, (size_t)size, tag == TAG_BIG_NEGATIVE);
        }
        default: break;
    }
    if (low == 20 || low == 21) return JS_NewBool(ctx, low == 21);
    if (low == 22) return JS_NULL;
    if (low != 27) return malformed(ctx);
    double number;
    memcpy(&number, &n, sizeof number);
    return JS_NewFloat64(ctx, number);
}

JSValue value_read(JSContext *ctx, const uint8_t *bytes, size_t length) {
    struct reader r = {bytes, bytes + length};
    JSValue value = read_any(ctx, &r, 0);
    if (!JS_IsException(value) && r.at != r.end) {
        JS_FreeValue(ctx, value);
        return malformed(ctx);
    }
    return value;
}
