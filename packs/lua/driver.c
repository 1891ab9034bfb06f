/* Driver of the Lua pack: the guest ABI (docs/reference/guest-abi.md) on top of Lua's own core. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wasi/api.h>
#include <wasi/libc-environ.h>
#include "driver.h"
#include "lauxlib.h"
#include "lualib.h"
/* Lua's inside: for what must be put right where something was left in the middle. */
#include "lgc.h"
#include "lstate.h"

/* A fork of the snapshot may make this much before its first garbage collection, which touches every page. */
#define COLLECT_AFTER_BYTES (1 << 20)
/* Kept back, so that a session whose memory is full can still tell so, and run the cell that lets go of it. */
#define RESERVE_BYTES (128 << 10)
/* What `incnny` in lstate.h adds: the main thread never yields. */
#define NOT_YIELDABLE 0x10000
enum { WANT_VALUE = 1 };
enum { CODE_PLAIN, CODE_TEXT };
/* How something that ran was left. */
enum { LEFT_NOWHERE, LEFT_BY_STOP, LEFT_BY_EXIT };

extern const char boot_start[], boot_end[];
extern void __wasilibc_reset_preopens(void);

lua_State *state;
bool live;
static struct { int32_t status, code; uint32_t value, value_length, error, error_length; } result;
static struct bytes value_bytes, error_bytes;
static bool busy, closing;
static int cells, exit_status, resume_function, seed_function;
static void *reserve;
static char *stopped_at;   /* the traceback of what was stopped; malloc'ed */
static jmp_buf way_out;
static bool way_is_open, told_place;

static void die(const char *what) {
    fprintf(stderr, "ringfence lua: %s\n", what);
    abort();
}

/* ---- leaving what runs ---- */

void driver_stop(lua_State *L) {
    if (!way_is_open) return;
    if (!told_place) {
        told_place = true;   /* where memory is short the next line throws, and what it throws may be caught: once */
        if (isLua(L->ci) && L->top.p < L->ci->top.p) L->top.p = L->ci->top.p;
        luaL_traceback(L, L, NULL, 0);
        free(stopped_at);
        stopped_at = strdup(lua_tostring(L, -1));
    }
    longjmp(way_out, LEFT_BY_STOP);
}
void driver_exit(lua_State *L, int status, int close) {
    if (!way_is_open) return;
    exit_status = status & 0xff;
    closing = close;
    longjmp(way_out, LEFT_BY_EXIT);
}
/* After a jump over Lua's own frames: as the end of an error that nobody caught, but for what would run code. */
static void recover(void) {
    G(state)->gcstp &= ~GCSTPGC;
    G(state)->gcemergency = 0;
    state->errorJmp = NULL;
    state->allowhook = 1;
    if (!closing) state->tbclist.p = state->stack.p;
    lua_closethread(state, NULL);
    state->nCcalls = NOT_YIELDABLE;
    lua_settop(state, 0);
}
/* Runs `work`, and tells how it was left. */
static int guarded(int (*work)(void *), void *argument, int *done) {
    static volatile int left;
    left = setjmp(way_out);
    if (left == LEFT_NOWHERE) {
        way_is_open = true;
        *done = work(argument);
    } else recover();   /* what closes may leave by the same way, and is then done with */
    way_is_open = false;
    return left;
}

/* ---- snapshots and forks ---- */

void settle(bool template) {
    fflush(NULL);
    if (!template) return;
    resume_word = RESUME_SNAPSHOT;
    __wasilibc_reset_preopens();
    lua_gc(state, LUA_GCCOLLECT);
    luaE_setdebt(G(state), -COLLECT_AFTER_BYTES);
}

/* Takes over what the host offers to a run that begins. */
static void adopt(void) {
    lua_rawgeti(state, LUA_REGISTRYINDEX, resume_function);
    if (lua_pcall(state, 0, 0, 0)) lua_pop(state, 1);
}
static void resume(void) {
    driver_interrupted = NOT_INTERRUPTED;
    closing = told_place = false;
    if (resume_word == RESUME_NOTHING) return;
    bool first = resume_word != RESUME_COPY;
    resume_word = RESUME_NOTHING;
    __wasilibc_reset_preopens();
    if (first) __wasilibc_deinitialize_environ();
    lua_Integer seed[2] = {1, 2};
    if (__wasi_random_get((uint8_t *)seed, sizeof seed)) seed[0] = (lua_Integer)time(NULL);
    lua_rawgeti(state, LUA_REGISTRYINDEX, seed_function);
    lua_pushinteger(state, seed[0]);
    lua_pushinteger(state, seed[1]);
    if (lua_pcall(state, 2, 0, 0)) lua_pop(state, 1);
    if (first && live) adopt();
}

