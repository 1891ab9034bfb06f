/* Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lauxlib.h"
#include "driver.h"

#define MAX_DEPTH 100
/* Without a bound a few tables that share their items would never end. */
#define MAX_ITEMS (4 << 20)
enum { FALSE = 0xf4, TRUE = 0xf5, NOTHING = 0xf6, FLOAT = 0xfb };
enum { TAG_BIG = 2, TAG_BIG_NEGATIVE = 3 };

char null_mark;

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
    if (is_text((const uint8_t *)text, length)) return add_text(to, text, length);
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

static void write_integer(struct bytes *to, lua_Integer number) {
    if (number < 0) write_head(to, NEGATIVE, (uint64_t)(-1 - number));
    else write_head(to, UNSIGNED, (uint64_t)number);
}
static void write_float(struct bytes *to, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    add_byte(to, FLOAT);
    add_big_endian(to, bits, 8);
}
static void write_string(lua_State *L, int index, struct bytes *to) {
    size_t length;
    const char *text = lua_tolstring(L, index, &length);
    write_head(to, is_text((const uint8_t *)text, length) ? TEXT : BYTES, length);
    bytes_add(to, text, length);
}

static int write_any(lua_State *L, int index, struct bytes *to, int depth);

/* What has the keys 1 to n and no other is a list, and so is an empty table; with texts and whole numbers it is a map. */
static int write_table(lua_State *L, int index, struct bytes *to, int depth) {
    if (lua_getmetatable(L, index)) {
        lua_pop(L, 1);
        return VALUE_NOT_PLAIN;
    }
    lua_Unsigned count = 0, length = lua_rawlen(L, index);
    bool list = true;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1), count++) {
        list = list && lua_isinteger(L, -2) && (lua_Unsigned)lua_tointeger(L, -2) - 1 < length;
        if (lua_isinteger(L, -2) || lua_type(L, -2) == LUA_TSTRING) continue;
        lua_pop(L, 2);
        return VALUE_NOT_PLAIN;
    }
    list = list && count == length;
    int wrote = VALUE_PLAIN;
    write_head(to, list ? ARRAY : MAP, count);
    for (lua_Unsigned i = 1; list && i <= length && !wrote; i++) {
        lua_rawgeti(L, index, (lua_Integer)i);
        wrote = write_any(L, lua_gettop(L), to, depth);
        lua_pop(L, 1);
    }
    if (list) return wrote;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        size_t size;
        const char *name = lua_isinteger(L, -2) ? NULL : lua_tolstring(L, -2, &size);
        if (!name) write_integer(to, lua_tointeger(L, -2));
        else if (is_text((const uint8_t *)name, size)) add_text(to, name, size);
        else wrote = VALUE_NOT_PLAIN;
        if (!wrote) wrote = write_any(L, lua_gettop(L), to, depth);
        if (wrote) {
            lua_pop(L, 2);
            break;
        }
    }
    return wrote;
}

static int write_any(lua_State *L, int index, struct bytes *to, int depth) {
    if (to->failed || to->items++ > MAX_ITEMS || driver_interrupted || !lua_checkstack(L, 8)) return VALUE_NOT_PLAIN;
    switch (lua_type(L, index)) {
        case LUA_TNIL: case LUA_TNONE: add_byte(to, NOTHING); break;
        case LUA_TBOOLEAN: add_byte(to, lua_toboolean(L, index) ? TRUE : FALSE); break;
        case LUA_TNUMBER:
            if (lua_isinteger(L, index)) write_integer(to, lua_tointeger(L, index));
            else write_float(to, lua_tonumber(L, index));
            break;
        case LUA_TSTRING: write_string(L, index, to); break;
        case LUA_TTABLE: return depth < MAX_DEPTH ? write_table(L, index, to, depth + 1) : VALUE_NOT_PLAIN;
        default:
            if (lua_touserdata(L, index) != &null_mark) return VALUE_NOT_PLAIN;
            add_byte(to, NOTHING);
    }
    return VALUE_PLAIN;
}

int value_write(lua_State *L, int index, struct bytes *to) {
    int top = lua_gettop(L), wrote = write_any(L, lua_absindex(L, index), to, 0);
    lua_settop(L, top);
    return wrote;
}

struct reader { const uint8_t *at, *end; };

static void malformed(lua_State *L) { luaL_error(L, "the host's answer is malformed"); }

static uint64_t take_head(lua_State *L, struct reader *r, int *major, int *low) {
    if (r->at == r->end) malformed(L);
    *major = *r->at >> 5;
    *low = *r->at++ & 31;
    if (*low < 24) return (uint64_t)*low;
    int width = *low < 28 ? 1 << (*low - 24) : 0;
    if (!width || r->end - r->at < width) malformed(L);
    uint64_t n = 0;
    for (; width; width--) n = n << 8 | *r->at++;
    return n;
}

/* Beyond 64 bits, with their sign, Lua has floats only. */
static void push_integer(lua_State *L, uint64_t n, bool negative) {
    if (n > INT64_MAX) lua_pushnumber(L, negative ? -1 - (double)n : (double)n);
    else lua_pushinteger(L, negative ? -1 - (lua_Integer)n : (lua_Integer)n);
}
static void push_big(lua_State *L, const uint8_t *bytes, uint64_t length, bool negative) {
    double number = 0;
    for (uint64_t i = 0; i < length; i++) number = number * 256 + bytes[i];
    lua_pushnumber(L, negative ? -1 - number : number);
}

static void read_any(lua_State *L, struct reader *r, int depth) {
    int major, low;
    uint64_t n = take_head(L, r, &major, &low), left = (uint64_t)(r->end - r->at);
    luaL_checkstack(L, 8, "the host's answer");
    switch (major) {
        case UNSIGNED: case NEGATIVE: push_integer(L, n, major == NEGATIVE); return;
        case BYTES: case TEXT:
            if (n > left) malformed(L);
            lua_pushlstring(L, (const char *)r->at, (size_t)n);
            r->at += n;
            return;
        case ARRAY: case MAP:
            if (n > left || depth >= MAX_DEPTH) malformed(L);
            lua_createtable(L, major == ARRAY ? (int)n : 0, major == MAP ? (int)n : 0);
            for (lua_Integer i = 1; i <= (lua_Integer)n; i++) {
                if (major == MAP) read_any(L, r, MAX_DEPTH);
                read_any(L, r, depth + 1);
                if (major == ARRAY) lua_rawseti(L, -2, i);
                else if (lua_type(L, -2) == LUA_TSTRING || lua_isinteger(L, -2)) lua_rawset(L, -3);
                else malformed(L);
            }
            return;
        case TAG: {
            uint64_t size = take_head(L, r, &major, &low);
            if ((n != TAG_BIG && n != TAG_BIG_NEGATIVE) || major != BYTES || size > (uint64_t)(r->end - r->at)) malformed(L);
            push_big(L, r->at, size, n == TAG_BIG_NEGATIVE);
            r->at += size;
            return;
        }
        default: break;
    }
    double number;
    if (low == 20 || low == 21) lua_pushboolean(L, low == 21);
    else if (low == 22) lua_pushlightuserdata(L, &null_mark);
    else if (low == 27) {
        memcpy(&number, &n, sizeof number);
        lua_pushnumber(L, number);
    } else malformed(L);
}

void value_read(lua_State *L, const uint8_t *bytes, size_t length) {
    struct reader r = {bytes, bytes + length};
    read_any(L, &r, 0);
    if (r.at != r.end) malformed(L);
}
