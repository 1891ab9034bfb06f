/* What stands between PHP and its host: files that only the driver has, the door of a session, and a machine that is
 * nobody's while the pack is built. */
#include "door.h"

FROM(leave) __attribute__((noreturn)) void leave(void);

enum { FIRST_FOLDER = 3, FOLDERS = 256, MOST_NAME = 4096, FIRST_OURS = 1100, OURS = 16, DOOR = 1200, RANDOM = 1201 };

typedef struct { char *prefix; int32_t fd; } folder;
typedef struct { uint8_t tag; uint32_t name_length; } prestat;
typedef struct { const char *name, *text; uint32_t length; } file;
typedef struct { const file *of; int64_t at; } opened;

/* What stands on its command line where it is held: settings that a command line has, and not a server. */
static const char settings[] =
    "php\0-d\0html_errors=0\0-d\0display_errors=1\0-d\0log_errors=0\0-d\0error_reporting=-1\0-d\0implicit_flush=1\0"
    "-d\0max_execution_time=0\0-d\0memory_limit=-1\0-d\0register_argc_argv=1\0-d\0cgi.force_redirect=0\0-d\0date.timezone=UTC\0"
    "-d\0disable_classes=Fiber\0-d\0auto_prepend_file=/.prelude.php";
static const char prelude[] = {
#embed "prelude.php"
};
static const char session[] = {
#embed "session.php"
};
enum { PRELUDE, SESSION, SCRIPT, SETTINGS, KINDS };
static file files[KINDS] = {{".prelude.php", prelude, sizeof prelude}, {".session.php", session, sizeof session},
                             {NULL, NULL, 0}, {".settings.ini", "", 0}};
static opened open_files[OURS];
static folder folders[FOLDERS];
static uint32_t folder_count;
static bool live, pausing, leaving;

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
    for (uint32_t i = 0; name && i < KINDS; i++) {
        if (i == SESSION && !busy) continue;
        if (files[i].name && same(name, files[i].name)) return &files[i];
    }
    return NULL;
}
static bool is_above(const char *name, const char *of) {
    uint32_t n = length_of(name);
    return of && begins(of, name) && of[n] == '/';
}
static bool is_device(int32_t fd) { return fd == DOOR || fd == RANDOM; }
/* SQLite takes its seed from there, and else from the time. */
static int32_t device(const char *name) {
    if (busy && name && same(name, "dev/ringfence")) return DOOR;
    return name && live && (same(name, "dev/urandom") || same(name, "dev/random")) ? RANDOM : 0;
}
static opened *found(int32_t fd) {
    if (fd < FIRST_OURS || fd >= FIRST_OURS + OURS) return NULL;
    opened *it = &open_files[fd - FIRST_OURS];
    return it->of ? it : NULL;
}
/* What PHP asks its host for. */
int32_t BETWEEN(path_open)(int32_t fd, int32_t dirflags, const char *path, uint32_t length, int32_t oflags, int64_t rights,
                           int64_t inheriting, int32_t flags, int32_t *out) {
    const char *name = whole(fd, path, length);
    const file *it = ours(name);
    if (device(name)) {
        *out = device(name);
        return 0;
    }
    for (int32_t i = 0; it && i < OURS; i++) {
        if (open_files[i].of) continue;
        open_files[i] = (opened){it, 0};
        *out = FIRST_OURS + i;
        return 0;
    }
    if (it) return TOO_MANY;
    return live ? path_open(fd, dirflags, path, length, oflags, rights, inheriting, flags, out) : ABSENT_FILE;
}
int32_t BETWEEN(path_filestat_get)(int32_t fd, int32_t flags, const char *path, uint32_t length, void *out) {
    const char *name = whole(fd, path, length);
    const file *it = ours(name);
    /* Whoever resolves a path asks for it, and then for the folders above it: of ours the host knows neither. */
    static const char *resolved;
    if (it || device(name)) {
        resolved = it ? it->name : "dev/";
        return it ? tell_stat(out, REGULAR, it->length) : tell_stat(out, CHARACTERS, 0);
    }
    if (name && is_above(name, resolved)) return tell_stat(out, DIRECTORY, 0);
    resolved = NULL;
    int32_t error = live ? path_filestat_get(fd, flags, path, length, out) : ABSENT_FILE;
    return error && name && is_above(name, files[SCRIPT].name) ? tell_stat(out, DIRECTORY, 0) : error;
}
int32_t BETWEEN(fd_read)(int32_t fd, const part *parts, uint32_t count, uint32_t *out) {
    opened *it = found(fd);
    if (!it && !is_device(fd)) return fd_read(fd, parts, count, out);
    *out = 0;
    if (fd == DOOR && count) *out = door_read(parts[0].at, parts[0].length);
    for (uint32_t i = 0; fd != DOOR && i < count; i++) {
        uint32_t n = parts[i].length;
        if (it) {
            int64_t left = (int64_t)it->of->length - it->at;
            n = left <= 0 ? 0 : n < left ? n : (uint32_t)left;
            __builtin_memcpy(parts[i].at, it->of->text + it->at, n);
            it->at += n;
        } else {
            int32_t error = random_get(parts[i].at, n);
            if (error) return error;
        }
        *out += n;
    }
    return 0;
}
/* The session has begun: all of C's frames are left behind, and PHP's stay as they are. */
int32_t BETWEEN(fd_write)(int32_t fd, const part *parts, uint32_t count, uint32_t *out) {
    if (fd != DOOR) return fd_write(fd, parts, count, out);
    *out = count ? parts[0].length : 0;
    if (count && leaving && *out == 2 && !parts[0].at[0] && parts[0].at[1] == 'l') leave();
    if (count) door_hear(parts[0].at, *out);
    return 0;
}
int32_t BETWEEN(fd_close)(int32_t fd) {
    opened *it = found(fd);
    /* Streams are opened more than once under the same number: there is no `dup`. */
    if (!it) return fd < FIRST_FOLDER || is_device(fd) ? 0 : fd_close(fd);
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
    if (found(fd) || is_device(fd)) return tell_state(out, is_device(fd) ? CHARACTERS : REGULAR);
    return live ? fd_fdstat_get(fd, out) : BAD_FD;
}
int32_t BETWEEN(fd_filestat_get)(int32_t fd, void *out) {
    opened *it = found(fd);
    if (is_device(fd)) return tell_stat(out, CHARACTERS, 0);
    return it ? tell_stat(out, REGULAR, it->of->length) : fd_filestat_get(fd, out);
}
int32_t BETWEEN(fd_fdstat_set_flags)(int32_t fd, int32_t flags) {
    return found(fd) || is_device(fd) ? 0 : fd_fdstat_set_flags(fd, flags);
}
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
