/* QuickJS-NG's engine as one unit with the few functions that need its insides. prepare.py makes quickjs.c. */
#define _GNU_SOURCE
/* See prepare.py. The address escapes, or the optimiser would take the frame away. */
#define DRIVER_FRAME char driver_frame[256]; __asm__ volatile("" : : "r"(driver_frame) : "memory");
#include "prepared/quickjs.c"
#include "engine.h"

void engine_renew(JSContext *ctx, uint64_t seed) {
    ctx->random_state = seed ? seed : 1;
    ctx->time_origin = js__now_ms();
    ctx->interrupt_counter = JS_INTERRUPT_COUNTER_INIT;
}

/* A `var` or function of an earlier cell cannot be deleted, and so not be declared with `let`. */
static void forget_variable(JSContext *ctx, JSAtom name) {
    JSObject *global = JS_VALUE_GET_OBJ(ctx->global_obj);
    JSShapeProperty *found = find_own_property1(global, name);
    int declared = JS_PROP_WRITABLE | JS_PROP_ENUMERABLE;
    if (!found || (found->flags & (declared | JS_PROP_CONFIGURABLE | JS_PROP_TMASK)) != declared) return;
    if (!js_update_property_flags(ctx, global, &found, found->flags | JS_PROP_CONFIGURABLE)) delete_property(ctx, global, name);
}

/* Functions of an earlier cell look such a name up again when they run, so they see the new binding. */
void engine_redeclare(JSContext *ctx, JSValueConst script) {
    if (JS_VALUE_GET_TAG(script) != JS_TAG_FUNCTION_BYTECODE) return;
    JSFunctionBytecode *code = JS_VALUE_GET_PTR(script);
    JSObject *bindings = JS_VALUE_GET_OBJ(ctx->global_var_obj);
    for (int at = 0; at < code->byte_code_len;) {
        int op = code->byte_code_buf[at];
        if (op == OP_check_define_var) {
            JSAtom name = get_u32(code->byte_code_buf + at + 1);
            if (find_own_property1(bindings, name)) delete_property(ctx, bindings, name);
            if (code->byte_code_buf[at + 5] & DEFINE_GLOBAL_LEX_VAR) forget_variable(ctx, name);
        }
        at += short_opcode_info(op).size;
    }
}

int engine_kind(JSContext *ctx, JSValueConst value) {
    if (!JS_IsObject(value)) return ENGINE_OTHER;
    JSObject *object = JS_VALUE_GET_OBJ(value), *prototype = object->shape->proto;
    if (object->class_id == JS_CLASS_ARRAY) return prototype == JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_ARRAY]) ? ENGINE_ARRAY : ENGINE_OTHER;
    if (object->class_id != JS_CLASS_OBJECT) return ENGINE_OTHER;
    return !prototype || prototype == JS_VALUE_GET_OBJ(ctx->class_proto[JS_CLASS_OBJECT]) ? ENGINE_OBJECT : ENGINE_OTHER;
}

uint8_t *engine_bigint_bytes(JSContext *ctx, JSValueConst value, bool *negative, size_t *length) {
    JSBigIntBuf small;
    const JSBigInt *big = JS_VALUE_GET_TAG(value) == JS_TAG_SHORT_BIG_INT ? js_bigint_set_short(&small, value) : JS_VALUE_GET_PTR(value);
    size_t size = (size_t)big->len * sizeof(js_limb_t), used = 0;
    uint8_t *bytes = malloc(size);
    if (!bytes) return NULL;
    *negative = big->tab[big->len - 1] >> (JS_LIMB_BITS - 1);
    for (size_t i = size; i--;) {   /* from the highest byte; those that are zero are left out */
        uint8_t byte = (*negative ? ~big->tab[i / 4] : big->tab[i / 4]) >> 8 * (i % 4);
        if (used || byte) bytes[used++] = byte;
    }
    *length = used;
    return bytes;
}

JSValue engine_bigint(JSContext *ctx, const uint8_t *bytes, size_t length, bool negative) {
    if (length > JS_BIGINT_MAX_SIZE * sizeof(js_limb_t)) return JS_ThrowRangeError(ctx, "Maximum BigInt size exceeded");
    JSBigInt *big = js_bigint_new(ctx, length / sizeof(js_limb_t) + 1);   /* with room for the sign */
    if (!big) return JS_EXCEPTION;
    memset(big->tab, 0, big->len * sizeof(js_limb_t));
    for (size_t i = 0; i < length; i++) big->tab[i / 4] |= (js_limb_t)bytes[length - 1 - i] << 8 * (i % 4);
    for (size_t i = 0; negative && i < big->len; i++) big->tab[i] = ~big->tab[i];
    big = js_bigint_normalize(ctx, big);
    return big ? JS_CompactBigInt(ctx, big) : JS_EXCEPTION;
}

void engine_drop_jobs(JSRuntime *rt) {
    struct list_head *at, *next;
    list_for_each_safe(at, next, &rt->job_list) {
        JSJobEntry *job = list_entry(at, JSJobEntry, link);
        list_del(&job->link);
        for (int i = 0; i < job->argc; i++) JS_FreeValueRT(rt, job->argv[i]);
        js_free_rt(rt, job);
    }
}

void engine_poll_soon(JSContext *ctx) { ctx->interrupt_counter = 1; }

void engine_make_uncatchable(JSContext *ctx) { JS_SetUncatchableError(ctx, ctx->rt->current_exception); }
