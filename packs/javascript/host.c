/* The host, as C and the boot script see it: host calls, output, clocks, random bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>
#include "driver.h"
#include "engine.h"

/* Output that waits in our buffer is given out after this time, so that a slow program is seen to work. */
#define OUTPUT_DELAY_MS 50

static JSValue throw_refused(JSContext *ctx, int64_t why) {
    return JS_ThrowPlainError(ctx, "%s", why == ABSENT     ? "the host has nothing of this kind for this run"
                                         : why == TOO_LONG ? "the message, or its answer, is longer than the host allows"
                                                           : "the host refused this message");
}

/* ask(kind, value): a message of that kind with the value as payload, nothing where it is undefined; the answer's value. */
static JSValue host_ask_value(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    const char *kind = JS_ToCString(ctx, argv[0]);
    if (!kind) return JS_EXCEPTION;
    struct bytes message = {0};
    bytes_add(&message, kind, 1);
    JS_FreeCString(ctx, kind);
    int wrote = JS_IsUndefined(argv[1]) ? VALUE_PLAIN : value_write(ctx, argv[1], &message);
    JSValue result = JS_EXCEPTION;
    if (wrote == VALUE_NOT_PLAIN)
        JS_ThrowTypeError(ctx, "only plain values reach the host: null, booleans, numbers, bigints, strings, Uint8Array, arrays, objects");
    else if (message.failed) JS_ThrowOutOfMemory(ctx);
    else if (wrote == VALUE_PLAIN) {
        uint8_t *answer;
        int64_t length = host_ask(message.data, message.length, &answer);
        result = length < 0 ? throw_refused(ctx, length) : value_read(ctx, answer, (size_t)length);
        free(answer);
    }
    free(message.data);
    return result;
}

/* raw(Uint8Array): one message as it is, the answer as it is. */
static JSValue host_raw(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    size_t length;
    uint8_t *message = JS_GetUint8Array(ctx, &length, argv[0]), *answer;
    if (!message) return JS_EXCEPTION;
    int64_t given = host_ask(message, length, &answer);
    JSValue result = given < 0 ? throw_refused(ctx, given) : JS_NewUint8ArrayCopy(ctx, answer, (size_t)given);
    free(answer);
    return result;
}

/* source(): the text handed in for this run, or undefined. */
static JSValue host_source(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    uint8_t *text;
    int64_t length = host_ask("S", 1, &text);
    if (length < 0) return JS_UNDEFINED;
    JSValue result = JS_NewStringLen(ctx, (const char *)text, (size_t)length);
    free(text);
    return result;
}

static JSValue write_out(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    static double given_out_ms;
    int fd;
    size_t length;
    if (JS_ToInt32(ctx, &fd, argv[0])) return JS_EXCEPTION;
    const char *text = JS_ToCStringLen(ctx, &length, argv[1]);
    if (!text) return JS_EXCEPTION;
    if (!live) {
        JS_FreeCString(ctx, text);
        return JS_UNDEFINED;
    }
    if (fd == 2) {
        fflush(stdout);
        fwrite(text, 1, length, stderr);
    } else {
        fwrite(text, 1, length, stdout);
        double now = clock_ms();
        if (now - given_out_ms >= OUTPUT_DELAY_MS || now < given_out_ms) {
            fflush(stdout);
            given_out_ms = now;
        }
    }
    JS_FreeCString(ctx, text);
    return JS_UNDEFINED;
}

JSValue driver_exit(JSContext *ctx, int code) {
    exit_status = code & 0xff;
    exiting = true;
    JS_ThrowInternalError(ctx, "exit");
    engine_make_uncatchable(ctx);
    engine_poll_soon(ctx);
    return JS_EXCEPTION;
}
static JSValue host_exit(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    int code = 0;
    if (!JS_IsUndefined(argv[0]) && JS_ToInt32(ctx, &code, argv[0])) return JS_EXCEPTION;
    return driver_exit(ctx, code);
}

static JSValue host_clock(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) { return JS_NewFloat64(ctx, clock_ms()); }

static JSValue set_alarm(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    return JS_ToFloat64(ctx, &alarm_ms, argv[0]) ? JS_EXCEPTION : JS_UNDEFINED;
}

static JSValue set_under_way(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    return JS_ToInt32(ctx, &calls_under_way, argv[0]) ? JS_EXCEPTION : JS_UNDEFINED;
}

