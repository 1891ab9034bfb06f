/* Driver of the pack `php`: the guest ABI in front of a PHP that others have linked (recipe.py).
 *
 * Their PHP is a command, which starts all its extensions before it looks at what is to run. When the pack is built it is
 * held there: `main`, and nothing else, is made to unwind to the driver and to come back, so a run goes on from there.
 *
 * A session is a request that does not end: a script of ours says that it is there, and `main` is left for good. Each turn
 * then compiles a text and executes it, as `main` would. Where PHP jumps to who called it, it throws (components/thrown.py):
 * what is called as `try_…` ends then. */
#include "files.h"

/* Beyond what a command line has. */
enum { KEPT_BYTES = 4096, TRIES = 8, LCG_MOST = 2147483397 };
/* What a `try` gives where its function did not return. */
enum { JUMPED = -0x7fffffff, LEFT = -0x7ffffffd };
enum { NOTHING = 1, OBJECT = 8, TEXT = 6, COUNTED = 0x300, NUMBER = 4, INTERNED = 0x50, DESTRUCTED = 0x100, AFTER_OPEN_TAG = 2, ELSEWHERE = 12, INFORMATION_AS_TEXT = 32, HEAP_OVERFLOW = 148 / 4 };
/* Of EG(vm_interrupt) and EG(timed_out), which lie in one word; of EG(flags). */
enum { INTERRUPT_BITS = 0x01010000, KINDS_OF_INTERRUPTS = 3, IN_END = 1 };
/* What a program ends with that one of them ended. */
enum { TIMEOUT_EXIT = 124, INTERRUPTED_EXIT = 130, MEMORY_EXIT = 1 };

typedef struct { char *top, *end, bytes[KEPT_BYTES]; } kept_frame;
/* Of PHP: a value, a text, an object, and a call. */
typedef struct { union { void *at; int32_t number; double wide; }; uint32_t kind, more; } value;
typedef struct { uint32_t count, kind, hash, length; char text[]; } string;
typedef struct { uint32_t count, kind, handle; const void *of; } object;
typedef struct { value of; uint32_t hash; string *key; } variable;
typedef struct { void *top, *end, *before; } page;
typedef struct { uint32_t size; value function; value *answer, *given; void *of; uint32_t count; void *named; } call;

FROM(try_main) int32_t start(void);
FROM(try_define) int32_t try_define(string *name, string *, int32_t by, int32_t stage, int32_t forced);
FROM(try_end) int32_t try_end(void);
FROM(try_compile) int32_t try_compile(string *, const char *name, int32_t place);
FROM(try_execute) int32_t try_execute(int32_t, value *answer);
FROM(try_call) int32_t try_call(call *, void *);
FROM(try_release) int32_t try_release(value *);
FROM(try_forget) int32_t try_forget(int32_t);
FROM(try_destroy) int32_t try_destroy(int32_t);
FROM(try_free_theirs) int32_t try_free_theirs(void *);
FROM(initialize_environ) void initialize_environ(void);
FROM(asyncify_start_unwind) void start_unwind(kept_frame *);
FROM(asyncify_stop_unwind) void stop_unwind(void);
FROM(asyncify_start_rewind) void start_rewind(kept_frame *);
FROM(asyncify_stop_rewind) void stop_rewind(void);

/* Where the library of C keeps the folders that were opened before the start. */
static struct { uint32_t count; folder *all; uint32_t room; } *const preopens = (void *)PREOPENS;
#define frame_word(offset) (*(volatile uint32_t *)(frame + (offset)))
/* PHP's own variables. */
#define current_frame (*(void *volatile *)CURRENT_FRAME)
#define exception (*(object *volatile *)EXCEPTION)
#define exit_status (*(volatile int32_t *)EXIT_STATUS)
#define shutdown_functions (*(void *volatile *)SHUTDOWN_FUNCTIONS)
#define active_class (*(void *volatile *)ACTIVE_CLASS)
#define compiling (*(volatile bool *)COMPILING)
#define unclean (*(volatile bool *)UNCLEAN)
#define uncollected (*(volatile bool *)UNCOLLECTED)
static volatile struct { void *top, *end; page *last; } *const frames = (void *)STACK_OF_FRAMES;
static struct { uint32_t head[4]; variable *all; uint32_t used; } *const globals = (void *)GLOBALS;
#define ending (*(volatile uint8_t *)FLAGS)
#define interrupts (*(volatile uint32_t *)INTERRUPTS)
static struct { object **all; uint32_t count; } *const objects = (void *)OBJECTS;

static char *frame;
static kept_frame stack;
static volatile uint32_t resume_word, interrupted;
static uint32_t cells;
static bool begun;

/* Called by `main` where it has started everything; elsewhere it stands for a function of sockets. */
int32_t BETWEEN(sock_shutdown)(char *at, int32_t how) {
    if (!pausing) return UNSUPPORTED;
    if (live) {
        stop_rewind();
        pausing = false;
        return 0;
    }
    frame = at;
    stack.top = stack.bytes;
    stack.end = stack.bytes + KEPT_BYTES;
    start_unwind(&stack);
    return 0;
}

