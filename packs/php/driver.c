/* Driver of the pack `php`: the guest ABI in front of a PHP that others have linked (recipe.py).
 *
 * Their PHP is a command, which starts all its extensions before it looks at what is to run. When the pack is built it is
 * held there: `main`, and nothing else, is made to unwind to the driver and to come back, so a run goes on from there. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(n) __attribute__((export_name(#n))) n
#define BETWEEN(n) __attribute__((export_name(#n))) between_##n
#define THEIRS(n) __attribute__((import_module("interpreter"), import_name(#n)))
#define WASI(n) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#n)))
#define HOST(n) __attribute__((import_module("ringfence"), import_name(#n)))

enum { ABI = 1, OUR_FAILURE = 70, BAD_FD = 8, INVALID = 28, TOO_MANY = 33, ABSENT = 44, UNSUPPORTED = 58 };
enum { DIRECTORY = 3, REGULAR = 4, FIRST_FOLDER = 3, FOLDERS = 256, MOST_NAME = 4096, FIRST_OURS = 1100, OURS = 16 };
/* Beyond what a command line has. */
enum { KEPT_BYTES = 4096 };

typedef struct { char *at; uint32_t length; } part;
typedef struct { char *prefix; int32_t fd; } folder;
typedef struct { uint8_t tag; uint32_t name_length; } prestat;
typedef struct { const char *name, *text; uint32_t length; } file;
typedef struct { const file *of; int64_t at; } opened;
typedef struct { char *top, *end, bytes[KEPT_BYTES]; } kept;

THEIRS(malloc) extern void *malloc(size_t);
THEIRS(main) extern void start(void);
THEIRS(initialize_environ) extern void initialize_environ(void);
THEIRS(asyncify_start_unwind) extern void start_unwind(kept *);
THEIRS(asyncify_stop_unwind) extern void stop_unwind(void);
THEIRS(asyncify_start_rewind) extern void start_rewind(kept *);
THEIRS(asyncify_stop_rewind) extern void stop_rewind(void);
HOST(host_call) extern int64_t host_call(const void *message, uint32_t length, void *out, uint32_t room);
HOST(host_take) extern int32_t host_take(void *out, uint32_t length);
WASI(args_sizes_get) extern int32_t args_sizes_get(uint32_t *count, uint32_t *size);
WASI(args_get) extern int32_t args_get(char **all, char *buffer);
WASI(environ_sizes_get) extern int32_t environ_sizes_get(uint32_t *count, uint32_t *size);
WASI(environ_get) extern int32_t environ_get(char **all, char *buffer);
WASI(clock_time_get) extern int32_t clock_time_get(int32_t, int64_t, int64_t *);
WASI(random_get) extern int32_t random_get(void *, uint32_t);
WASI(proc_exit) extern void proc_exit(uint32_t);
WASI(path_open) extern int32_t path_open(int32_t, int32_t, const char *, uint32_t, int32_t, int64_t, int64_t, int32_t, int32_t *);
WASI(path_filestat_get) extern int32_t path_filestat_get(int32_t, int32_t, const char *, uint32_t, void *);
WASI(fd_prestat_get) extern int32_t fd_prestat_get(int32_t fd, prestat *);
WASI(fd_prestat_dir_name) extern int32_t fd_prestat_dir_name(int32_t fd, char *, uint32_t);
WASI(fd_read) extern int32_t fd_read(int32_t, const part *, uint32_t, uint32_t *);
WASI(fd_close) extern int32_t fd_close(int32_t);
WASI(fd_seek) extern int32_t fd_seek(int32_t, int64_t, int32_t, int64_t *);
WASI(fd_tell) extern int32_t fd_tell(int32_t, int64_t *);
WASI(fd_fdstat_get) extern int32_t fd_fdstat_get(int32_t, void *);
WASI(fd_filestat_get) extern int32_t fd_filestat_get(int32_t, void *);
WASI(fd_fdstat_set_flags) extern int32_t fd_fdstat_set_flags(int32_t, int32_t);

/* Where the library of C keeps the folders that were opened before the start. */
static struct { uint32_t count; folder *all; uint32_t room; } *const preopens = (void *)PREOPENS;
#define frame_word(offset) (*(volatile uint32_t *)(frame + (offset)))

/* What stands on its command line where it is held: settings that a command line has, and not a server. */
static const char settings[] =
    "php\0-d\0html_errors=0\0-d\0display_errors=1\0-d\0log_errors=0\0-d\0error_reporting=-1\0-d\0implicit_flush=1\0"
    "-d\0max_execution_time=0\0-d\0memory_limit=-1\0-d\0register_argc_argv=1\0-d\0cgi.force_redirect=0\0-d\0date.timezone=UTC\0"
    "-d\0auto_prepend_file=/.prelude.php";
