/* The host's functions, for drivers that stand between an interpreter and its host. */
#ifndef WASI_H
#define WASI_H
#include <stddef.h>

#define FROM(n) __attribute__((import_module("interpreter"), import_name(#n))) extern
FROM(malloc) void *malloc(size_t);
FROM(free) void free(void *);
#include "driver.h"

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
WASI(fd_prestat_get) extern int32_t fd_prestat_get(int32_t, void *);
WASI(fd_prestat_dir_name) extern int32_t fd_prestat_dir_name(int32_t, char *, uint32_t);
WASI(fd_read) extern int32_t fd_read(int32_t, const part *, uint32_t, uint32_t *);
WASI(fd_write) extern int32_t fd_write(int32_t, const part *, uint32_t, uint32_t *);
WASI(fd_close) extern int32_t fd_close(int32_t);
WASI(fd_seek) extern int32_t fd_seek(int32_t, int64_t, int32_t, int64_t *);
WASI(fd_tell) extern int32_t fd_tell(int32_t, int64_t *);
WASI(fd_fdstat_get) extern int32_t fd_fdstat_get(int32_t, void *);
WASI(fd_fdstat_set_flags) extern int32_t fd_fdstat_set_flags(int32_t, int32_t);
WASI(fd_filestat_get) extern int32_t fd_filestat_get(int32_t, void *);

/* The answer to a message, with a NUL behind it. */
static inline char *asked(const char *message, uint32_t length, uint32_t *n) {
    int64_t told = host_call(message, length, NULL, 0);
    if (told < 0 || told > INT32_MAX - 1) return NULL;
    char *answer = malloc((size_t)told + 1);
    if (!answer || (told && host_take(answer, (uint32_t)told))) return NULL;
    answer[*n = (uint32_t)told] = 0;
    return answer;
}

/* What the host is told of a file that is nowhere. */
static inline int32_t tell_stat(void *out, char kind, uint32_t size) {
    __builtin_memset(out, 0, 64);
    ((char *)out)[16] = kind;
    ((int64_t *)out)[3] = 1;
    ((int64_t *)out)[4] = size;
    return 0;
}
static inline int32_t tell_state(void *out, char kind) {
    __builtin_memset(out, 0, 24);
    *(char *)out = kind;
    ((int64_t *)out)[1] = -1;
    return 0;
}
#endif