static JSValue text_to_bytes(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    size_t length;
    const char *text = JS_ToCStringLen(ctx, &length, argv[0]);
    if (!text) return JS_EXCEPTION;
    JSValue bytes = JS_NewUint8ArrayCopy(ctx, (const uint8_t *)text, length);
    JS_FreeCString(ctx, text);
    return bytes;
}
static JSValue bytes_to_text(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    size_t length;
    uint8_t *bytes = JS_GetUint8Array(ctx, &length, argv[0]);
    return bytes ? JS_NewStringLen(ctx, (const char *)bytes, length) : JS_EXCEPTION;
}

static JSValue random_bytes(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    uint8_t bytes[65536];
    int32_t length;
    if (JS_ToInt32(ctx, &length, argv[0])) return JS_EXCEPTION;
    if (length < 0 || length > (int32_t)sizeof bytes) return JS_ThrowRangeError(ctx, "at most 65536 random bytes at once");
    if (__wasi_random_get(bytes, length)) return JS_ThrowPlainError(ctx, "no random source");
    return JS_NewUint8ArrayCopy(ctx, bytes, length);
}

/* promiseState(promise) -> [state, result]; state 0 pending, 1 fulfilled, 2 rejected. */
static JSValue promise_state(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    JSPromiseStateEnum state = JS_PromiseState(ctx, argv[0]);
    JSValue pair = JS_NewArray(ctx);
    JS_SetPropertyUint32(ctx, pair, 0, JS_NewInt32(ctx, state == JS_PROMISE_FULFILLED ? 1 : state == JS_PROMISE_REJECTED ? 2 : 0));
    JS_SetPropertyUint32(ctx, pair, 1, state == JS_PROMISE_PENDING ? JS_UNDEFINED : JS_PromiseResult(ctx, argv[0]));
    return pair;
}

/* memory() -> [bytes of the linear memory, bytes of the engine's objects] */
static JSValue memory_bytes(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
    JSMemoryUsage usage;
    JS_ComputeMemoryUsage(runtime, &usage);
    JSValue pair = JS_NewArray(ctx);
    JS_SetPropertyUint32(ctx, pair, 0, JS_NewInt64(ctx, (int64_t)__builtin_wasm_memory_size(0) * 65536));
    JS_SetPropertyUint32(ctx, pair, 1, JS_NewInt64(ctx, usage.malloc_size));
    return pair;
}

static JSValue give_boot(JSContext *ctx, JSValueConst self, int argc, JSValueConst *argv) {
#define TAKE(field, name) boot.field = JS_GetPropertyStr(ctx, argv[0], name)
    TAKE(fire, "fire"); TAKE(take_answers, "takeAnswers"); TAKE(describe_error, "describeError"); TAKE(inspect, "inspect"); TAKE(print, "print"); TAKE(hold, "hold");
    TAKE(resume, "resume"); TAKE(functions, "functions"); TAKE(exit_code, "exitCode"); TAKE(prepare, "prepare"); TAKE(reset, "reset");
    TAKE(keep, "keep");
    return JS_UNDEFINED;
}

void host_add_functions(JSValueConst object) {
    static const JSCFunctionListEntry functions[] = {
        JS_CFUNC_DEF("ask", 2, host_ask_value), JS_CFUNC_DEF("raw", 1, host_raw), JS_CFUNC_DEF("source", 0, host_source),
        JS_CFUNC_DEF("write", 2, write_out), JS_CFUNC_DEF("exit", 1, host_exit), JS_CFUNC_DEF("clock", 0, host_clock),
        JS_CFUNC_DEF("setAlarm", 1, set_alarm), JS_CFUNC_DEF("setUnderWay", 1, set_under_way),
        JS_CFUNC_DEF("textToBytes", 1, text_to_bytes),
        JS_CFUNC_DEF("bytesToText", 1, bytes_to_text), JS_CFUNC_DEF("randomBytes", 1, random_bytes),
        JS_CFUNC_DEF("promiseState", 1, promise_state), JS_CFUNC_DEF("memory", 0, memory_bytes), JS_CFUNC_DEF("boot", 1, give_boot),
    };
    JS_SetPropertyFunctionList(context, object, functions, sizeof functions / sizeof *functions);
    JS_SetPropertyStr(context, object, "version", JS_NewString(context, JS_GetVersion()));
}
