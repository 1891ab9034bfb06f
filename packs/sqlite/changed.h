/* What SQLite's own files know of the driver (prepare.py). */
#ifndef CHANGED_H
#define CHANGED_H
#include <stdint.h>
/* Why the host interrupted, as stored by it: 0 = it did not, else the kind of rf_interrupt plus one. */
enum { NOT_INTERRUPTED, BY_DEADLINE, BY_KEYBOARD, BY_MEMORY };
extern volatile uint32_t driver_interrupted;
#endif
