/* The host, as C and the boot script see it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>
#include "lauxlib.h"
#include "driver.h"

#define SMALL_ANSWER 512
#define NEW_NAME_TRIES 100

int64_t host_push(lua_State *L, const void *message, size_t length) {
    uint8_t small[SMALL_ANSWER];
    int64_t given = host_call(message, length, small, sizeof small);
    if (given < 0) return given;
    uint8_t *answer = lua_newuserdatauv(L, given ? (size_t)given : 1, 0);
    if (given <= SMALL_ANSWER) memcpy(answer, small, (size_t)given);
    else if (!host_take(answer, (size_t)given)) {
        lua_pop(L, 1);
        return REFUSED;
    }
    return given;
}

static int refused(lua_State *L, int64_t why) {
    return luaL_error(L, "%s", why == ABSENT     ? "the host has nothing of this kind for this run"
                               : why == TOO_LONG ? "the message, or its answer, is longer than the host allows"
                                                 : "the host refused this message");
}
/* Sends what was written, and pushes the answer's value. */
static int ask_written(lua_State *L, struct bytes *message, int wrote) {
    if (wrote || message->failed) {
        free(message->data);
        return luaL_error(L, wrote ? "only plain values reach the host: nil, booleans, numbers, strings, tables of them" : "not enough memory");
    }
    const void *kept = lua_pushlstring(L, (char *)message->data, message->length);   /* what is thrown must not leak it */
    free(message->data);
    int64_t given = host_push(L, kept, message->length);
    if (given < 0) return refused(L, given);
    value_read(L, lua_touserdata(L, -1), (size_t)given);
    return 1;
}

/* offered(): what the host tells of its functions; nothing where there are none. What throws costs twice a run. */
static int host_offered(lua_State *L) {
    int64_t given = host_push(L, "L", 1);
    if (given < 0) return 0;
    value_read(L, lua_touserdata(L, -1), (size_t)given);
    return 1;
}

/* call(name, arguments, keywords): `arguments` as of table.pack, or a list; gives [0, value] or [1, type, message]. */
static int host_function(lua_State *L) {
    size_t length;
    const char *name = luaL_checklstring(L, 1, &length);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 3);
    lua_pushliteral(L, "n");
    lua_rawget(L, 2);
    lua_Integer count = lua_isinteger(L, 4) ? lua_tointeger(L, 4) : (lua_Integer)lua_rawlen(L, 2);
    if (count < 0 || count > 100000) return luaL_error(L, "too many arguments");
    struct bytes message = {0};
    bytes_add(&message, "F", 1);
    write_head(&message, ARRAY, 3);
    write_text(&message, name, length);
    write_head(&message, ARRAY, (uint64_t)count);
    int wrote = VALUE_PLAIN;
    for (lua_Integer i = 1; i <= count && !wrote; i++) {
        lua_rawgeti(L, 2, i);
        wrote = value_write(L, -1, &message);
        lua_pop(L, 1);
    }
    bool keywords = lua_type(L, 3) == LUA_TTABLE;
    if (keywords) {
        lua_pushnil(L);
        keywords = lua_next(L, 3);
        lua_settop(L, 4);
    }
    if (!keywords) write_head(&message, MAP, 0);
    else if (!wrote) wrote = value_write(L, 3, &message);
    return ask_written(L, &message, wrote);
}

/* raw(message): one message as it is, the answer as it is. */
static int host_raw(lua_State *L) {
    size_t length;
    const char *message = luaL_checklstring(L, 1, &length);
    int64_t given = host_push(L, message, length);
    if (given < 0) return refused(L, given);
    lua_pushlstring(L, lua_touserdata(L, -1), (size_t)given);
    return 1;
}

void host_open(lua_State *L) {
    static const luaL_Reg functions[] = {{"offered", host_offered}, {"call", host_function}, {"raw", host_raw}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_pushlightuserdata(L, &null_mark);
    lua_setfield(L, -2, "null");
}

/* ---- new files in /tmp ---- */

static int new_file(char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for (int i = 0; i < NEW_NAME_TRIES; i++) {
        uint8_t random[6];
        if (__wasi_random_get(random, sizeof random)) return -1;   /* arc4random has a state, which copies would share */
        strcpy(name, "/tmp/lua_XXXXXX");
        for (size_t k = 0; k < sizeof random; k++) name[9 + k] = letters[random[k] % (sizeof letters - 1)];
        int made = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (made >= 0 || errno != EEXIST) return made;
    }
    return -1;
}
int driver_new_name(char *name) {
    int made = new_file(name);
    return made < 0 || close(made);
}
FILE *driver_new_file(void) {
    char name[LUA_TMPNAMBUFSIZE];
    int made = new_file(name);
    if (made < 0) return NULL;
    unlink(name);
    FILE *file = fdopen(made, "w+");
    if (!file) close(made);
    return file;
}

/* ---- standard input, in the way of the C library (the linker's `--wrap`) ---- */

__wasi_errno_t __real___wasi_fd_read(__wasi_fd_t fd, const __wasi_iovec_t *pieces, size_t count, __wasi_size_t *given);

/* A question that a program has written is seen before it waits for the answer. */
__wasi_errno_t __wrap___wasi_fd_read(__wasi_fd_t fd, const __wasi_iovec_t *pieces, size_t count, __wasi_size_t *given) {
    if (!fd) fflush(stdout);
    return __real___wasi_fd_read(fd, pieces, count, given);
}
