/* What the driver's files share. ABI: docs/reference/guest-abi.md. */
#ifndef DRIVER_H
#define DRIVER_H
#include "abi.h"
#include "changed.h"
#include "encoding.h"
#include "lua.h"

extern lua_State *state;

/* values.c: values of Lua in the encoding of the ABI */
enum { VALUE_PLAIN, VALUE_NOT_PLAIN };
extern char null_mark;   /* `ringfence.null` is a light userdata of its address */
int value_write(lua_State *L, int index, struct bytes *to);           /* runs no code of the guest, throws nothing */
void value_read(lua_State *L, const uint8_t *bytes, size_t length);   /* pushes it, or throws */

/* host.c */
int64_t host_push(lua_State *L, const void *message, size_t length);   /* pushes the answer's bytes, or nothing where < 0 */
void host_open(lua_State *L);                                         /* pushes a table of functions */

/* command.c */
bool command(lua_State *L, int argc, char **argv);   /* whether there was no error */
#endif
