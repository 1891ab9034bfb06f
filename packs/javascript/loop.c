/* The event loop: jobs, timers, rejections that nobody handles, until nothing is left that could happen. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "driver.h"
#include "quickjs-libc.h"

static struct rejection {
    struct rejection *next;
    JSValue promise, reason;
} *rejections, **last_rejection = &rejections;

static void drop_rejection(struct rejection *r) {
    JS_FreeValue(context, r->promise);
    JS_FreeValue(context, r->reason);
    free(r);
}

/* A promise is rejected once, so a new one is not looked for. */
void loop_track_rejection(JSContext *ctx, JSValueConst promise, JSValueConst reason, bool handled, void *opaque) {
    struct rejection *r;
    if (!handled) {
        if (!(r = malloc(sizeof *r))) return;
        *r = (struct rejection){NULL, JS_DupValue(ctx, promise), JS_DupValue(ctx, reason)};
        *last_rejection = r;
        last_rejection = &r->next;
        return;
    }
    for (struct rejection **at = &rejections; (r = *at); at = &r->next) {
        if (JS_VALUE_GET_PTR(r->promise) != JS_VALUE_GET_PTR(promise)) continue;
        *at = r->next;
        if (last_rejection == &r->next) last_rejection = at;
        drop_rejection(r);
        return;
    }
}

void loop_forget_rejections(void) {
    struct rejection *r;
    while ((r = rejections)) {
        rejections = r->next;
        drop_rejection(r);
    }
    last_rejection = &rejections;
}

/* Throws the first rejection nobody handles, other than that of `own`, and forgets the others. */
static int throw_rejection(JSValueConst own) {
    struct rejection **at = &rejections, *r;
    bool thrown = false;
    while ((r = *at)) {
        if (JS_IsObject(own) && JS_VALUE_GET_PTR(own) == JS_VALUE_GET_PTR(r->promise)) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        if (!thrown) JS_Throw(context, JS_DupValue(context, r->reason));
        thrown = true;
        drop_rejection(r);
    }
    last_rejection = at;
    return thrown ? -1 : 0;
}

/* Sleeps in naps, so that an interrupt by the host is seen between two of them. */
int driver_sleep(const struct timespec *time) {
    double end = clock_ms() + time->tv_sec * 1e3 + time->tv_nsec / 1e6, left;
    fflush(stdout);
    while ((left = end - clock_ms()) > 0 && !driver_interrupted) {
        struct timespec nap = {0, (long)((left < 20 ? left : 20) * 1e6)};
        nanosleep(&nap, NULL);
    }
    return 0;
}

static int throw_interrupted(void) {
    JS_ThrowInternalError(context, "interrupted");
    return -1;
}

int loop_drain(JSValueConst own, bool wait_for_timers) {
    for (;;) {
        JSContext *unused;
        int ran;
        while ((ran = JS_ExecutePendingJob(runtime, &unused)) > 0 && !driver_interrupted) {}
        if (ran < 0) return -1;
        if (driver_interrupted) return throw_interrupted();
        if (throw_rejection(own)) return -1;
        int os_delay = js_std_loop_once(context);   /* timers made with qjs:os; -1 none, -2 thrown */
        if (os_delay == -2) return -1;
        if (os_delay == 0) continue;
        double delay = os_delay;
        if (alarm_ms >= 0) {
            double own_delay = alarm_ms - clock_ms();
            if (own_delay <= 0) {
                if (call(boot.fire, 0, NULL)) return -1;
                continue;
            }
            if (delay < 0 || own_delay < delay) delay = own_delay;
        }
        bool settled = !JS_IsPromise(own) || JS_PromiseState(context, own) != JS_PROMISE_PENDING;
        if ((delay < 0 && calls_under_way <= 0) || (settled && !wait_for_timers)) return 0;
        if (calls_under_way > 0) {   /* a new value each time: what is called may be stopped in the middle */
            JSValue longest = JS_NewFloat64(context, delay);
            fflush(stdout);
            if (call(boot.take_answers, 1, (JSValueConst *)&longest)) return -1;
            continue;
        }
        struct timespec time = {(time_t)(delay / 1e3), (long)(fmod(delay, 1e3) * 1e6)};
        driver_sleep(&time);
        if (driver_interrupted) return throw_interrupted();
    }
}
