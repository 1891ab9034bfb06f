/* Driver of the JavaScript pack: the guest ABI (docs/reference/guest-abi.md) on top of QuickJS-NG. */
#include "driver.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wasi/api.h>
#include <wasi/libc-environ.h>
#include "engine.h"
#include "quickjs-libc.h"

/* Of the 8 MiB of linear stack. What runs out first is the host's stack: 4 MiB of it are enough for this much, 3 MiB are
 * not (tests/languages/test_javascript_recursion.py). */
#define STACK_BYTES (1024 * 1024)
/* A fork of the snapshot may make this much before its first garbage collection, which touches every page. */
#define COLLECT_AFTER_BYTES (4 << 20)
/* Kept back, so that a session whose memory is full can still tell so, and run the cell that lets go of it. */
#define RESERVE_BYTES (256 << 10)
extern const char boot_start[], boot_end[];
extern void __wasilibc_reset_preopens(void);

JSRuntime *runtime;
JSContext *context;
struct boot boot;
bool exiting, live;
int exit_status;
double alarm_ms = -1;
int32_t calls_under_way;

enum { CODE_PLAIN, CODE_TEXT };
static struct { int32_t status, code; uint32_t value, value_length, error, error_length; } result;
static uint8_t *value_bytes, *error_bytes;
static void *reserve;
static bool busy, warming;
static int cells;

void die(const char *what) {
    fprintf(stderr, "ringfence javascript: %s\n", what);
    abort();
}
double clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}
void drop_exception(void) { JS_FreeValue(context, JS_GetException(context)); }
int call(JSValueConst function, int argc, JSValueConst *argv) {
    JSValue value = JS_Call(context, function, JS_UNDEFINED, argc, argv);
    if (JS_IsException(value)) return -1;
    JS_FreeValue(context, value);
    return 0;
}
/* The engine takes its error back where an executor of a promise throws it, so that it is thrown again and again. */
static int on_poll(JSContext *ctx, void *opaque) {
    if (!driver_interrupted && !exiting) return 0;
    engine_poll_soon(ctx);
    return 1;
}

/* ---- snapshots and forks ---- */

static JSValue wasi_strings(bool of_environment) {
    __wasi_size_t count = 0, size = 0;
    if (of_environment ? __wasi_environ_sizes_get(&count, &size) : __wasi_args_sizes_get(&count, &size)) count = 0;
    JSValue list = JS_NewArray(context);
    uint8_t **text = count ? malloc(count * sizeof *text + size) : NULL;
    uint8_t *held = (uint8_t *)(text + count);
    if (text && !(of_environment ? __wasi_environ_get(text, held) : __wasi_args_get(text, held)))
        for (__wasi_size_t i = 0; i < count; i++) JS_SetPropertyUint32(context, list, i, JS_NewString(context, (char *)text[i]));
    free(text);
    return list;
}

/* Makes what is alive now ready to be copied; a template is copied often, so it is worth a collection. */
void settle(bool template) {
    fflush(stdout);
    if (call(boot.hold, 0, NULL)) drop_exception();
    if (!template) return;
    resume_word = RESUME_SNAPSHOT;
    __wasilibc_reset_preopens();
    JS_RunGC(runtime);
    JS_SetGCThreshold(runtime, JS_GetGCThreshold(runtime) + COLLECT_AFTER_BYTES);
}

static void resume(void) {
    JS_UpdateStackTop(runtime);
    driver_interrupted = NOT_INTERRUPTED;
    exiting = false;
    if (resume_word == RESUME_NOTHING) return;
    bool first = resume_word != RESUME_COPY;
    resume_word = RESUME_NOTHING;
    live = !warming;
    __wasilibc_reset_preopens();
    uint64_t seed = 0;
    if (__wasi_random_get((uint8_t *)&seed, sizeof seed)) seed = (uint64_t)(clock_ms() * 1e6);
    engine_renew(context, seed);
    if (first) __wasilibc_deinitialize_environ();
    JSValue words[2] = {first ? wasi_strings(false) : JS_NULL, first ? wasi_strings(true) : JS_NULL};
    if (call(boot.resume, 2, words)) drop_exception();
    JS_FreeValue(context, words[0]);
    JS_FreeValue(context, words[1]);
    if (first && live && call(boot.functions, 0, NULL)) drop_exception();
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
    if (reserve) return;
    void *room = malloc(RESERVE_BYTES);
    if ((reserve = malloc(RESERVE_BYTES)) && !room) {
        free(reserve);
        reserve = NULL;
    }
    free(room);
}

