/* Driver of the pack `ruby`: the guest ABI in front of a Ruby that others have linked.
 *
 * The recipe puts this into their module by packs/python_data/merge.py, and gives it their functions by their names.
 * Their own way to a host is JavaScript's: `JS.eval(text)` gives a handle, and its `to_s` a text. Here the text is a
 * message, for our host or for this driver, and the handle's text is the answer. Nothing else of Ruby's C is called from
 * here: it is instrumented to unwind its stack at any allocation, and this is not. */
#include <stddef.h>

extern void *malloc(size_t), *realloc(void *, size_t), free(void *), abort(void);
#include "driver.h"

#define SMALL_ANSWER 512
enum { FIRST_FOLDER = 3, MOST_NAME = 4096, MOST_OWN = 8 };
enum { REFUSED = -1, ABSENT = -2, TOO_LONG = -3 };
enum { TRAP_INTERRUPT = 8, INTERRUPT_FLAG = 16, INTERRUPTS = 3, SIGNAL = 31 };

typedef part text;
typedef struct { uint8_t failed; uint32_t handle; } evaluated;
typedef struct { char *prefix; int32_t fd; } folder;
typedef struct { uint32_t tag, name_length; } prestat;

extern void __wasilibc_initialize_environ(void), __wasilibc_deinitialize_environ(void);
extern int32_t __wasilibc_register_preopened_fd(int32_t fd, const char *prefix);
extern int32_t __imported_wasi_snapshot_preview1_fd_prestat_get(int32_t fd, prestat *);
extern int32_t __imported_wasi_snapshot_preview1_fd_prestat_dir_name(int32_t fd, char *, uint32_t);
extern int32_t __imported_wasi_snapshot_preview1_random_get(void *, uint32_t);
extern int32_t __imported_wasi_snapshot_preview1_clock_time_get(int32_t, int64_t, int64_t *);
extern void __imported_wasi_snapshot_preview1_proc_exit(uint32_t code);
extern void __wasm_export_rb_abi_guest_ruby_init(text *arguments, uint32_t count);
extern text *__wasm_export_rb_abi_guest_rb_eval_string_protect(const char *code, uint32_t length);
/* Instead of forgetting an error it runs what `at_exit` was given: the recipe changed its body. */
extern void rb_abi_guest_rb_clear_errinfo(void);

/* What the module imports: these stand where JavaScript's functions were. */
extern int64_t __wasm_import_rb_js_abi_host_eval_js(const void *message, uint32_t length, void *out, uint32_t room);
extern int32_t __wasm_import_rb_js_abi_host_is_js(void *out, uint32_t length);
extern int32_t __wasm_import_rb_js_abi_host_instance_of(uint32_t *count, uint32_t *size);
extern int32_t __wasm_import_rb_js_abi_host_global_this(char **all, char *buffer);

/* Where the whole stack of functions is put when one of them unwinds it. Theirs has 24 KiB, which 70 blocks in one
 * another fill. A `setjmp` keeps its copy, in 24 KiB of its own, and in a block beside that where it needs more. */
enum { BLOCKS = 4096, MAIN_STACK = 16 << 20 };
typedef struct { char *top, *end, buffer[24576]; } jump;
typedef struct { jump *of; char *block; } beside;
/* For the collector, for a jump, and for a `setjmp`; they lie above all else (recipe.py). */
#define SCANNED ((char *)UNWOUND)
#define KEPT (SCANNED + 2 * UNWOUND_BYTES)
static beside besides[BLOCKS];
static uint32_t besides_count;

#define host_call __wasm_import_rb_js_abi_host_eval_js
#define host_take __wasm_import_rb_js_abi_host_is_js
#define args_sizes_get __wasm_import_rb_js_abi_host_instance_of
#define args_get __wasm_import_rb_js_abi_host_global_this

static folder own[MOST_OWN];
static uint32_t own_count, own_fd;
static volatile uint32_t resume_word;
static bool busy, live, opened;
static text turn;
static uint32_t turn_flags;
static int32_t exit_code;
static char *answer;
static uint32_t answer_length;

static bool begins(const text *said, char kind) { return said->length > 1 && said->at[0] == 0 && said->at[1] == kind; }
static char *room(uint32_t n) {
    free(answer);
    answer = malloc(n + 1);
    if (!answer) abort();
    answer_length = n + 1;
    return answer + 1;
}
static void give(const void *bytes, uint32_t n) { __builtin_memcpy(room(n), bytes, n); answer[0] = 0; }
static void give_arguments(void) {
    uint32_t count = 0, size = 0;
    if (args_sizes_get(&count, &size)) count = size = 0;
    char **all = malloc((count + 1) * sizeof *all), *at = room(size);
    if (!all || (count && args_get(all, at))) answer_length = 1;
    answer[0] = 0;
    free(all);
}
static void ask(const text *message) {
    char small[SMALL_ANSWER];
    int64_t n = live ? host_call(message->at, message->length, small, sizeof small) : ABSENT;
    if (n > INT32_MAX - 1) n = TOO_LONG;
    if (n >= 0) {
        char *at = room((uint32_t)n);
        if (n <= SMALL_ANSWER) __builtin_memcpy(at, small, (uint32_t)n);
        else if (host_take(at, (uint32_t)n)) n = REFUSED;
    }
    if (n < 0) room(0);
    answer[0] = n < 0 ? (char)-n : 0;
}
/* SIGSYS, which nothing sends, waits already, but the number of those that wait is 0: a host writes another there. What is left of that when
 * the signal was taken tells which interrupt it is. */
