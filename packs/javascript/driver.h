/* What the driver's files share. ABI: docs/reference/guest-abi.md. */
#ifndef DRIVER_H
#define DRIVER_H
#include "abi.h"
#include "encoding.h"
#include "quickjs.h"

/* Why the host interrupted, as stored by it: 0 = it did not, else the kind of rf_interrupt plus one. */
enum { NOT_INTERRUPTED, BY_DEADLINE, BY_KEYBOARD, BY_MEMORY };
/* How a source is to be read. */
enum { AS_SCRIPT, AS_MODULE, AS_FOUND };

/* Functions that the boot script hands to the driver. */
struct boot {
    JSValue fire, take_answers, describe_error, inspect, print, hold, resume, functions, exit_code, prepare, reset, keep;
};

extern JSRuntime *runtime;
extern JSContext *context;
extern struct boot boot;
extern bool exiting;      /* process.exit or std.exit is unwinding the stack */
extern int exit_status;   /* with this code */
extern double alarm_ms;   /* when the next timer is due, on the clock of clock_ms; < 0: none */
extern int32_t calls_under_way;   /* of functions of the host */

double clock_ms(void);
void drop_exception(void);
int call(JSValueConst function, int argc, JSValueConst *argv);   /* result dropped; < 0: thrown */
void die(const char *what);

/* host.c */
void host_add_functions(JSValueConst object);

/* loop.c */
void loop_track_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled,
                          void *opaque);
void loop_forget_rejections(void);
int loop_drain(JSValueConst own, bool wait_for_timers);          /* < 0: thrown */

/* source.c */
enum { WANT_VALUE = 1, LEAVE_TIMERS = 2, IS_CELL = 4 };           /* the first two are the flags of rf_eval */
JSValue source_run(char *text, size_t length, const char *name, int kind, int flags);   /* text ends in a NUL of its own */

/* values.c: values of JavaScript in the encoding of the ABI */
enum { VALUE_PLAIN, VALUE_NOT_PLAIN, VALUE_THROWN };
int value_write(JSContext *ctx, JSValueConst value, struct bytes *to);
JSValue value_read(JSContext *ctx, const uint8_t *bytes, size_t length);
#endif