static void set_text(JSValueConst object, const char *name, const char *text) {
    JS_DefinePropertyValueStr(context, object, name, JS_NewString(context, text), JS_PROP_WRITABLE | JS_PROP_CONFIGURABLE | JS_PROP_ENUMERABLE);
}

/* Takes what was thrown, as an object of `type`, `message` and `traceback`; `code` is what a program exits with.
 * An interrupt is told by its own name: nothing could catch it, so this is the only one that sees it. */
static JSValue take_error(int *code) {
    static const char *const types[] = {"", "TimeoutError", "KeyboardInterrupt", "RangeError"};
    static const char *const messages[] = {"", "the deadline is reached", "interrupted", "out of memory"};
    use_reserve();
    JSValue error = JS_GetException(context);
    uint32_t by = driver_interrupted;
    driver_interrupted = NOT_INTERRUPTED;
    *code = by == BY_DEADLINE ? EXIT_DEADLINE : by == BY_KEYBOARD ? EXIT_KEYBOARD : EXIT_ERROR;
    if (by && JS_IsError(error)) {
        uint32_t kind = by <= BY_MEMORY ? by : BY_DEADLINE;
        JS_ClearUncatchableError(context, error);
        set_text(error, "name", types[kind]);
        set_text(error, "message", messages[kind]);
    }
    JSValue told = JS_Call(context, boot.describe_error, JS_UNDEFINED, 1, &error);
    if (JS_IsException(told)) {   /* the guest broke what it needs, or memory is short */
        drop_exception();
        told = JS_NewObject(context);
        const char *text = JS_ToCString(context, error);
        if (!text) drop_exception();
        set_text(told, "type", "Error");
        set_text(told, "message", text ? text : "");
        set_text(told, "traceback", text ? text : "an error that cannot be shown");
        JS_FreeCString(context, text);
    }
    JS_FreeValue(context, error);
    return told;
}

/* What code that was stopped has left waiting must not eat every later cell: jobs, and timers of both kinds. */
static void drop_what_waits(void) {
    bool was_exiting = exiting;
    exiting = false;
    engine_drop_jobs(runtime);
    js_std_free_handlers(runtime);
    if (call(boot.reset, 0, NULL)) drop_exception();
    exiting = was_exiting;
}

/* ---- cells and programs ---- */

static void give_value(JSValueConst value) {
    struct bytes bytes = {0};
    result.code = CODE_PLAIN;
    int wrote = value_write(context, value, &bytes);
    if (wrote != VALUE_PLAIN || bytes.failed) {
        if (wrote == VALUE_THROWN) drop_exception();
        bytes.length = 0;
        bytes.failed = false;
        result.code = CODE_TEXT;
        JSValue text = JS_Call(context, boot.inspect, JS_UNDEFINED, 1, &value);
        size_t length;
        const char *chars = JS_IsException(text) ? NULL : JS_ToCStringLen(context, &length, text);
        if (chars) bytes_add(&bytes, chars, length);
        else {   /* the guest broke what it needs, or memory is short */
            static const char unshown[] = "a value that cannot be shown";
            drop_exception();
            bytes_add(&bytes, unshown, sizeof unshown - 1);
        }
        JS_FreeCString(context, chars);
        JS_FreeValue(context, text);
    }
    value_bytes = bytes.data;
    result.status = bytes.failed ? STATUS_NONE : STATUS_VALUE;
    result.value = (uint32_t)bytes.data;
    result.value_length = bytes.length;
}

static void give_error(void) {
    struct bytes bytes = {0};
    bool stopped = driver_interrupted;
    JSValue told = take_error(&result.code);
    result.status = STATUS_ERROR;
    if (value_write(context, told, &bytes) == VALUE_PLAIN && !bytes.failed) {
        result.error = (uint32_t)bytes.data;
        result.error_length = bytes.length;
    }
    error_bytes = bytes.data;
    JS_FreeValue(context, told);
    if (stopped) drop_what_waits();
}

/* A copy of the source with a NUL behind it; p is 0 where the host hands it in. */
static char *take_source(const char *p, uint32_t n, size_t *length) {
    uint8_t *handed = NULL;
    int64_t given = p ? n : host_ask("S", 1, &handed);
    if (given < 0) JS_ThrowPlainError(context, "the host handed in no source");
    char *copy = given < 0 ? NULL : malloc((size_t)given + 1);
    if (copy) {
        memcpy(copy, p ? p : (char *)handed, (size_t)given);
        copy[given] = 0;
        *length = (size_t)given;
    } else if (given >= 0) JS_ThrowOutOfMemory(context);
    free(handed);
    return copy;
}