static volatile uint32_t *waiting(void) { return (uint32_t *)SIGNALS_WAITING; }
static void arm(void) {
    ((volatile uint32_t *)SIGNAL_COUNTS)[SIGNAL] = 1;
    *waiting() = 0;
}
static void give_interrupt(void) {
    uint32_t kind = *waiting();
    arm();
    give(&kind, sizeof kind);
}
/* Called before a file is opened: a run that opened none has none to write out at its end. */
void EXPORT(rf_opened)(void) { opened = true; }
/* Blocks of functions that have ended, or of the one that is kept again. */
static void forget_blocks(jump *now) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < besides_count; i++) {
        jump *of = besides[i].of;
        bool ended = of == now || ((uint32_t)of < MAIN_STACK && (uint32_t)now < MAIN_STACK && of < now);
        if (ended) free(besides[i].block);
        else besides[left++] = besides[i];
    }
    besides_count = left;
}
/* Called when all is unwound, before their own `asyncify_stop_unwind`. */
void EXPORT(rf_unwound)(void) {
    /* The collector looks at all between the two. */
    jump *scanned = (jump *)SCAN;
    if (scanned->top >= SCANNED && scanned->top < SCANNED + UNWOUND_BYTES) scanned->end = scanned->top;
    jump *now = *(jump **)ACTIVE_JUMP;
    if (!now || now->top < KEPT || now->top > KEPT + UNWOUND_BYTES) return;
    uint32_t n = (uint32_t)(now->top - KEPT);
    if (besides_count) forget_blocks(now);
    char *place = now->buffer;
    if (n > sizeof now->buffer) {
        if (besides_count == BLOCKS || !(place = malloc(n))) abort();
        besides[besides_count++] = (beside){now, place};
    }
    __builtin_memcpy(place, KEPT, n);
    now->top = place + n;
    now->end = place + (n > sizeof now->buffer ? n : sizeof now->buffer);
}
/* `JS.eval`: what begins with a zero byte is for the driver. */
void EXPORT(rf_js_eval)(const text *said, evaluated *out) {
    if (begins(said, 'a')) give_arguments();
    else if (begins(said, 't')) give(turn.at, turn.length);
    else if (begins(said, 'f')) give(&turn_flags, sizeof turn_flags);
    else if (begins(said, 'i')) give_interrupt();
    else if (begins(said, 'o')) give(&opened, sizeof opened);
    else if (begins(said, 'c') && said->length >= 6) exit_code = (int32_t)word(said->at + 2), give("", 0);
    else if (begins(said, 'r')) take_result(said->at + 2, said->length - 2), give("", 0);
    else ask(said);
    out->failed = 0;
    out->handle = 1;
}
/* `JS::Object#to_s`: whoever has the text frees it. */
void EXPORT(rf_js_text)(uint32_t handle, text *out) {
    if (!answer) room(0);
    out->at = answer;
    out->length = answer_length;
    answer = NULL;
}
/* Random numbers and clocks are made up until the first run: nothing of the machine that builds is in the pack. */
int32_t EXPORT(rf_random)(void *at, uint32_t n) {
    if (live) return __imported_wasi_snapshot_preview1_random_get(at, n) & 0xffff;
    __builtin_memset(at, 42, n);
    return 0;
}
int32_t EXPORT(rf_clock)(int32_t which, int64_t precision, int64_t *out) {
    if (live) return __imported_wasi_snapshot_preview1_clock_time_get(which, precision, out) & 0xffff;
    static int64_t now = 1781000000000000000;
    *out = now += 1000;
    return 0;
}

static void evaluate(const char *code, uint32_t n) {
    char *copy = malloc(n + 1); /* it is freed there */
    if (!copy) abort();
    __builtin_memcpy(copy, code, n);
    copy[n] = 0;
    __wasm_export_rb_abi_guest_rb_eval_string_protect(copy, n);
}
#define EVALUATE(code) evaluate(code, sizeof code - 1)

