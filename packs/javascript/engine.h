/* The few things the driver needs from inside the engine. */
#ifndef ENGINE_H
#define ENGINE_H
#include <stdbool.h>
#include <stddef.h>
#include "quickjs.h"

enum { ENGINE_OTHER, ENGINE_OBJECT, ENGINE_ARRAY };

/* A new Math.random sequence and a new zero of performance.now. */
void engine_renew(JSContext *ctx, uint64_t seed);
/* Forget what earlier scripts declared and this compiled one is about to declare again. */
void engine_redeclare(JSContext *ctx, JSValueConst script);
/* An ordinary object or array with its own class's prototype, or anything else (a proxy, an instance of a class). */
int engine_kind(JSContext *ctx, JSValueConst value);
/* A BigInt n as the bytes of n, or of -1 - n where it is negative, highest first, without zeros in front; malloc'ed. */
uint8_t *engine_bigint_bytes(JSContext *ctx, JSValueConst value, bool *negative, size_t *length);
/* The BigInt of such bytes. */
JSValue engine_bigint(JSContext *ctx, const uint8_t *bytes, size_t length, bool negative);
/* Forget the jobs that wait. */
void engine_drop_jobs(JSRuntime *rt);
/* Have the interrupt handler asked at the next call or loop, not after thousands of them. */
void engine_poll_soon(JSContext *ctx);
/* Turn the error now thrown into one that no guest code can catch. */
void engine_make_uncatchable(JSContext *ctx);
#endif