/* ---- errors ---- */

static void use_reserve(void) {
    void *room = malloc(RESERVE_BYTES / 4);
    free(room);
    if (room) return;
    free(reserve);
    reserve = NULL;
}
static void keep_reserve(void) {
    if (!reserve) reserve = malloc(RESERVE_BYTES);
}

/* What was thrown becomes a list: its type, its message, and the traceback. */
static int describe(lua_State *L) {
    const char *message = lua_tostring(L, 1);
    bool of_host = false;
    lua_createtable(L, 3, 0);
    lua_pushliteral(L, "Error");
    if (!message && lua_type(L, 1) == LUA_TTABLE && lua_getmetatable(L, 1)) {
        lua_getfield(L, LUA_REGISTRYINDEX, "HostError");
        if (lua_rawequal(L, -1, -2)) {
            lua_pushliteral(L, "message");
            lua_rawget(L, 1);
            message = lua_tostring(L, -1);
            lua_pushliteral(L, "type");
            lua_rawget(L, 1);
            if (lua_type(L, -1) == LUA_TSTRING) lua_copy(L, -1, 3);
            of_host = message;
        }
    }
    if (message) lua_pushstring(L, message);
    else if (!luaL_callmeta(L, 1, "__tostring") || lua_type(L, -1) != LUA_TSTRING)
        lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
    int text = lua_gettop(L);
    if (of_host) lua_pushfstring(L, "%s: %s", lua_tostring(L, 3), lua_tostring(L, text));
    luaL_traceback(L, L, lua_tostring(L, -1), 1);
    lua_rawseti(L, 2, 3);
    lua_pushvalue(L, text);
    lua_rawseti(L, 2, 2);
    lua_pushvalue(L, 3);
    lua_rawseti(L, 2, 1);
    lua_settop(L, 2);
    return 1;
}
static const char *part(int index, int i, const char *otherwise, size_t *length) {
    if (lua_type(state, index) == LUA_TTABLE) lua_rawgeti(state, index, i);
    else lua_pushnil(state);
    const char *text = lua_type(state, -1) == LUA_TSTRING ? lua_tolstring(state, -1, length) : NULL;
    if (!text) *length = strlen(text = otherwise);
    return text;
}
static void give_error(const char *type, const char *message, size_t message_length, const char *traceback, size_t length) {
    static const char newline[] = "\n";
    struct bytes text = {0};
    bytes_add(&text, traceback, length);
    bytes_add(&text, newline, 1);
    error_bytes.length = 0;
    write_head(&error_bytes, MAP, 3);
    write_text(&error_bytes, "type", 4);
    write_text(&error_bytes, type, strlen(type));
    write_text(&error_bytes, "message", 7);
    write_text(&error_bytes, message, message_length);
    write_text(&error_bytes, "traceback", 9);
    write_text(&error_bytes, text.failed ? message : (char *)text.data, text.failed ? message_length : text.length);
    free(text.data);
    result.status = STATUS_ERROR;
    if (error_bytes.failed) return;
    result.error = (uint32_t)error_bytes.data;
    result.error_length = error_bytes.length;
}
/* The error on top of the stack, as lua_pcall leaves it with this status. */
static void give_thrown(int status) {
    int index = lua_gettop(state);
    size_t lengths[4];
    const char *message = lua_type(state, index) == LUA_TSTRING ? lua_tolstring(state, index, &lengths[0]) : NULL;
    if (!message) *lengths = strlen(message = status == LUA_ERRMEM ? "not enough memory" : "an error that cannot be shown");
    const char *type = part(index, 1, status == LUA_ERRSYNTAX ? "SyntaxError" : status == LUA_ERRMEM ? "MemoryError" : "Error", &lengths[1]);
    const char *said = part(index, 2, message, &lengths[2]), *traceback = part(index, 3, message, &lengths[3]);
    if (said == message) lengths[2] = lengths[0];
    if (traceback == message) lengths[3] = lengths[0];
    result.code = EXIT_ERROR;
    give_error(type, said, lengths[2], traceback, lengths[3]);
}
/* Nothing could catch it, so this is the only one that tells why. */
static const char *why_stopped(const char **type, int *code) {
    static const char *const types[] = {"", "TimeoutError", "KeyboardInterrupt", "MemoryError"};
    static const char *const messages[] = {"", "the deadline is reached", "interrupted", "not enough memory"};
    uint32_t by = driver_interrupted <= BY_MEMORY ? driver_interrupted : BY_DEADLINE;
    *type = types[by];
    *code = by == BY_DEADLINE ? EXIT_DEADLINE : by == BY_KEYBOARD ? EXIT_KEYBOARD : EXIT_ERROR;
    return messages[by];
}
static void give_stopped(void) {
    const char *type;
    int code;
    const char *message = why_stopped(&type, &code);
    struct bytes text = {0};
    bytes_add(&text, message, strlen(message));
    if (stopped_at) {
        bytes_add(&text, "\n", 1);
        bytes_add(&text, stopped_at, strlen(stopped_at));
    }
    bool whole = text.data && !text.failed;
    give_error(type, message, strlen(message), whole ? (char *)text.data : message, whole ? text.length : strlen(message));
    result.code = code;
    free(text.data);
}

