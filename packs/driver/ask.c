/* One message to the host, and its answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "abi.h"

#define IMPORT(n) __attribute__((import_module("ringfence"), import_name(#n)))
IMPORT(host_call) int64_t import_host_call(const void *message, uint32_t length, void *answer, uint32_t capacity);
IMPORT(host_take) int32_t import_host_take(void *answer, uint32_t length);

#define SMALL_ANSWER 512

int64_t host_call(const void *message, size_t length, void *small, size_t room) {
    if (!live) return REFUSED;
    if (length > INT32_MAX) return TOO_LONG;
    fflush(stdout);
    int64_t given = import_host_call(message, (uint32_t)length, small, (uint32_t)room);
    return given > INT32_MAX ? REFUSED : given;
}
bool host_take(void *answer, size_t length) { return !import_host_take(answer, (uint32_t)length); }

int64_t host_ask(const void *message, size_t length, uint8_t **answer) {
    uint8_t small[SMALL_ANSWER];
    *answer = NULL;
    int64_t given = host_call(message, length, small, sizeof small);
    if (given < 0) return given;
    if (!(*answer = malloc((size_t)given + 1))) return REFUSED;
    if (given <= SMALL_ANSWER) memcpy(*answer, small, (size_t)given);
    else if (!host_take(*answer, (size_t)given)) {
        free(*answer);
        *answer = NULL;
        return REFUSED;
    }
    (*answer)[given] = 0;
    return given;
}
