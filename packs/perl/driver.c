/* Driver of the pack `perl`: the guest ABI in front of a Perl that others have linked (recipe.py).
 *
 * Their Perl leaves and returns by unwinding its stack to whoever called it: a `setjmp` and a jump end here, and are
 * begun again from here. The driver itself is not made for that, so it is never in the middle. */
#include "door.h"

enum { FIRST = 3, FILES_OF_THE_LIBRARY = 32 };
/* Files that are nowhere: beyond all numbers that the host gives. */
enum { SCRIPT = 1100, RANDOM = 1101, DOOR = 1102 };
enum { DESTRUCT_END = 2, CAPTURING = 1, RETURNING = 3 };

/* A `jmp_buf` of theirs. */
typedef struct { char *top, *end, buffer[32768], *other, *kept; int32_t value, state; } jump;

FROM(_initialize) void initialize(void);
FROM(zeroperl_init_with_args) int start(int count, char **arguments);
FROM(zeroperl_eval) int evaluate(const char *code, int context, int count, char **arguments);
FROM(zeroperl_free_interpreter) void end(void);
FROM(asyncify_stop_unwind) void stop_unwind(void);
FROM(asyncify_start_rewind) void start_rewind(jump *);

#define active (*(jump **)ACTIVE_JUMP)
#define unwound (*(jump **)UNWOUND)
#define final_status (*(volatile int32_t *)STATUS)
#define exit_flags (*(volatile uint8_t *)EXIT_FLAGS)

static char *source;
static uint32_t source_length;
static int64_t source_at;
static bool script_open;

/* Of a session: a message goes to the door by one `write`, and what is read from it then is the answer. */
static const char session[] = {
#embed "session.pl"
    , 0
};
static volatile uint32_t resume_word;
static bool begun;

static bool is(const char *path, uint32_t length, const char *name) {
    for (uint32_t i = 0; i < length; i++)
        if (!name[i] || path[i] != name[i]) return false;
    return !name[length];
}

static bool is_device(int32_t fd) { return fd == RANDOM || fd == DOOR; }

/* Files of its library have numbers that only its C library knows. What it asks about them all the same would leave an
 * error behind, and `die` ends with that as the exit code. */
static int32_t unless_of_the_library(int32_t fd, int32_t error) {
    return error == BAD_FD && fd >= FIRST && fd < FILES_OF_THE_LIBRARY ? 0 : error;
}

/* What Perl asks its host for. */
int32_t BETWEEN(path_open)(int32_t fd, int32_t dirflags, const char *path, uint32_t length, int32_t oflags, int64_t rights,
                          int64_t inheriting, int32_t flags, int32_t *out) {
    if (is(path, length, "dev/urandom") || is(path, length, "dev/random")) {
        *out = RANDOM;
        return 0;
    }
    if (busy && is(path, length, "dev/ringfence")) {
        *out = DOOR;
        return 0;
    }
    return path_open(fd, dirflags, path, length, oflags, rights, inheriting, flags, out);
}
int32_t BETWEEN(fd_read)(int32_t fd, const part *parts, uint32_t count, uint32_t *out) {
    if (fd != SCRIPT && !is_device(fd)) return fd_read(fd, parts, count, out);
    if (fd == SCRIPT && !script_open) return BAD_FD;
    *out = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = parts[i].length;
        if (fd == RANDOM) {
            int32_t error = random_get(parts[i].at, n);
            if (error) return error;
        } else if (fd == DOOR) {
            n = door_read(parts[i].at, n);
        } else {
            int64_t left = (int64_t)source_length - source_at;
            if (left < 0) left = 0;
            if (n > left) n = (uint32_t)left;
            __builtin_memcpy(parts[i].at, source + source_at, n);
            source_at += n;
        }
        *out += n;
    }
    return 0;
}
int32_t BETWEEN(fd_write)(int32_t fd, const part *parts, uint32_t count, uint32_t *out) {
    if (fd != DOOR) return fd_write(fd, parts, count, out);
    *out = count ? parts[0].length : 0;
    if (count) door_hear(parts[0].at, parts[0].length);
    return 0;
}
int32_t BETWEEN(fd_close)(int32_t fd) {
    if (is_device(fd)) return 0;
    if (fd != SCRIPT) return fd_close(fd);
    if (!script_open) return BAD_FD;
    script_open = false;
    return 0;
}
int32_t BETWEEN(fd_seek)(int32_t fd, int64_t by, int32_t whence, int64_t *out) {
    if (fd != SCRIPT || !script_open) return fd_seek(fd, by, whence, out);
    int64_t to = by + (whence == 0 ? 0 : whence == 1 ? source_at : source_length);
    if (to < 0 || to > INT32_MAX) return INVALID;
    source_at = *out = to;
    return 0;
}
int32_t BETWEEN(fd_tell)(int32_t fd, int64_t *out) {
    *out = fd == SCRIPT ? source_at : -1;
    if (fd != SCRIPT || !script_open) return unless_of_the_library(fd, fd_tell(fd, out));
    return 0;
}
int32_t BETWEEN(fd_fdstat_get)(int32_t fd, void *out) {
    if (!is_device(fd) && (fd != SCRIPT || !script_open)) {
        int32_t error = fd_fdstat_get(fd, out);
        if (!error || unless_of_the_library(fd, error)) return error;
    }
    return tell_state(out, fd == SCRIPT ? REGULAR : CHARACTERS);
}
int32_t BETWEEN(fd_filestat_get)(int32_t fd, void *out) {
    if (!is_device(fd) && (fd != SCRIPT || !script_open)) return fd_filestat_get(fd, out);
    return fd == SCRIPT ? tell_stat(out, REGULAR, source_length) : tell_stat(out, CHARACTERS, 0);
}
int32_t BETWEEN(fd_fdstat_set_flags)(int32_t fd, int32_t flags) {
    return fd == SCRIPT || is_device(fd) ? 0 : fd_fdstat_set_flags(fd, flags);
}
/* Functions of their own kind of host are not called that way here: this is each seed that Perl draws. */
int32_t BETWEEN(call_host_function)(int32_t number, int32_t count, void *arguments) {
    int32_t seed;
    if (random_get(&seed, sizeof seed)) __builtin_trap();
    return seed;
}