static const char prelude[] = {
#embed "prelude.php"
};
enum { PRELUDE, SCRIPT };
static file files[] = {{".prelude.php", prelude, sizeof prelude}, {NULL, NULL, 0}};
static opened open_files[OURS];
static folder folders[FOLDERS];
static uint32_t folder_count;
static bool live, pausing;
static char *frame;
static kept stack;

static uint32_t length_of(const char *text) {
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}
static bool same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}
static bool begins(const char *text, const char *with) {
    while (*with && *text == *with) text++, with++;
    return !*with;
}

/* The path from the root, without its first slash. */
static const char *whole(int32_t fd, const char *path, uint32_t length) {
    static char name[2 * MOST_NAME + 2];
    uint32_t n = 0;
    for (uint32_t i = 0; i < folder_count; i++) {
        if (folders[i].fd != fd) continue;
        n = length_of(folders[i].prefix);
        if (n > MOST_NAME) return NULL;
        __builtin_memcpy(name, folders[i].prefix, n);
        if (n) name[n++] = '/';
        break;
    }
    if (length > MOST_NAME) return NULL;
    if (length > 1 && path[0] == '.' && path[1] == '/') path += 2, length -= 2;
    __builtin_memcpy(name + n, path, length);
    name[n + length] = 0;
    return name;
}
/* A file that only the driver has. */
static const file *ours(const char *name) {
    if (!name) return NULL;
    if (same(name, files[PRELUDE].name)) return &files[PRELUDE];
    return files[SCRIPT].name && same(name, files[SCRIPT].name) ? &files[SCRIPT] : NULL;
}
static bool is_above(const char *name, const char *of) {
    uint32_t n = length_of(name);
    return of && begins(of, name) && of[n] == '/';
}
static opened *found(int32_t fd) {
    if (fd < FIRST_OURS || fd >= FIRST_OURS + OURS) return NULL;
    opened *it = &open_files[fd - FIRST_OURS];
    return it->of ? it : NULL;
}
static int32_t tell_stat(void *out, char kind, uint32_t size) {
    __builtin_memset(out, 0, 64);
    ((char *)out)[16] = kind;
    ((int64_t *)out)[3] = 1;
    ((int64_t *)out)[4] = size;
    return 0;
}

/* What PHP asks its host for. */
int32_t BETWEEN(path_open)(int32_t fd, int32_t dirflags, const char *path, uint32_t length, int32_t oflags, int64_t rights,
                           int64_t inheriting, int32_t flags, int32_t *out) {
    const file *it = ours(whole(fd, path, length));
    for (int32_t i = 0; it && i < OURS; i++) {
        if (open_files[i].of) continue;
        open_files[i] = (opened){it, 0};
        *out = FIRST_OURS + i;
        return 0;
    }
    if (it) return TOO_MANY;
    return live ? path_open(fd, dirflags, path, length, oflags, rights, inheriting, flags, out) : ABSENT;
}
int32_t BETWEEN(path_filestat_get)(int32_t fd, int32_t flags, const char *path, uint32_t length, void *out) {
    const char *name = whole(fd, path, length);
    const file *it = ours(name);
    if (it) return tell_stat(out, REGULAR, it->length);
    int32_t error = live ? path_filestat_get(fd, flags, path, length, out) : ABSENT;
    return error && name && is_above(name, files[SCRIPT].name) ? tell_stat(out, DIRECTORY, 0) : error;
}
int32_t BETWEEN(fd_read)(int32_t fd, const part *parts, uint32_t count, uint32_t *out) {
    opened *it = found(fd);
    if (!it) return fd_read(fd, parts, count, out);
    *out = 0;
    for (uint32_t i = 0; i < count; i++) {
        int64_t left = (int64_t)it->of->length - it->at;
        uint32_t n = left <= 0 ? 0 : parts[i].length < left ? parts[i].length : (uint32_t)left;
        __builtin_memcpy(parts[i].at, it->of->text + it->at, n);
        it->at += n;
        *out += n;
    }
    return 0;
}
int32_t BETWEEN(fd_close)(int32_t fd) {
    opened *it = found(fd);
    /* Streams are opened more than once under the same number: there is no `dup`. */
    if (!it) return fd < FIRST_FOLDER ? 0 : fd_close(fd);
    it->of = NULL;
    return 0;
}
int32_t BETWEEN(fd_seek)(int32_t fd, int64_t by, int32_t whence, int64_t *out) {
    opened *it = found(fd);
    if (!it) return fd_seek(fd, by, whence, out);
    int64_t to = by + (whence == 0 ? 0 : whence == 1 ? it->at : it->of->length);
    if (to < 0 || to > INT32_MAX) return INVALID;
    it->at = *out = to;
    return 0;
}
int32_t BETWEEN(fd_tell)(int32_t fd, int64_t *out) {
    opened *it = found(fd);
    if (!it) return fd_tell(fd, out);
    *out = it->at;
    return 0;
}
int32_t BETWEEN(fd_fdstat_get)(int32_t fd, void *out) {
    if (!found(fd)) return live ? fd_fdstat_get(fd, out) : BAD_FD;
    __builtin_memset(out, 0, 24);
    *(char *)out = REGULAR;
    ((int64_t *)out)[1] = -1;
    return 0;
}
int32_t BETWEEN(fd_filestat_get)(int32_t fd, void *out) {
    opened *it = found(fd);
    return it ? tell_stat(out, REGULAR, it->of->length) : fd_filestat_get(fd, out);
}
int32_t BETWEEN(fd_fdstat_set_flags)(int32_t fd, int32_t flags) { return found(fd) ? 0 : fd_fdstat_set_flags(fd, flags); }
/* Nothing of the machine that builds is in the pack. */
int32_t BETWEEN(args_sizes_get)(uint32_t *count, uint32_t *size) {
    *count = 1;
    *size = sizeof settings;
    for (uint32_t i = 0; i + 1 < sizeof settings; i++) *count += !settings[i];
    return 0;
}
int32_t BETWEEN(args_get)(char **all, char *buffer) {
    __builtin_memcpy(buffer, settings, sizeof settings);
    for (uint32_t i = 0; i < sizeof settings; i++)
        if (!i || !settings[i - 1]) *all++ = buffer + i;
    return 0;
}
int32_t BETWEEN(environ_sizes_get)(uint32_t *count, uint32_t *size) {
    if (live) return environ_sizes_get(count, size);
    *count = *size = 0;
    return 0;
}
int32_t BETWEEN(environ_get)(char **all, char *buffer) { return live ? environ_get(all, buffer) : 0; }
int32_t BETWEEN(fd_prestat_get)(int32_t fd, prestat *out) {
    if (fd != FIRST_FOLDER) return BAD_FD;
    *out = (prestat){0, 1};
    return 0;
}
int32_t BETWEEN(fd_prestat_dir_name)(int32_t fd, char *out, uint32_t length) {
    if (length) out[0] = '/';
    return 0;
}
int32_t BETWEEN(random_get)(void *at, uint32_t n) {
    if (live) return random_get(at, n);
    __builtin_memset(at, 42, n);
    return 0;
}
int32_t BETWEEN(clock_time_get)(int32_t which, int64_t precision, int64_t *out) {
    if (live) return clock_time_get(which, precision, out);
    static int64_t now = 1781000000000000000;
    *out = now += 1000;
    return 0;
}
/* As a shell would have it. */
void BETWEEN(proc_exit)(uint32_t code) { proc_exit(code & 0xff); }
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