/* ---- cells and programs ---- */

/* Protected: the values above the first, which are many as a list; `nil` is nothing. */
static int write_values(lua_State *L) {
    int count = lua_gettop(L);
    value_bytes.length = value_bytes.items = 0;
    value_bytes.failed = false;
    if (count > 1) write_head(&value_bytes, ARRAY, (uint64_t)count);
    int wrote = VALUE_PLAIN;
    for (int i = 1; i <= count && !wrote; i++) wrote = value_write(L, i, &value_bytes);
    result.code = wrote || value_bytes.failed ? CODE_TEXT : CODE_PLAIN;
    if (result.code == CODE_TEXT) {
        luaL_Buffer text;
        luaL_buffinit(L, &text);
        for (int i = 1; i <= count; i++) {
            if (i > 1) luaL_addchar(&text, '\t');
            luaL_tolstring(L, i, NULL);
            luaL_addvalue(&text);
        }
        luaL_pushresult(&text);
        struct bytes shown = {0};
        size_t length;
        const char *chars = lua_tolstring(L, -1, &length);
        value_bytes.length = 0;
        write_text(&shown, chars, length);   /* for its escapes: what stands in front of the text is left out */
        size_t head = !shown.data ? 0 : (*shown.data & 31) < 24 ? 1 : 1 + (1u << ((*shown.data & 31) - 24));
        value_bytes.failed = shown.failed;
        if (!shown.failed) bytes_add(&value_bytes, shown.data + head, shown.length - head);
        free(shown.data);
    }
    if (value_bytes.failed) return luaL_error(L, "not enough memory");
    result.status = STATUS_VALUE;
    result.value = (uint32_t)value_bytes.data;
    result.value_length = value_bytes.length;
    return 0;
}

struct cell { const char *text; size_t length; uint32_t flags; };

/* An expression is a cell, too: `return` is put in front of it first. */
static int load_cell(struct cell *cell, const char *name) {
    int status = LUA_ERRSYNTAX;
    char *expression = cell->flags & WANT_VALUE ? malloc(cell->length + 8) : NULL;
    if (expression) {
        memcpy(expression, "return ", 7);
        memcpy(expression + 7, cell->text, cell->length);
        expression[cell->length + 7] = '\n';   /* ends a comment */
        status = luaL_loadbufferx(state, expression, cell->length + 8, name, "t");
        free(expression);
        if (status == LUA_OK) return status;
        lua_settop(state, 1);
    }
    return luaL_loadbufferx(state, cell->text, cell->length, name, "t");
}
static int run_cell(void *argument) {
    struct cell *cell = argument;
    char name[32];
    snprintf(name, sizeof name, "=<cell %d>", ++cells);
    lua_settop(state, 0);
    if (!cell->text) {
        int64_t given = host_push(state, "S", 1);
        if (given < 0) {
            lua_pushliteral(state, "the host handed in no source");
            return LUA_ERRRUN;
        }
        cell->text = lua_touserdata(state, 1);
        cell->length = (size_t)given;
    } else lua_pushnil(state);
    int status = load_cell(cell, name);
    if (status) return status;
    lua_pushcfunction(state, describe);
    lua_insert(state, 2);
    if ((status = lua_pcall(state, 0, LUA_MULTRET, 2))) return status;
    lua_remove(state, 2);
    lua_remove(state, 1);
    int count = lua_gettop(state);
    if (!(cell->flags & WANT_VALUE) || !count || (count == 1 && lua_isnil(state, 1))) return LUA_OK;
    lua_pushcfunction(state, describe);
    lua_insert(state, 1);
    lua_pushcfunction(state, write_values);
    lua_insert(state, 2);
    return lua_pcall(state, count, 0, 1);
}