/* A script on standard input: all of it, to its end. */
static char *standard_input(uint32_t *n) {
    uint32_t room = 64 << 10, given;
    char *text = malloc(room);
    for (*n = 0; text; *n += given) {
        if (*n == room) {
            char *more = room < 1u << 30 ? malloc(2 * room) : NULL;
            if (more) __builtin_memcpy(more, text, room);
            text = more;
            room *= 2;
        }
        part rest = {text + *n, room - *n};
        if (!text || fd_read(0, &rest, 1, &given)) return NULL;
        if (!given) break;
    }
    return text;
}
/* The folders of this run, as the library of C has them: without slashes in front. */
static void open_folders(void) {
    static char name[MOST_NAME];
    prestat told;
    for (int32_t fd = FIRST_FOLDER; folder_count < FOLDERS && !fd_prestat_get(fd, &told); fd++) {
        if (told.tag || told.name_length >= MOST_NAME || fd_prestat_dir_name(fd, name, told.name_length)) continue;
        name[told.name_length] = 0;
        char *at = name;
        while (*at == '/' || (*at == '.' && (at[1] == '/' || !at[1]))) at++;
        uint32_t n = length_of(at) + 1;
        folders[folder_count].prefix = malloc(n);
        __builtin_memcpy(folders[folder_count].prefix, at, n);
        folders[folder_count++].fd = fd;
    }
    preopens->count = preopens->room = folder_count;
    preopens->all = folders;
}
static char *joined(const char *before, const char *text) {
    uint32_t a = length_of(before), b = length_of(text);
    char *all = malloc(a + b + 1);
    __builtin_memcpy(all, before, a);
    __builtin_memcpy(all + a, text, b + 1);
    return all;
}
static void hand_in(const char *name, const char *text, uint32_t length) {
    while (*name == '/' || (*name == '.' && name[1] == '/')) name += *name == '/' ? 1 : 2;
    files[SCRIPT] = (file){name, text, length};
}
/* `main` goes on with this command line. */
static int32_t go_on(uint32_t count, char **all) {
    frame_word(ARGC) = count;
    frame_word(ARGV) = (uint32_t)all;
    pausing = true;
    start_rewind(&stack);
    return start();
}
static void come_alive(void) {
    live = true;
    folder_count = 0;
    open_folders();
    initialize_environ();
}
/* What PHP does where it lands, of what the next call looks at. */
static void landed(void) {
    exception = NULL;
    current_frame = NULL;
    active_class = NULL;
    compiling = false;
    interrupts &= ~(uint32_t)INTERRUPT_BITS;
    /* While it said that there is no memory it was allowed to take more. */
    (*(uint32_t *volatile *)HEAP)[HEAP_OVERFLOW] = 0;
}
/* What jumped out of `main` ended the script, or one of the steps behind it: the next one follows. */
static int ended(void) {
    for (int tries = 0; tries < TRIES; tries++) {
        landed();
        unclean = uncollected = true;
        if (ending & IN_END) {
            if (!shutdown_functions)
                for (uint32_t i = 1; objects->all && i < objects->count; i++)
                    if (!((uint32_t)objects->all[i] & 1)) objects->all[i]->kind |= DESTRUCTED;
            shutdown_functions = NULL;
        }
        if (try_end() != JUMPED) break;
    }
    static const int codes[] = {TIMEOUT_EXIT, INTERRUPTED_EXIT, MEMORY_EXIT};
    return interrupted ? codes[interrupted - 1] : exit_status & 0xff;
}
static string *text_of(const char *bytes, uint32_t n) {
    string *text = malloc(sizeof *text + n + 1);
    if (!text) return NULL;
    *text = (string){1, TEXT | INTERNED, 0, n};
    __builtin_memcpy(text->text, bytes, n);
    text->text[n] = 0;
    return text;
}
#include "command.h"

