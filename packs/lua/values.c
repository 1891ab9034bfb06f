/* Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lauxlib.h"
#include "driver.h"

char null_mark;

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
        else if (is_text(name, size)) write_text(to, name, size);
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
    const char *text;
    size_t length;
    if (to->failed || to->items++ > MAX_ITEMS || driver_interrupted || !lua_checkstack(L, 8)) return VALUE_NOT_PLAIN;
    switch (lua_type(L, index)) {
        case LUA_TNIL: case LUA_TNONE: bytes_add_byte(to, NOTHING); break;
        case LUA_TBOOLEAN: bytes_add_byte(to, lua_toboolean(L, index) ? TRUE : FALSE); break;
        case LUA_TNUMBER:
            if (lua_isinteger(L, index)) write_integer(to, lua_tointeger(L, index));
            else write_float(to, lua_tonumber(L, index));
            break;
        case LUA_TSTRING:
            text = lua_tolstring(L, index, &length);
            write_string(to, text, length);
            break;
        case LUA_TTABLE: return depth < MAX_DEPTH ? write_table(L, index, to, depth + 1) : VALUE_NOT_PLAIN;
        default:
            if (lua_touserdata(L, index) != &null_mark) return VALUE_NOT_PLAIN;
            bytes_add_byte(to, NOTHING);
    }
    return VALUE_PLAIN;
}

int value_write(lua_State *L, int index, struct bytes *to) {
    int top = lua_gettop(L), wrote = write_any(L, lua_absindex(L, index), to, 0);
    lua_settop(L, top);
    return wrote;
}

static void malformed(lua_State *L) { luaL_error(L, "the host's answer is malformed"); }

static uint64_t take_head(lua_State *L, struct reader *r, int *major, int *low) {
    uint64_t n = 0;
    if (!read_head(r, major, low, &n)) malformed(L);
    return n;
}

/* Beyond 64 bits, with their sign, Lua has floats only. */
static void push_integer(lua_State *L, uint64_t n, bool negative) {
    if (n > INT64_MAX) lua_pushnumber(L, negative ? -1 - (double)n : (double)n);
    else lua_pushinteger(L, negative ? -1 - (lua_Integer)n : (lua_Integer)n);
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
            lua_pushnumber(L, read_big(r->at, size, n == TAG_BIG_NEGATIVE));
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
