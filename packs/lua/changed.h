/* What Lua's own files know of the driver: included in front of each (recipe.py), and used where prepare.py says so. */
#ifndef CHANGED_H
#define CHANGED_H
#include <errno.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lua_State;
/* Why the host interrupted, as stored by it: 0 = it did not, else the kind of rf_interrupt plus one. */
enum { NOT_INTERRUPTED, BY_DEADLINE, BY_KEYBOARD, BY_MEMORY };
extern volatile uint32_t driver_interrupted;

void driver_stop(struct lua_State *L);                              /* leaves what runs; nothing in it can catch that */
void driver_exit(struct lua_State *L, int status, int close);       /* the same for os.exit */
void driver_finalize(struct lua_State *L);                          /* runs the finalizers of all that is left */
#define driver_check(L) (driver_interrupted ? driver_stop(L) : (void)0)

/* What WASI's C library has not. A file without a name, or with a new one, is made in /tmp, where that is granted. */
int driver_new_name(char *name);                                    /* 0: made, and closed */
FILE *driver_new_file(void);
static inline int driver_system(const char *command) {
    if (!command) return 0;
    errno = ENOSYS;
    return -1;
}
/* The C library takes an empty name for the folder it is in, and every locale for one that it has. */
static inline FILE *driver_open(const char *name, const char *mode) {
    if (*name) return fopen(name, mode);
    errno = ENOENT;
    return NULL;
}
static inline char *driver_locale(int category, const char *name) {
    static char only[] = "C";
    return !name || !*name || !strcmp(name, "C") || !strcmp(name, "POSIX") ? only : NULL;
}
#define fopen driver_open
#define setlocale(category, name) driver_locale(category, name)
#define system driver_system
#define tmpfile driver_new_file
#define LUA_TMPNAMBUFSIZE 32
#define lua_tmpnam(buffer, failed) ((failed) = driver_new_name(buffer))
#endif
