/* What the driver's files share. ABI: docs/reference/guest-abi.md. */
#ifndef DRIVER_H
#define DRIVER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "changed.h"
#include "lua.h"

extern lua_State *state;
extern bool live;         /* the first run has begun; until then the snapshot is made: no host, no clock */

/* values.c: the value encoding of the ABI */
enum { VALUE_PLAIN, VALUE_NOT_PLAIN };
struct bytes {
    uint8_t *data;     /* malloc'ed */
    size_t length, capacity;
    uint32_t items;    /* values written so far */
    bool failed;       /* no memory */
};
extern char null_mark;   /* `ringfence.null` is a light userdata of its address */
void bytes_add(struct bytes *to, const void *data, size_t length);
void write_head(struct bytes *to, int major, uint64_t n);
void write_text(struct bytes *to, const char *text, size_t length);   /* what is no UTF-8 in it is escaped */
int value_write(lua_State *L, int index, struct bytes *to);           /* runs no code of the guest, throws nothing */
void value_read(lua_State *L, const uint8_t *bytes, size_t length);   /* pushes it, or throws */
enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

/* host.c */
enum { REFUSED = -1, ABSENT = -2, TOO_LONG = -3 };
int64_t host_ask(lua_State *L, const void *message, size_t length);   /* pushes the answer's bytes, or nothing where < 0 */
void host_open(lua_State *L);                                         /* pushes a table of functions */

/* command.c */
bool command(lua_State *L, int argc, char **argv);   /* whether there was no error */
#endif
