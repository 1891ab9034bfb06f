/* What the driver's files share. ABI: docs/reference/guest-abi.md. */
#ifndef DRIVER_H
#define DRIVER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "changed.h"
#include "sqlite3.h"

extern bool live;             /* the first run has begun; until then the snapshot is made: no host, no clock */
extern const char *driver_text;   /* of the script that was handed in, or NULL: then it is standard input */

_Noreturn void driver_exit(int code);
FILE *driver_input(void);
FILE *driver_errors(void);
bool driver_exists(const char *name);
int driver_main(int argc, char **argv);

/* values.c: the value encoding of the ABI */
enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
struct bytes {
    uint8_t *data;     /* malloc'ed */
    size_t length, capacity;
    bool failed;       /* no memory */
};
struct reader { const uint8_t *at, *end; };
void bytes_add(struct bytes *to, const void *data, size_t length);
void write_head(struct bytes *to, int major, uint64_t n);
void write_text(struct bytes *to, const char *text, size_t length);   /* what is no UTF-8 in it is escaped */
void write_value(struct bytes *to, sqlite3_value *value);
bool read_head(struct reader *r, int *major, int *low, uint64_t *n);
bool read_skip(struct reader *r, int depth);
bool read_result(struct reader *r, sqlite3_context *to);              /* lists and maps become JSON */

/* host.c */
enum { REFUSED = -1, ABSENT = -2, TOO_LONG = -3 };
int64_t host_ask(const void *message, size_t length, uint8_t **answer);   /* < 0: refused; else malloc'ed */
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
