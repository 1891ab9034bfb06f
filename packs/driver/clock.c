/* Clocks and random numbers, between the C library and the host (the linker's `--wrap` puts this in the way).
 *
 * While the snapshot is made clocks and random numbers are made up: the same on every machine, so that a pack has one
 * sha256, and nothing of the builder's is in it. From the first run on they are the host's. */
#include <wasi/api.h>
#include "abi.h"

#define REAL(name) __real_##name
#define WRAPPED(name) __wrap_##name
#define MADE_UP_NS 1781000000000000000ull
#define STEP_NS 1000ull

__wasi_errno_t REAL(__wasi_random_get)(uint8_t *out, __wasi_size_t length);
__wasi_errno_t REAL(__wasi_clock_time_get)(__wasi_clockid_t id, __wasi_timestamp_t precision, __wasi_timestamp_t *out);

__wasi_errno_t WRAPPED(__wasi_random_get)(uint8_t *out, __wasi_size_t length) {
    static uint32_t made_up = 48;
    if (live) return REAL(__wasi_random_get)(out, length);
    for (__wasi_size_t i = 0; i < length; i++) {
        made_up = made_up * 1664525u + 1013904223u;
        out[i] = (uint8_t)(made_up >> 24);
    }
    return 0;
}

__wasi_errno_t WRAPPED(__wasi_clock_time_get)(__wasi_clockid_t id, __wasi_timestamp_t precision, __wasi_timestamp_t *out) {
    static __wasi_timestamp_t made_up = MADE_UP_NS;
    if (live) return REAL(__wasi_clock_time_get)(id, precision, out);
    /* The others begin with each run, and so does what the C library measures from its start: os.clock. */
    *out = id == __WASI_CLOCKID_REALTIME ? made_up : made_up - MADE_UP_NS;
    made_up += STEP_NS;
    return 0;
}
