/* The exports that are the same in every driver. */
#include <stdlib.h>
#include "abi.h"

volatile uint32_t driver_interrupted, resume_word;

int EXPORT(rf_abi)(void) { return 1; }
void *EXPORT(rf_alloc)(uint32_t length) { return malloc(length ? length : 1); }
void EXPORT(rf_free)(void *p) { free(p); }

void *EXPORT(rf_fork)(uint32_t flags) {
    settle(flags & 1);
    return (void *)&resume_word;
}

/* {address, value, address, bits}: the host stores the value at the first, and ORs the bits into the second. */
void *EXPORT(rf_interrupt)(uint32_t kind) {
    static uint32_t words[4], unused;
    words[0] = (uint32_t)&driver_interrupted;
    words[1] = kind + 1;
    words[2] = (uint32_t)&unused;
    words[3] = 0;
    return words;
}
