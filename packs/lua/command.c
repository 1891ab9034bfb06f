/* Lua's own command line, from its lua.c: options, `arg`, LUA_INIT, messages of errors. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "driver.h"
#include "lua.h"
#include "lauxlib.h"
#include "lualib.h"

static int load_script(lua_State *L, const char *name);

/* The libraries are open, and the collector is as lua.c has it, in the snapshot. */
#define luaL_openlibs(L) ((void)0)
#define lua_gc(L, ...) ((void)0)
#undef luaL_loadfile
#define luaL_loadfile load_script
#define lua_stdin_is_tty() isatty(0)
#define main unused_main
#include "source/lua.c"
#undef luaL_openlibs
#undef lua_gc
#undef main

/* The text that the host hands in; where it has none, the file. */
static int load_script(lua_State *L, const char *name) {
    int64_t length = name ? host_push(L, "S", 1) : ABSENT;
    if (length < 0) return luaL_loadfilex(L, name, NULL);
    const char *text = lua_touserdata(L, -1), *end = text + length;
    if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) text += 3;
    if (text < end && *text == '#')
        while (text < end && *text != '\n') text++;   /* the line stays, so that those after it keep their numbers */
    lua_pushfstring(L, "@%s", name);
    int status = luaL_loadbufferx(L, text, (size_t)(end - text), lua_tostring(L, -1), "t");
    lua_rotate(L, -3, 1);
    lua_pop(L, 2);
    return status;
}

/* `-c TEXT [ARG]...`: as a script of that text. */
static int run_text(lua_State *L, int argc, char **argv) {
    createargtable(L, argv + 1, argc - 1, 1);
    lua_getglobal(L, "arg");
    lua_pushstring(L, argv[1]);
    lua_rawseti(L, -2, 0);
    lua_settop(L, 0);
    if (handle_luainit(L) != LUA_OK) return 0;
    int status = luaL_loadbufferx(L, argv[2], strlen(argv[2]), "=(command line)", "t");
    if (status == LUA_OK) {
        int n = pushargs(L);
        status = docall(L, n, 0);
    }
    lua_pushboolean(L, report(L, status) == LUA_OK);
    return 1;
}

/* Its frame, of C, ends every traceback, as that of lua.c does. */
static int run(lua_State *L) {
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    return argc > 2 && !strcmp(argv[1], "-c") ? run_text(L, argc, argv) : pmain(L);
}

bool command(lua_State *L, int argc, char **argv) {
    progname = LUA_PROGNAME;
    lua_settop(L, 0);
    lua_pushcfunction(L, run);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    int status = lua_pcall(L, 2, 1, 0), good = lua_toboolean(L, -1);
    report(L, status);
    lua_settop(L, 0);
    return good && status == LUA_OK;
}
