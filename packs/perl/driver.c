/* Driver of the pack `perl`: the guest ABI in front of a Perl that others have linked (recipe.py).
 *
 * Their Perl leaves and returns by unwinding its stack to whoever called it: a `setjmp` and a jump end here, and are
 * begun again from here. The driver itself is not made for that, so it is never in the middle. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(n) __attribute__((export_name(#n))) n
#define BETWEEN(n) __attribute__((export_name(#n))) between_##n
#define THEIRS(n) __attribute__((import_module("interpreter"), import_name(#n)))
#define WASI(n) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#n)))
#define HOST(n) __attribute__((import_module("ringfence"), import_name(#n)))

enum { ABI = 1, BAD_FD = 8, INVALID = 28, CHARACTERS = 2, REGULAR = 4, FIRST = 3, FILES_OF_THE_LIBRARY = 32, OUR_FAILURE = 70 };
/* Files that are nowhere: beyond all numbers that the host gives. */
enum { SCRIPT = 1100, RANDOM = 1101, DOOR = 1102 };
enum { HEAD = 5, RESUME_COPY = 2, DESTRUCT_END = 2, CAPTURING = 1, RETURNING = 3 };

/* A `jmp_buf` of theirs. */
typedef struct { char *top, *end, buffer[32768], *other, *kept; int32_t value, state; } jump;
typedef struct { char *at; uint32_t length; } part;

THEIRS(malloc) extern void *malloc(size_t);
THEIRS(_initialize) extern void initialize(void);
THEIRS(zeroperl_init_with_args) extern int start(int count, char **arguments);
THEIRS(free) extern void free(void *);
THEIRS(zeroperl_eval) extern int evaluate(const char *code, int context, int count, char **arguments);
THEIRS(zeroperl_free_interpreter) extern void end(void);
THEIRS(asyncify_stop_unwind) extern void stop_unwind(void);
THEIRS(asyncify_start_rewind) extern void start_rewind(jump *);
HOST(host_call) extern int64_t host_call(const void *message, uint32_t length, void *out, uint32_t room);
HOST(host_take) extern int32_t host_take(void *out, uint32_t length);
WASI(args_sizes_get) extern int32_t args_sizes_get(uint32_t *count, uint32_t *size);
WASI(args_get) extern int32_t args_get(char **all, char *buffer);
WASI(random_get) extern int32_t random_get(void *, uint32_t);
WASI(proc_exit) extern void proc_exit(uint32_t);
WASI(path_open) extern int32_t path_open(int32_t, int32_t, const char *, uint32_t, int32_t, int64_t, int64_t, int32_t, int32_t *);
WASI(fd_read) extern int32_t fd_read(int32_t, const part *, uint32_t, uint32_t *);
WASI(fd_write) extern int32_t fd_write(int32_t, const part *, uint32_t, uint32_t *);
WASI(fd_close) extern int32_t fd_close(int32_t);
WASI(fd_seek) extern int32_t fd_seek(int32_t, int64_t, int32_t, int64_t *);
WASI(fd_tell) extern int32_t fd_tell(int32_t, int64_t *);
WASI(fd_fdstat_get) extern int32_t fd_fdstat_get(int32_t, void *);
WASI(fd_filestat_get) extern int32_t fd_filestat_get(int32_t, void *);
WASI(fd_fdstat_set_flags) extern int32_t fd_fdstat_set_flags(int32_t, int32_t);

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
static struct { uint32_t status, code, value, value_length, error, error_length; } result;
static volatile uint32_t resume_word;
static bool begun, busy;
static part turn;
static uint32_t turn_flags;
static char *answer;
static uint32_t answer_length, answer_at;

static uint32_t length_of(const char *text) {
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}
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

static char *room(uint32_t n) {
    free(answer);
    answer_at = 0;
    answer_length = (answer = malloc(HEAD + n)) ? HEAD + n : 0;
    if (answer) answer[0] = 0, __builtin_memcpy(answer + 1, &n, sizeof n);
    return answer ? answer + HEAD : NULL;
}
static void give(const void *bytes, uint32_t n) {
    char *at = room(n);
    if (at) __builtin_memcpy(at, bytes, n);
}
static void ask(const part *message) {
    int64_t n = host_call(message->at, message->length, NULL, 0);
    char *at = n < 0 || n > INT32_MAX - HEAD ? NULL : room((uint32_t)n);
    if (at && (!n || !host_take(at, (uint32_t)n))) return;
    if (room(0)) answer[0] = 1;
}
static uint32_t word(const char *at) { uint32_t w; __builtin_memcpy(&w, at, sizeof w); return w; }
static uint32_t kept(uint32_t *place, const char *bytes, uint32_t length) {
    free((void *)*place);
    char *copy = length ? malloc(length) : NULL;
    if (copy) __builtin_memcpy(copy, bytes, length);
    *place = (uint32_t)copy;
    return copy ? length : 0;
}
/* status, code and two lengths, then a value and an error. */
static void take_result(const char *at, uint32_t n) {
    if (n < 16 || (uint64_t)word(at + 8) + word(at + 12) + 16 > n) return;
    result.status = word(at);
    result.code = word(at + 4);
    result.value_length = kept(&result.value, at + 16, word(at + 8));
    result.error_length = kept(&result.error, at + 16 + word(at + 8), word(at + 12));
}
/* What begins with a zero byte is for the driver. */
static void hear(const part *said) {
    if (said->length < 2 || said->at[0]) ask(said);
    else if (said->at[1] == 't' && turn.at) give(turn.at, turn.length);
    else if (said->at[1] == 't') ask(&(part){(char *)"S", 1});
    else if (said->at[1] == 'f') give(&turn_flags, sizeof turn_flags);
    else if (said->at[1] == 'r') take_result(said->at + 2, said->length - 2), give("", 0);
    else room(0);
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
            if (n > answer_length - answer_at) n = answer_length - answer_at;
            __builtin_memcpy(parts[i].at, answer + answer_at, n);
            answer_at += n;
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
    if (count) hear(parts);
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
    __builtin_memset(out, 0, 24);
    *(char *)out = fd == SCRIPT ? REGULAR : CHARACTERS;
    ((int64_t *)out)[1] = -1;
    return 0;
}
int32_t BETWEEN(fd_filestat_get)(int32_t fd, void *out) {
    if (!is_device(fd) && (fd != SCRIPT || !script_open)) return fd_filestat_get(fd, out);
    __builtin_memset(out, 0, 64);
    ((char *)out)[16] = fd == SCRIPT ? REGULAR : CHARACTERS;
    ((int64_t *)out)[3] = 1;
    if (fd == SCRIPT) ((int64_t *)out)[4] = source_length;
    return 0;
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

static char *asked(const char *message, uint32_t length, uint32_t *n) {
    int64_t told = host_call(message, length, NULL, 0);
    if (told < 0 || told > INT32_MAX) return NULL;
    char *answer = malloc((size_t)told + 1);
    if (!answer || (told && host_take(answer, (uint32_t)told))) return NULL;
    answer[*n = (uint32_t)told] = 0;
    return answer;
}
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
    if (busy) return NULL;
    busy = true;
    result.status = 2;
    result.code = 1;
    result.value_length = result.error_length = 0;
    turn = (part){(char *)p, n};
    turn_flags = flags;
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
