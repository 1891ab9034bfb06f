/* Clocks, random numbers and waiting, between wasi-libc and the host (the linker's `--wrap` puts this in the way).
 *
 * While the snapshot is made, clocks and random numbers are made up: the same on every machine, so that a pack has one
 * sha256, and nothing of the builder's is in it. From the first run on they are the host's. */
#include <string.h>
#include <wasi/api.h>
#include "driver.h"

/* A wait is cut into naps, for a deadline is only seen between them. */
#define NAP_NS 20000000ull
#define MADE_UP_NS 1781000000000000000ull

bool clock_live;
static uint64_t made_up_ns = MADE_UP_NS;
static uint32_t made_up_random = 48;

__wasi_errno_t REAL(__wasi_random_get)(uint8_t *out, __wasi_size_t length);
__wasi_errno_t REAL(__wasi_clock_time_get)(__wasi_clockid_t id, __wasi_timestamp_t precision, __wasi_timestamp_t *out);
__wasi_errno_t REAL(__wasi_poll_oneoff)(const __wasi_subscription_t *in, __wasi_event_t *out, __wasi_size_t count, __wasi_size_t *events);

__wasi_errno_t WRAPPED(__wasi_random_get)(uint8_t *out, __wasi_size_t length) {
    if (clock_live) return REAL(__wasi_random_get)(out, length);
    for (__wasi_size_t i = 0; i < length; i++) {
        made_up_random = made_up_random * 1664525u + 1013904223u;
        out[i] = made_up_random >> 24;
    }
    return 0;
}

__wasi_errno_t WRAPPED(__wasi_clock_time_get)(__wasi_clockid_t id, __wasi_timestamp_t precision, __wasi_timestamp_t *out) {
    if (clock_live) return REAL(__wasi_clock_time_get)(id, precision, out);
    /* The others begin with each run, and so does what the C library measures from its start: `time.process_time`. The
     * first answer is no more than the first one of a run can be. */
    *out = id == __WASI_CLOCKID_REALTIME ? made_up_ns : made_up_ns - MADE_UP_NS;
    made_up_ns += 1000;
    return 0;
}

__wasi_errno_t WRAPPED(__wasi_poll_oneoff)(const __wasi_subscription_t *in, __wasi_event_t *out, __wasi_size_t count, __wasi_size_t *events) {
    __wasi_subscription_t copy[16];
    __wasi_size_t at = count;
    if (count <= sizeof copy / sizeof *copy)
        for (at = 0; at < count; at++)
            if (in[at].u.tag == __WASI_EVENTTYPE_CLOCK && !(in[at].u.u.clock.flags & __WASI_SUBCLOCKFLAGS_SUBSCRIPTION_CLOCK_ABSTIME)) break;
    if (at == count || in[at].u.u.clock.timeout <= NAP_NS) return REAL(__wasi_poll_oneoff)(in, out, count, events);
    memcpy(copy, in, count * sizeof *copy);
    for (uint64_t left = in[at].u.u.clock.timeout;;) {
        uint64_t nap = left < NAP_NS ? left : NAP_NS, before, after;
        copy[at].u.u.clock.timeout = nap;
        if (REAL(__wasi_clock_time_get)(__WASI_CLOCKID_MONOTONIC, 1, &before)) before = 0;
        __wasi_errno_t error = REAL(__wasi_poll_oneoff)(copy, out, count, events);
        if (error || *events != 1 || out[0].type != __WASI_EVENTTYPE_CLOCK) return error;
        if (REAL(__wasi_clock_time_get)(__WASI_CLOCKID_MONOTONIC, 1, &after)) after = 0;
        uint64_t slept = after > before ? after - before : nap;
        /* Interrupted: the wait ends as if it were over, and Python raises right behind it. */
        if (slept >= left || is_interrupted()) return 0;
        left -= slept;
    }
}