static uint32_t *preopens(void) { return (uint32_t *)PREOPENS; }
/* The folders of this run, then those that are in the pack: a name that both have is the pack's. */
static void open_folders(void) {
    static char name[MOST_NAME];
    prestat found;
    uint32_t count = preopens()[0];
    folder *all = (folder *)preopens()[1];
    for (uint32_t i = 0; i < count; i++) free(all[i].prefix);
    preopens()[0] = 0;
    for (int32_t fd = FIRST_FOLDER; fd < (int32_t)own_fd; fd++) {
        if (__imported_wasi_snapshot_preview1_fd_prestat_get(fd, &found)) break;
        if (found.tag || found.name_length >= MOST_NAME) continue;
        if (__imported_wasi_snapshot_preview1_fd_prestat_dir_name(fd, name, found.name_length)) continue;
        name[found.name_length] = 0;
        __wasilibc_register_preopened_fd(fd, name);
    }
    for (uint32_t i = 0; i < own_count; i++) __wasilibc_register_preopened_fd(own[i].fd, own[i].prefix);
}
/* Those that are in the pack come behind those that the build opened to make room. */
static void note_folders(void) {
    folder *all = (folder *)preopens()[1];
    for (uint32_t i = 0; i < preopens()[0]; i++) {
        char *prefix = all[i].prefix;
        if (prefix[0] == '_' && prefix[1] == '_') continue;
        if (own_count == MOST_OWN) abort();
        uint32_t n = __builtin_strlen(prefix) + 1;
        own[own_count].prefix = malloc(n);
        __builtin_memcpy(own[own_count].prefix, prefix, n);
        if (!own_count) own_fd = (uint32_t)all[i].fd;
        own[own_count++].fd = all[i].fd;
    }
}
static void resume(void) {
    uint32_t how = resume_word;
    if (!how) return;
    resume_word = 0;
    live = true;
    opened = false;
    arm();
    open_folders();
    if (how == RESUME_FRESH) {
        __wasilibc_deinitialize_environ();
        __wasilibc_initialize_environ();
        EVALUATE("$__ringfence.resume;nil");
    } else EVALUATE("$__ringfence.resume_copy;nil");
}
/* Where not even that can be told: an encoded error. */
static void *untold(void) {
    static const char error[] = "\xa3\x64type\x6d" "NoMemoryError" "\x67message\x72" "there is no memory"
                                "\x69traceback\x73" "there is no memory\n";
    static uint32_t words[] = {STATUS_ERROR, 1, 0, 0, 0, sizeof error - 1};
    words[4] = (uint32_t)error;
    return words;
}
void *EXPORT(rf_eval)(uint32_t p, uint32_t n, uint32_t flags) {
    if (busy) return NULL;
    busy = true;
    resume();
    begin_result();
    turn_flags = flags;
    turn.at = (char *)p;
    turn.length = p ? n : 0;
    if (p) EVALUATE("$__ringfence.turn(true);nil");
    else EVALUATE("$__ringfence.turn(false);nil");
    busy = false;
    return result.status == STATUS_ERROR && !result.error_length ? untold() : &result;
}
int EXPORT(rf_run)(void) {
    if (busy) return -1;
    busy = true;
    resume();
    exit_code = 1;
    EVALUATE("$__ringfence.run;nil");
    rb_abi_guest_rb_clear_errinfo();
    EVALUATE("$__ringfence.ended;nil");
    busy = false;
    return exit_code;
}
void EXPORT(rf_start)(void) { __imported_wasi_snapshot_preview1_proc_exit((uint32_t)rf_run()); }
int EXPORT(rf_abi)(void) { return ABI; }
void *EXPORT(rf_alloc)(uint32_t n) { return malloc(n ? n : 1); }
void EXPORT(rf_free)(void *p) { free(p); }
void *EXPORT(rf_interrupt)(uint32_t kind) {
    static uint32_t words[4];
    words[0] = (uint32_t)waiting();
    words[1] = (kind < INTERRUPTS ? kind : 0) + 1;
    words[2] = *(uint32_t *)CONTEXT + INTERRUPT_FLAG;
    words[3] = TRAP_INTERRUPT;
    return words;
}
void *EXPORT(rf_fork)(uint32_t flags) {
    if (!busy) EVALUATE("$__ringfence.flush;nil");
    if (flags & 1) resume_word = RESUME_FRESH;
    return (void *)&resume_word;
}
void EXPORT(rf_init)(void) {
    static const char *said[] = {"ruby", "-EUTF-8", "-e_=0"};
    text *arguments = malloc(sizeof said / sizeof *said * sizeof *arguments);
    for (uint32_t i = 0; i < sizeof said / sizeof *said; i++) {
        uint32_t n = __builtin_strlen(said[i]);
        arguments[i].at = malloc(n + 1);
        __builtin_memcpy(arguments[i].at, said[i], n + 1);
        arguments[i].length = n;
    }
    note_folders();
    __wasm_export_rb_abi_guest_ruby_init(arguments, sizeof said / sizeof *said);
    EVALUATE("begin; eval File.read('/__boot/begin.rb', encoding: 'UTF-8'), TOPLEVEL_BINDING, '<internal:ringfence>'\n"
             "rescue Exception => error; $stderr.puts error.full_message; $stderr.flush; end; nil");
    if (exit_code != 77) abort(); /* the boot code ends by saying so */
    exit_code = 0;
    resume_word = RESUME_FRESH;
}