void *EXPORT(rf_eval)(const char *p, uint32_t n, uint32_t flags) {
    if (busy) return NULL;   /* called from inside a host call */
    busy = true;
    resume();
    memset(&result, 0, sizeof result);
    error_bytes.failed = false;
    use_reserve();
    struct cell cell = {p, n, flags};
    int status = LUA_OK, left = guarded(run_cell, &cell, &status);
    if (left != LEFT_NOWHERE || status) {
        use_reserve();
        memset(&result, 0, sizeof result);
    }
    if (left == LEFT_BY_EXIT) {
        result.status = STATUS_EXIT;
        result.code = exit_status;
    } else if (left == LEFT_BY_STOP || driver_interrupted) give_stopped();
    else if (status) give_thrown(status);
    free(stopped_at);
    stopped_at = NULL;
    lua_settop(state, 0);
    keep_reserve();
    fflush(stdout);
    busy = false;
    return &result;
}

struct line { int count; char **words; };

static int run_line(void *argument) {
    struct line *line = argument;
    return command(state, line->count, line->words) ? EXIT_SUCCESS : EXIT_ERROR;
}
static int run_finalizers(void *unused) {
    driver_finalize(state);
    return 0;
}

int EXPORT(rf_run)(void) {
    if (busy) return -1;
    busy = true;
    resume();
    __wasi_size_t count = 0, size = 0;
    if (__wasi_args_sizes_get(&count, &size)) count = 0;
    char **words = calloc(count + 1, sizeof *words), *held = malloc(size + 1);
    if (!words || !held || __wasi_args_get((uint8_t **)words, (uint8_t *)held)) count = 0;
    struct line line = {(int)count, words};
    int code = EXIT_ERROR, left = guarded(run_line, &line, &code), unused;
    bool finalize = left == LEFT_NOWHERE || (left == LEFT_BY_EXIT && closing);
    if (left == LEFT_BY_EXIT) code = exit_status;
    if (finalize && !driver_interrupted && (left = guarded(run_finalizers, NULL, &unused)) == LEFT_BY_EXIT) code = exit_status;
    if (left == LEFT_BY_STOP || driver_interrupted) {
        const char *type, *message = why_stopped(&type, &code);
        fflush(stdout);
        fprintf(stderr, "lua: %s\n%s%s", message, stopped_at ? stopped_at : "", stopped_at ? "\n" : "");
    }
    fflush(NULL);
    busy = false;
    return code & 0xff;
}

void EXPORT(rf_start)(void) { __wasi_proc_exit((__wasi_exitcode_t)rf_run()); }

/* ---- rf_init ---- */

/* Runs usual code, so that what is made at its first use is in the snapshot, and a fork writes to fewer pages. */
static void warm_up(void) {
    static const char *const usual[] = {
        "1+1", "x = 1", "x = x + 1", "x", "return {1, 'a', {b = 2}}", "error('e')", "nil_.x", "string.format('%d %s', 1, 'x')", "os.time()",
        "local t = {3, 1, 2} table.sort(t) return (string.gsub('banana', 'a', 'b'))", "pcall(error, 'e')", "io.write(''); tostring(print)", "f(",
    };
    static char *words[] = {"lua", "-c", "x", "io.write('')", NULL};
    struct line line = {4, words};
    int code;
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
            resume_word = RESUME_SNAPSHOT;
            rf_eval(usual[i], strlen(usual[i]), WANT_VALUE);
        }
        adopt();
        guarded(run_line, &line, &code);
    }
    for (size_t i = 0; i < 2; i++) {
        lua_pushnil(state);
        lua_setglobal(state, i ? "x" : "arg");
    }
    cells = 0;
    memset(&result, 0, sizeof result);
}

void EXPORT(rf_init)(void) {
    static char output[32768];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    if (!(state = luaL_newstate())) die("no memory");
    luaL_openlibs(state);
    lua_gc(state, LUA_GCGEN, 0, 0);
    lua_getglobal(state, "math");
    lua_getfield(state, -1, "randomseed");
    seed_function = luaL_ref(state, LUA_REGISTRYINDEX);
    if (luaL_loadbufferx(state, boot_start, (size_t)(boot_end - boot_start), "=boot", "t")) die(lua_tostring(state, -1));
    host_open(state);
    if (lua_pcall(state, 1, 1, 0)) die(lua_tostring(state, -1));
    resume_function = luaL_ref(state, LUA_REGISTRYINDEX);
    lua_getglobal(state, "ringfence");
    lua_getfield(state, -1, "HostError");
    lua_setfield(state, LUA_REGISTRYINDEX, "HostError");
    lua_settop(state, 0);
    keep_reserve();
    warm_up();
    settle(true);
    live = true;
}
