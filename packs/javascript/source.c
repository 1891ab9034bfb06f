/* Running source text: script or module, top-level await, the value of the last expression. */
#include <stdlib.h>
#include <string.h>
#include "driver.h"
#include "engine.h"
#include "quickjs-libc.h"

/* What a compiled source gives when it is run. */
enum { GIVES_VALUE, GIVES_MODULE, GIVES_BOXED_VALUE };   /* boxed: a promise of {value}, of a script with await */

static bool mentions(const char *text, size_t length, const char *word) { return memmem(text, length, word, strlen(word)) != NULL; }

/* A line that starts with a static import or export: only a module has one. */
static bool has_module_line(const char *text) {
    for (const char *at = text; at; at = (at = strchr(at, '\n')) ? at + 1 : NULL) {
        at += strspn(at, " \t");
        if (!strncmp(at, "import", 6) && strchr(" {*\"'", at[6]) && at[6]) return true;
        if (!strncmp(at, "export", 6) && strchr(" {*", at[6]) && at[6]) return true;
    }
    return false;
}

static bool is_syntax_error(JSValueConst error) {
    JSValue name = JS_GetPropertyStr(context, error, "name");
    const char *text = JS_ToCString(context, name);
    bool yes = text && !strcmp(text, "SyntaxError");
    if (!text) drop_exception();
    JS_FreeCString(context, text);
    JS_FreeValue(context, name);
    return yes;
}

static JSValue compile(const char *text, size_t length, const char *name, int flags) {
    return JS_Eval(context, text, length, name, flags | JS_EVAL_FLAG_COMPILE_ONLY);
}

/* `{a: 1}` as a cell is an object, as in every console, though a program would read a block. */
static JSValue compile_object(const char *text, size_t length, const char *name, int flags) {
    char *wrapped = malloc(length + 3);
    if (!wrapped) return JS_UNDEFINED;
    wrapped[0] = '(';
    memcpy(wrapped + 1, text, length);
    memcpy(wrapped + 1 + length, ")", 2);
    JSValue code = compile(wrapped, length + 2, name, flags);
    free(wrapped);
    if (!JS_IsException(code)) return code;
    drop_exception();
    return JS_UNDEFINED;
}

static JSValue compile_found(const char *text, size_t length, const char *name, int kind, bool want_value, int *gives) {
    int flags = JS_EVAL_TYPE_GLOBAL;
    *gives = kind == AS_MODULE ? GIVES_MODULE : GIVES_VALUE;
    if (kind == AS_MODULE) return compile(text, length, name, JS_EVAL_TYPE_MODULE);
    if (mentions(text, length, "await")) {
        flags |= JS_EVAL_FLAG_ASYNC;
        *gives = GIVES_BOXED_VALUE;
    }
    if (want_value && text[strspn(text, " \t\r\n")] == '{') {
        JSValue object = compile_object(text, length, name, flags);
        if (!JS_IsUndefined(object)) return object;
    }
    JSValue script = compile(text, length, name, flags);
    if (!JS_IsException(script) || kind == AS_SCRIPT) return script;
    if (!mentions(text, length, "import") && !mentions(text, length, "export")) return script;
    JSValue script_error = JS_GetException(context);
    JSValue module = compile(text, length, name, JS_EVAL_TYPE_MODULE);
    if (JS_IsException(module)) {
        JSValue module_error = JS_GetException(context);
        bool is_neither = is_syntax_error(module_error) && !has_module_line(text);
        JS_FreeValue(context, is_neither ? module_error : script_error);
        return JS_Throw(context, is_neither ? script_error : module_error);
    }
    JS_FreeValue(context, script_error);
    *gives = GIVES_MODULE;
    return module;
}

/* Waits for what the code has started, and takes the value out of promises. */
static JSValue complete(JSValue value, int gives, int flags) {
    bool wait = !(flags & LEAVE_TIMERS);
    if (JS_IsException(value)) {
        if (exiting || driver_interrupted || !(flags & IS_CELL)) return value;
        JSValue error = JS_GetException(context);   /* a cell still runs the jobs it has made */
        if (loop_drain(JS_UNDEFINED, false)) {
            if (exiting || driver_interrupted) {
                JS_FreeValue(context, error);
                return JS_EXCEPTION;
            }
            drop_exception();
        }
        return JS_Throw(context, error);
    }
    if (loop_drain(value, wait)) {
        JS_FreeValue(context, value);
        return JS_EXCEPTION;
    }
    /* Seven promises inside one another are enough for anything but an attack. */
    for (int depth = 0; depth < 8 && JS_IsPromise(value); depth++) {
        JSPromiseStateEnum state = JS_PromiseState(context, value);
        if (state == JS_PROMISE_PENDING) {
            if (gives == GIVES_VALUE) return value;
            JS_FreeValue(context, value);
            return JS_ThrowPlainError(context, "top-level await never settles: nothing is left that could settle it");
        }
        JSValue result = JS_PromiseResult(context, value);
        JS_FreeValue(context, value);
        if (state == JS_PROMISE_REJECTED) {
            loop_forget_rejections();
            return JS_Throw(context, result);
        }
        value = result;
        if (gives == GIVES_MODULE) {
            JS_FreeValue(context, value);
            value = JS_UNDEFINED;
        } else if (gives == GIVES_BOXED_VALUE) {
            value = JS_GetPropertyStr(context, result, "value");
            JS_FreeValue(context, result);
            if (JS_IsException(value)) return value;
        }
        gives = GIVES_VALUE;
        if (JS_IsPromise(value) && loop_drain(value, wait)) {
            JS_FreeValue(context, value);
            return JS_EXCEPTION;
        }
    }
    return value;
}

JSValue source_run(char *text, size_t length, const char *name, int kind, int flags) {
    int gives;
    JSValue code = compile_found(text, length, name, kind, flags & WANT_VALUE, &gives);
    if (JS_IsException(code)) return code;
    if (gives != GIVES_MODULE) engine_redeclare(context, code);
    else if (js_module_set_import_meta(context, code, false, true) < 0) {
        JS_FreeValue(context, code);
        return JS_EXCEPTION;
    }
    return complete(JS_EvalFunction(context, code), gives, flags);
}