void *EXPORT(rf_eval)(const char *p, uint32_t n, uint32_t flags) {
    if (busy) return NULL;   /* called from inside a host call */
    busy = true;
    resume();
    memset(&result, 0, sizeof result);
    free(value_bytes);
    free(error_bytes);
    value_bytes = error_bytes = NULL;
    char name[32];
    size_t length;
    JSValue value = JS_EXCEPTION;
    char *source = take_source(p, n, &length);
    if (source) {
        snprintf(name, sizeof name, "<cell %d>", ++cells);
        JSValue words[2] = {JS_NewString(context, name), JS_NewStringLen(context, source, length)};
        if (call(boot.keep, 2, words)) drop_exception();
        JS_FreeValue(context, words[0]);
        JS_FreeValue(context, words[1]);
        value = source_run(source, length, name, AS_FOUND, (flags & (WANT_VALUE | LEAVE_TIMERS)) | IS_CELL);
        free(source);
    }
    if (exiting) {
        drop_exception();
        result.status = STATUS_EXIT;
        result.code = exit_status;
        drop_what_waits();
    } else if (driver_interrupted || JS_IsException(value)) {
        if (!JS_IsException(value)) JS_ThrowInternalError(context, "interrupted");
        give_error();
    } else if ((flags & WANT_VALUE) && !JS_IsUndefined(value)) give_value(value);
    JS_FreeValue(context, value);
    loop_forget_rejections();
    keep_reserve();
    exiting = false;
    fflush(stdout);
    busy = false;
    return &result;
}

/* Runs what boot.prepare made of the command line: [kind, text, name, print], or an exit code. */
static JSValue run_job(JSValueConst job) {
    JSValue part[4];
    int kind;
    size_t length;
    for (int i = 0; i < 4; i++) part[i] = JS_GetPropertyUint32(context, job, i);
    char *text = (char *)JS_ToCStringLen(context, &length, part[1]);
    const char *name = JS_ToCString(context, part[2]);
    bool print = JS_ToBool(context, part[3]) > 0;
    JSValue value = JS_EXCEPTION;
    if (text && name && !JS_ToInt32(context, &kind, part[0])) value = source_run(text, length, name, kind, print ? WANT_VALUE : 0);
    JS_FreeCString(context, text);
    JS_FreeCString(context, name);
    for (int i = 0; i < 4; i++) JS_FreeValue(context, part[i]);
    if (JS_IsException(value)) return value;
    int failed = print ? call(boot.print, 1, &value) : 0;
    JS_FreeValue(context, value);
    return failed ? JS_EXCEPTION : JS_Call(context, boot.exit_code, JS_UNDEFINED, 0, NULL);
}

int EXPORT(rf_run)(void) {
    if (busy) return -1;
    busy = true;
    resume();
    int code = 0;
    JSValue words = wasi_strings(false), job = JS_Call(context, boot.prepare, JS_UNDEFINED, 1, &words), value = job;
    if (JS_IsObject(job)) {
        value = run_job(job);
        JS_FreeValue(context, job);
    }
    JS_FreeValue(context, words);
    if (exiting) code = exit_status;
    else if (JS_IsException(value) || driver_interrupted) {
        if (!JS_IsException(value)) JS_ThrowInternalError(context, "interrupted");
        JSValue told = take_error(&code), traceback = JS_GetPropertyStr(context, told, "traceback");
        const char *text = JS_ToCString(context, traceback);
        fflush(stdout);
        fputs(text ? text : "out of memory\n", stderr);
        JS_FreeCString(context, text);
        JS_FreeValue(context, traceback);
        JS_FreeValue(context, told);
    } else if (JS_ToInt32(context, &code, value)) drop_exception();
    JS_FreeValue(context, value);
    if (exiting) drop_exception();
    loop_forget_rejections();
    exiting = false;
    fflush(stdout);
    busy = false;
    return code & 0xff;
}

void EXPORT(rf_start)(void) { __wasi_proc_exit((__wasi_exitcode_t)rf_run()); }

/* ---- rf_init ---- */

