/* What the driver's files share. ABI: docs/reference/guest-abi.md. */
#ifndef DRIVER_H
#define DRIVER_H
#include <stdio.h>
#include "abi.h"
#include "changed.h"
#include "encoding.h"
#include "sqlite3.h"

extern const char *driver_text;   /* of the script that was handed in, or NULL: then it is standard input */

_Noreturn void driver_exit(int code);
FILE *driver_input(void);
FILE *driver_errors(void);
bool driver_exists(const char *name);
int driver_main(int argc, char **argv);

/* values.c: values of SQL in the encoding of the ABI */
void write_value(struct bytes *to, sqlite3_value *value);
bool read_skip(struct reader *r, int depth);
bool read_result(struct reader *r, sqlite3_context *to);              /* lists and maps become JSON */

/* host.c */
void host_list(void);
int host_register(sqlite3 *db, char **error, const void *unused);     /* the host's functions, as SQL functions */

/* shell_unit.c */
enum { CELL_DONE, CELL_FAILED, CELL_EXIT };
struct said { const char *type, *message; };                          /* of an error; the message is malloc'ed */
void shell_prepare(void);
void shell_adopt_functions(void);
void shell_begin_session(void);
int shell_cell(char *text, struct bytes *rows, bool *has_rows, struct said *error);
#endif
