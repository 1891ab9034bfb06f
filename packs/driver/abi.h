/* What drivers have in common of the guest ABI (docs/reference/guest-abi.md), each on top of its own interpreter. */
#ifndef ABI_H
#define ABI_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(n) __attribute__((export_name(#n))) n
enum { EXIT_ERROR = 1, EXIT_DEADLINE = 124, EXIT_KEYBOARD = 130 };
enum { STATUS_NONE, STATUS_VALUE, STATUS_ERROR, STATUS_EXIT };
/* What the next call has to renew: the host stores RESUME_COPY in a copy of a live session (rf_fork). */
enum { RESUME_NOTHING, RESUME_SNAPSHOT, RESUME_COPY };

/* exports.c: the exports that are the same for all, and what they need of a driver */
extern volatile uint32_t driver_interrupted, resume_word;
void settle(bool template);   /* what is held back is written; of a template, the next call begins anew */

/* ask.c */
extern bool live;             /* the first run has begun; until then the snapshot is made: no host, no clock */
enum { REFUSED = -1, ABSENT = -2, TOO_LONG = -3 };
int64_t host_call(const void *message, size_t length, void *small, size_t room);   /* < 0: refused; else the answer's length */
int64_t host_ask(const void *message, size_t length, uint8_t **answer);            /* < 0: refused; else malloc'ed, with a NUL behind */
bool host_take(void *answer, size_t length);                                       /* where it was longer than the room for it */
#endif