/* Runs usual code, so that what the engine makes at its first use is in the snapshot, and a fork copies fewer pages. */
static void warm_up(void) {
    static const char *const usual[] = {
        "1", "let x = 1; x", "x += 1", "console.log(1, 'a', {a: 1, b: [1, 2, 3]}, new Map([[1, 2]]), new Error('e'), null, 1.5)",
        "throw new Error('e')", "null.x", "({a: [1, 'b', null, true]})", "(function (a, b = 1) { return a + b })(1)",
        "await new Promise(r => setTimeout(r, 1))", "JSON.parse(JSON.stringify({a: [1, 2.5, 'x']}))",
        "'banana'.replace(/a/g, 'b').split('')", "class A { #p = 1; get p() { return this.#p } } new A().p",
        "[3, 1, 2].sort().map(x => x * 2).filter(Boolean).reduce((a, b) => a + b)", "Math.random(); Date.now(); new Date().toISOString()",
        "{ const {a, ...r} = {a: 1, b: 2}; `${a}${Object.keys(r)}` }", "[...(function* () { yield 1 })()]",
        "new Set([1]); new Uint8Array(4); process.argv; process.env",
    };
    /* Properties that the engine makes at their first use. */
    static const char walk[] =
        "(() => { const seen = new Set(); const go = (o, d) => {"
        " if (o === null || typeof o !== 'object' && typeof o !== 'function' || seen.has(o) || d > 4) return; seen.add(o);"
        " for (const k of Reflect.ownKeys(o)) { let q; try { q = Object.getOwnPropertyDescriptor(o, k) } catch { continue }"
        " if (q) { go(q.value, d + 1); go(q.get, d + 1); go(q.set, d + 1) } }"
        " try { go(Object.getPrototypeOf(o), d + 1) } catch { } }; go(globalThis, 0) })()";
    static const char redeclare[] = "let x; class A {}";
    static const char *const line[] = {"js", "-e", "1"};
    warming = true;
    rf_eval(walk, strlen(walk), 0);
    for (int round = 0; round < 10; round++) {
        resume_word = RESUME_SNAPSHOT;
        resume();
        for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) rf_eval(usual[i], strlen(usual[i]), WANT_VALUE);
        JSValue words = JS_NewArray(context);
        for (int i = 0; i < 3; i++) JS_SetPropertyUint32(context, words, i, JS_NewString(context, line[i]));
        if (call(boot.prepare, 1, &words)) die("prepare");
        JS_FreeValue(context, words);
    }
    JSValue script = JS_Eval(context, redeclare, strlen(redeclare), "", JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_COMPILE_ONLY);
    engine_redeclare(context, script);
    JS_FreeValue(context, script);
    free(value_bytes);
    free(error_bytes);
    value_bytes = NULL;
    error_bytes = NULL;
    memset(&result, 0, sizeof result);
    cells = 0;
    warming = false;
}

static void run_boot_script(void) {
    JSValue global = JS_GetGlobalObject(context), native = JS_NewObject(context);
    host_add_functions(native);
    JS_SetPropertyStr(context, global, "native", native);
    JS_FreeValue(context, global);
    JSValue done = JS_Eval(context, boot_start, boot_end - boot_start, "<boot>", JS_EVAL_TYPE_MODULE);
    bool failed = JS_IsException(done) || loop_drain(done, true);
    if (!failed && JS_PromiseState(context, done) == JS_PROMISE_REJECTED) {
        JS_Throw(context, JS_PromiseResult(context, done));
        failed = true;
    }
    if (failed) {
        js_std_dump_error(context);
        die("the boot script failed");
    }
    JS_FreeValue(context, done);
}

void EXPORT(rf_init)(void) {
    static char output[32768];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    if (!(runtime = JS_NewRuntime())) die("no memory");
    JS_SetMaxStackSize(runtime, STACK_BYTES);
    JS_SetGCThreshold(runtime, 64 << 20);
    js_std_init_handlers(runtime);
    if (!(context = JS_NewContext(runtime))) die("no memory");
    JS_SetModuleLoaderFunc2(runtime, NULL, js_module_loader, js_module_check_attributes, NULL);
    JS_SetHostPromiseRejectionTracker(runtime, loop_track_rejection, NULL);
    JS_SetInterruptHandler(runtime, on_poll, NULL);
    js_init_module_std(context, "qjs:std");
    js_init_module_os(context, "qjs:os");
    js_init_module_bjson(context, "qjs:bjson");
    run_boot_script();
    keep_reserve();
    warm_up();
    settle(true);
}