static char *asked(const char *message, uint32_t length, uint32_t *n) {
    int64_t told = host_call(message, length, NULL, 0);
    if (told < 0 || told > INT32_MAX) return NULL;
    char *answer = malloc((size_t)told + 1);
    if (!answer || (told && host_take(answer, (uint32_t)told))) return NULL;
    answer[*n = (uint32_t)told] = 0;
    return answer;
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
int EXPORT(rf_run)(void) {
    uint32_t count = 0, size = 0;
    live = true;
    folder_count = 0;
    open_folders();
    initialize_environ();
    if (args_sizes_get(&count, &size)) return OUR_FAILURE;
    char **given = malloc((count + 4) * sizeof *given), *buffer = malloc(size + 1);
    if (!count || !given || !buffer || args_get(given + 2, buffer)) return OUR_FAILURE;
    char **all = given + 1;
    given[count + 2] = NULL;
    all[0] = given[2];
    all[1] = (char *)"-q";
    uint32_t n = 0, words = count + 1;
    if (count == 1) {
        /* A request, as a server hands it over: variables say which script it is for. */
        all = given + 2;
        words = 1;
    } else if (count > 2 && same(given[3], "-r")) {
        char *text = joined("<?php ", given[4]);
        hand_in("Command line code", text, length_of(text));
        given[4] = (char *)files[SCRIPT].name;
        given[2] = all[0];
        given[3] = (char *)"-q";
        all = given + 2;
        words = count;
    } else if (count > 1 && same(given[3], "-")) {
        char *text = standard_input(&n);
        if (!text) return OUR_FAILURE;
        hand_in("-", text, n);
    } else if (count > 1 && given[3][0] != '-') {
        char *text = asked("S", 1, &n);
        if (text) hand_in(given[3], text, n);
    }
    frame_word(ARGC) = words;
    frame_word(ARGV) = (uint32_t)all;
    pausing = true;
    start_rewind(&stack);
    start();
    return 0;
}
void EXPORT(rf_start)(void) { proc_exit((uint32_t)rf_run()); }
int EXPORT(rf_abi)(void) { return ABI; }
void EXPORT(rf_init)(void) {
    static folder root = {(char *)"", FIRST_FOLDER};
    folders[0] = root;
    folder_count = 1;
    /* What PHP calls itself: programs ask, and the command line is what they expect. */
    *(const char **)SAPI_NAME = "cli";
    pausing = true;
    start();
    if (!frame) __builtin_trap();
    stop_unwind();
    pausing = false;
}