/* Calls a function of session.php. */
static int32_t called(const char *name, value *answer, value *given, uint32_t count) {
    string *text = text_of(name, length_of(name));
    call it = {.size = sizeof it, .function = {.at = text, .kind = TEXT}, .answer = answer, .given = given, .count = count};
    int32_t how = text ? try_call(&it, NULL) : JUMPED;
    free(text);
    return how;
}
static value number(int32_t n) { return (value){.number = n, .kind = NUMBER}; }
static value taken_exception(void) {
    value it = {.at = exception, .kind = exception ? OBJECT | COUNTED : NOTHING};
    exception = NULL;
    return it;
}
static const char *cell_name(void) {
    static char name[] = "<cell 0000000000>";
    uint32_t n = ++cells, digits = 1;
    for (uint32_t rest = n; rest > 9; rest /= 10) digits++;
    char *at = name + 6 + digits;
    at[0] = '>';
    at[1] = 0;
    for (; digits--; n /= 10) *--at = (char)('0' + n % 10);
    return name;
}
static bool begin(void) {
    static char *words[] = {(char *)"php", (char *)"-C", (char *)"-q", (char *)"/.session.php", NULL};
    come_alive();
    leaving = true;
    int32_t how = go_on(4, words);
    leaving = false;
    current_frame = NULL;
    return begun = how == LEFT;
}
/* Variables live in the frame of the text that declared them, until it ends. */
static bool holds_variables(page *it) {
    for (uint32_t i = 0; i < globals->used; i++) {
        value *each = &globals->all[i].of;
        if ((each->kind & 0xff) == ELSEWHERE && each->at >= (void *)it && each->at < it->end) return true;
    }
    return false;
}
/* Frames that were left behind are given back, where they fill a page. */
static void unwind_to(page *last) {
    page *from = frames->last;
    while (frames->last != last && !holds_variables(frames->last)) {
        page *gone = frames->last;
        frames->last = gone->before;
        try_free_theirs(gone);
    }
    if (frames->last == from) return;
    frames->top = frames->last->top;
    frames->end = frames->last->end;
}
/* Where not even that can be told: an encoded error. */
static void *untold(void) {
    static const char error[] = "\xa3\x64type\x6a" "FatalError" "\x67message\x72" "there is no memory"
                                "\x69traceback\x73" "there is no memory\n";
    static uint32_t words[] = {STATUS_ERROR, 1, 0, 0, 0, sizeof error - 1};
    words[4] = (uint32_t)error;
    return words;
}
static void take_turn(void) {
    page *last = frames->last;
    value code = {0}, given[4] = {{.kind = NOTHING}, {.kind = NOTHING}, number(0), number((int32_t)door.flags)}, none;
    bool jumped = called("Ringfence\\prepared", &code, NULL, 0) == JUMPED || (code.kind & 0xff) != TEXT;
    int32_t compiled = jumped ? 0 : try_compile(code.at, cell_name(), AFTER_OPEN_TAG);
    if (compiled == JUMPED) jumped = true;
    else if (compiled) {
        value answer = {.kind = NOTHING};
        jumped = try_execute(compiled, &answer) == JUMPED;
        if (!jumped) {
            if (answer.kind) given[0] = answer;
            try_forget(compiled);
            try_destroy(compiled);
            try_free_theirs((void *)compiled);
        }
    }
    if (jumped) {
        landed();
        unwind_to(last);
        if (!interrupted) uncollected = true;
        given[2] = number(interrupted ? (int32_t)interrupted + 1 : 1);
    }
    given[1] = taken_exception();
    if (given[1].kind != NOTHING && ((object *)given[1].at)->of == (void *)UNWIND_EXIT) {
        result.status = STATUS_EXIT;
        result.code = exit_status & 0xff;
    } else if (called("Ringfence\\told", &none, given, 4) == JUMPED) landed(), unwind_to(last);
    exit_status = 0;
    try_release(&code);
    try_release(&given[0]);
    try_release(&given[1]);
    landed();
    interrupted = 0;
}
/* What a copy draws is its own. */
static void seed(void) {
    uint32_t *state = (*(uint32_t ***)LCG)[1];
    *(bool *)TWISTER_SEEDED = false;
    *(uint32_t *)SQLITE_STATE = 0; /* as `sqlite3_randomness(0, NULL)` does */
    *(bool *)LCG_SEEDED = true;
    for (int i = 0; state && i < 2; i++)
        if (!random_get(&state[i], sizeof state[i])) state[i] = state[i] % LCG_MOST + 1;
}
void *EXPORT(rf_eval)(uint32_t p, uint32_t n, uint32_t flags) {
    if (!begin_turn(p, n, flags)) return NULL;
    if (resume_word == RESUME_COPY) seed();
    resume_word = RESUME_NOTHING;
    if (begun || begin()) take_turn();
    busy = false;
    return result.status == STATUS_ERROR && !result.error_length ? untold() : &result;
}
void *EXPORT(rf_fork)(uint32_t flags) { return (void *)&resume_word; }
/* PHP looks for it at each jump back and each call, and ends what runs without a word. */
void *EXPORT(rf_interrupt)(uint32_t kind) {
    static uint32_t words[4];
    words[0] = (uint32_t)&interrupted;
    words[1] = (kind < KINDS_OF_INTERRUPTS ? kind : 0) + 1;
    words[2] = INTERRUPTS;
    words[3] = INTERRUPT_BITS;
    return words;
}
void *EXPORT(rf_alloc)(uint32_t n) { return malloc(n ? n : 1); }
void EXPORT(rf_free)(void *p) { free(p); }
void EXPORT(rf_start)(void) { proc_exit((uint32_t)rf_run()); }
int EXPORT(rf_abi)(void) { return ABI; }
void EXPORT(rf_init)(void) {
    static folder root = {(char *)"", FIRST_FOLDER};
    folders[0] = root;
    folder_count = 1;
    /* What PHP calls itself: programs ask, and the command line is what they expect. */
    *(const char **)SAPI_NAME = "cli";
    ((int32_t *)SAPI_NAME)[INFORMATION_AS_TEXT] = 1;
    pausing = true;
    start();
    if (!frame) __builtin_trap();
    stop_unwind();
    pausing = false;
}
