/* What the driver's files share. The ABI: docs/reference/guest-abi.md. */
#ifndef DRIVER_H
#define DRIVER_H
#define PY_SSIZE_T_CLEAN
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#define EXPORT(n) __attribute__((export_name(#n))) n
/* Set by the linker's `--wrap`: the call as wasi-libc has it. */
#define REAL(n) __real_##n
#define WRAPPED(n) __wrap_##n

/* What the next call has to make anew. The host stores RESUME_COPY in a copy of a live session (rf_fork). */
enum { RESUME_NOTHING, RESUME_FRESH, RESUME_COPY };

/* driver.c */
extern PyObject *main_dict;
extern bool busy;            /* while an export runs */
void die(const char *what);
PyObject *boot_call(const char *function, PyObject *arguments);   /* of _ringfence; steals the arguments */
bool is_interrupted(void);
bool resume(void);
bool flush(void);
int exit_code(PyObject *error);

/* host.c */
PyMODINIT_FUNC PyInit__ringfence_host(void);
int64_t host_ask(const void *message, uint32_t length, PyObject **answer);   /* < 0: refused, or -1 with an exception set */
PyObject *host_arguments(void);

/* values.c: the value encoding of the ABI */
enum { VALUE_PLAIN, VALUE_NOT_PLAIN, VALUE_FAILED };   /* the last with an exception set */
int value_write(PyObject *value, bool tuples, char kind, PyObject **bytes);
PyObject *value_read(const unsigned char *bytes, size_t length);

/* clock.c */
extern bool clock_live;      /* false while the snapshot is made */

/* resume.c */
bool has_variables(void);
PyObject *resume_unused(void);
void prepare_to_resume(void);

/* run.c */
void prepare_to_run(void);

/* immortal.c */
void make_all_immortal(void);

/* room.c */
void make_room(void);

/* eval.c */
PyObject *run_cell(const char *source, PyObject *name, PyObject *globals, bool want_value);

/* sqlite.c */
PyMODINIT_FUNC PyInit__sqlite3(void);
void sqlite_randomness_is_ours(void);
void sqlite_forget_randomness(void);
#endif