/* Whether it ended here only to go on elsewhere: then it is to be called again. */
static bool again(void) {
    if (!unwound) return false;
    unwound = NULL;
    stop_unwind();
    jump *to = active;
    if (!to) return false;
    if (to->state == CAPTURING) to->kept = to->top;
    else if (to->state == RETURNING) to->top = to->kept;
    start_rewind(to);
    return true;
}
#define WHOLE(call) do call; while (again())

/* `/dev/fd/N/NAME` is Perl's own way to be given a script that is open, and what it is called. */
static char *script(char *name) {
    static const char open[] = "/dev/fd/1100/";
    if (!(source = asked("S", 1, &source_length))) return name;
    script_open = true;
    uint32_t n = length_of(name) + 1;
    char *named = malloc(sizeof open - 1 + n);
    if (!named) return name;
    __builtin_memcpy(named, open, sizeof open - 1);
    __builtin_memcpy(named + sizeof open - 1, name, n);
    return named;
}
int EXPORT(rf_run)(void) {
    uint32_t count = 0, size = 0;
    initialize();
    if (args_sizes_get(&count, &size)) return OUR_FAILURE;
    char **arguments = malloc((count + 1) * sizeof *arguments), *buffer = malloc(size + 1);
    if (!count || !arguments || !buffer || args_get(arguments, buffer)) return OUR_FAILURE;
    arguments[count] = NULL;
    if (count > 1 && arguments[1][0] != '-') arguments[1] = script(arguments[1]);
    start((int)count, arguments);
    /* What is to run at the end, where it did not: a program that ends before it begins. */
    exit_flags |= DESTRUCT_END;
    WHOLE(end());
    return final_status & 0xff;
}
static void begin(void) {
    static char *arguments[] = {(char *)"perl", (char *)"-e", (char *)session, NULL};
    begun = true;
    initialize();
    start(3, arguments);
}
void *EXPORT(rf_eval)(uint32_t p, uint32_t n, uint32_t flags) {
    if (!begin_turn(p, n, flags)) return NULL;
    if (!begun) begin();
    if (resume_word == RESUME_COPY) evaluate("srand", 0, 0, NULL);
    resume_word = 0;
    evaluate("Ringfence::turn()", 0, 0, NULL);
    busy = false;
    return &result;
}
void *EXPORT(rf_fork)(uint32_t flags) {
    if (!busy && begun) evaluate("Ringfence::flush()", 0, 0, NULL);
    return (void *)&resume_word;
}
void *EXPORT(rf_alloc)(uint32_t n) { return malloc(n ? n : 1); }
void EXPORT(rf_free)(void *p) { free(p); }
void EXPORT(_start)(void) { proc_exit((uint32_t)rf_run()); }
int EXPORT(rf_abi)(void) { return ABI; }
