/* Driver of the Python pack: the guest ABI on top of CPython. */
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>
#include <wasi/libc-environ.h>
#include "driver.h"
#include "pycore_ceval.h"
#include "pycore_pylifecycle.h"

#define ABI 1
/* The seed of str's hashes. It is part of the snapshot, so it is the same in every run. */
#define HASH_SEED 48
/* Often enough for the interpreter to have specialised what it is going to. */
#define WARM_ROUNDS 20
#define SOURCES_KEPT 1000
enum { STATUS_NONE, STATUS_VALUE, STATUS_ERROR, STATUS_EXIT };
enum { CODE_PLAIN, CODE_TEXT };
enum { EXIT_ERROR = 1, EXIT_KEYBOARD = 130 };
enum { WANT_VALUE = 1 };
enum { BY_DEADLINE, BY_KEYBOARD, BY_MEMORY, INTERRUPTS };

extern const struct _frozen rf_frozen[];
extern void __wasilibc_reset_preopens(void);

static struct { int32_t status, code; uint32_t value, value_length, error, error_length; } result;
PyObject *main_dict;
bool busy;
static PyObject *boot, *cells, *value_bytes, *error_bytes, *flush_name, *interrupts[INTERRUPTS];
static PyThreadState *thread;
static volatile uint32_t resume_word;
static int cell;
/* Whether nothing was run since `forget`. */
static bool unused;

void die(const char *what) {
    fprintf(stderr, "ringfence python: %s\n", what);
    if (PyErr_Occurred()) PyErr_Print();
    abort();
}
static void *need(void *object, const char *what) {
    if (!object) die(what);
    return object;
}
PyObject *boot_call(const char *name, PyObject *arguments) {
    PyObject *function = PyObject_GetAttrString(boot, name), *value = NULL;
    if (function) value = arguments ? PyObject_Call(function, arguments, NULL) : PyObject_CallNoArgs(function);
    Py_XDECREF(function);
    Py_XDECREF(arguments);
    return value;
}
/* Asked while the interpreter waits, so without its lock. */
bool is_interrupted(void) { return thread->async_exc != NULL; }

/* False where a stream does not take what it holds; the exception that is under way stays. */
bool flush(void) {
    static const char *const names[] = {"stdout", "stderr"};
    PyObject *under_way = PyErr_GetRaisedException();
    bool flushed = true;
    for (int i = 0; i < 2; i++) {
        PyObject *stream = PySys_GetObject(names[i]), *done;
        if (!stream || stream == Py_None) continue;
        if ((done = PyObject_CallMethodNoArgs(stream, flush_name))) Py_DECREF(done);
        else if (PyErr_ExceptionMatches(PyExc_ValueError)) PyErr_Clear();      /* closed by the guest */
        else {
            flushed = false;
            PyErr_Clear();
        }
    }
    PyErr_SetRaisedException(under_way);
    return flushed;
}

/* ---- the beginning of a call ---- */
/* Whether the snapshot is as it was made: a call has more to do where it is a copy of what has run already. */
bool resume(void) {
    bool was_unused = unused, fresh = resume_word == RESUME_FRESH;
    unused = false;
    if (!resume_word) return false;
    resume_word = RESUME_NOTHING;
    clock_live = true;
    __wasilibc_reset_preopens();
    if (fresh) __wasilibc_deinitialize_environ();
    sqlite_forget_randomness();
    PyObject *done = was_unused && fresh && !has_variables() ? resume_unused() : boot_call(fresh ? "resume" : "resume_copy", NULL);
    if (done) Py_DECREF(done); else PyErr_Print();
    return was_unused && fresh;
}
/* The code of a SystemExit; one that is no number is printed, and stands for 1. */
int exit_code(PyObject *error) {
    PyObject *code = PyObject_GetAttrString(error, "code");
    int number = EXIT_ERROR;
    if (!code || code == Py_None) number = 0;
    else if (PyLong_Check(code)) number = (int)PyLong_AsLong(code) & 0xff;     /* too big a number is -1, as natively */
    else {
        PyObject *stream = PySys_GetObject("stderr");
        flush();
        if (stream && stream != Py_None && !PyFile_WriteObject(code, stream, Py_PRINT_RAW)) PyFile_WriteString("\n", stream);
    }
    PyErr_Clear();
    Py_XDECREF(code);
    return number;
}

/* ---- rf_eval ---- */
static void give_value(PyObject *value) {
    if (value == Py_None) return;
    int wrote = value_write(value, false, 0, &value_bytes);
    if (wrote == VALUE_FAILED) return;
    result.code = wrote == VALUE_PLAIN ? CODE_PLAIN : CODE_TEXT;
    if (wrote == VALUE_NOT_PLAIN) {
        PyObject *text = PyObject_Repr(value);
        value_bytes = text ? PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace") : NULL;
        Py_XDECREF(text);
        if (!value_bytes) return;
    }
    result.status = STATUS_VALUE;
    result.value = (uint32_t)PyBytes_AS_STRING(value_bytes);
    result.value_length = (uint32_t)PyBytes_GET_SIZE(value_bytes);
}
static void give_error(void) {
    PyObject *error = PyErr_GetRaisedException();
    Py_CLEAR(value_bytes);
    memset(&result, 0, sizeof result);
    if (PyErr_GivenExceptionMatches(error, PyExc_SystemExit)) {
        result.status = STATUS_EXIT;
        result.code = exit_code(error);
        Py_DECREF(error);
        return;
    }
    result.status = STATUS_ERROR;
    result.code = PyErr_GivenExceptionMatches(error, interrupts[BY_DEADLINE])   ? 124
                  : PyErr_GivenExceptionMatches(error, PyExc_KeyboardInterrupt) ? EXIT_KEYBOARD
                                                                                : EXIT_ERROR;
    PyObject *told = boot_call("describe_error", Py_BuildValue("(OO)", error, cells));
    if (!told) {        /* the guest broke `traceback`, or memory is short */
        PyErr_Clear();
        told = Py_BuildValue("{ssssss}", "type", Py_TYPE(error)->tp_name, "message", "", "traceback", "the traceback cannot be made\n");
    }
    if (!told || value_write(told, false, 0, &error_bytes) != VALUE_PLAIN) Py_CLEAR(error_bytes);
    if (error_bytes) {
        result.error = (uint32_t)PyBytes_AS_STRING(error_bytes);
        result.error_length = (uint32_t)PyBytes_GET_SIZE(error_bytes);
    }
    Py_XDECREF(told);
    Py_DECREF(error);
    PyErr_Clear();
}
static PyObject *cell_source(const char *p, uint32_t n) {
    PyObject *handed, *text;
    if (p) return PyUnicode_DecodeUTF8(p, n, NULL);
    if (host_ask("S", 1, &handed) < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_OSError, "the host handed in no source");
        return NULL;
    }
    text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(handed), PyBytes_GET_SIZE(handed), NULL);
    Py_DECREF(handed);
    return text;
}
static PyObject *cell_name(int number) { return PyUnicode_FromFormat("<cell %d>", number); }

void *EXPORT(rf_eval)(const char *p, uint32_t n, uint32_t flags) {
    if (busy) return NULL;
    busy = true;
    bool is_first = resume_word == RESUME_FRESH;
    resume();
    if (is_first) {
        PyObject *done = boot_call("buffer_lines", NULL);
        if (done) Py_DECREF(done); else PyErr_Print();
    }
    memset(&result, 0, sizeof result);
    Py_CLEAR(value_bytes);
    Py_CLEAR(error_bytes);
    PyObject *source = cell_source(p, n), *name = source ? cell_name(++cell) : NULL, *value = NULL;
    if (name && !PyDict_SetItem(cells, name, source)) {
        Py_ssize_t length;
        const char *text = PyUnicode_AsUTF8AndSize(source, &length);
        if (text && strlen(text) != (size_t)length) PyErr_SetString(PyExc_SyntaxError, "source code cannot contain null bytes");
        else if (text) value = run_cell(text, name, main_dict, flags & WANT_VALUE);
        if (value) give_value(value);
        Py_XDECREF(value);
    }
    if (PyErr_Occurred()) give_error();
    Py_XDECREF(source);
    Py_XDECREF(name);
    if (cell > SOURCES_KEPT && (name = cell_name(cell - SOURCES_KEPT))) {      /* they are kept for tracebacks only */
        PyDict_DelItem(cells, name);
        Py_DECREF(name);
    }
    PyErr_Clear();
    flush();
    busy = false;
    return &result;
}

/* ---- the rest of the ABI ---- */
int EXPORT(rf_abi)(void) { return ABI; }
void *EXPORT(rf_alloc)(uint32_t n) { return malloc(n ? n : 1); }
void EXPORT(rf_free)(void *p) { free(p); }

void *EXPORT(rf_interrupt)(uint32_t kind) {
    static uint32_t words[4];
    words[0] = (uint32_t)&thread->async_exc;
    words[1] = (uint32_t)interrupts[kind < INTERRUPTS ? kind : BY_DEADLINE];
    words[2] = (uint32_t)&thread->eval_breaker;
    words[3] = _PY_ASYNC_EXCEPTION_BIT;
    return words;
}

static void settle(void) {
    flush();
    resume_word = RESUME_FRESH;
    __wasilibc_reset_preopens();
    PyGC_Collect();
    make_all_immortal();
}
void *EXPORT(rf_fork)(uint32_t flags) {
    if (flags & 1) settle(); else flush();
    return (void *)&resume_word;
}

/* ---- rf_init ---- */
static void start(void) {
    PyPreConfig before;
    PyPreConfig_InitPythonConfig(&before);
    before.utf8_mode = 1;
    before.use_environment = 0;
    before.configure_locale = 0;
    if (PyStatus_Exception(Py_PreInitialize(&before))) die("Python does not start (1)");
    PyImport_AppendInittab("_ringfence_host", PyInit__ringfence_host);
    PyImport_AppendInittab("_sqlite3", PyInit__sqlite3);
    PyImport_FrozenModules = rf_frozen;
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    config.use_environment = 0;
    config.user_site_directory = 0;
    config.site_import = 0;              /* there is no site-packages; `_ringfence.preload` does the rest of what it does */
    config.install_signal_handlers = 0;
    config.pathconfig_warnings = 0;
    config.write_bytecode = 0;
    config.use_hash_seed = 1;
    config.hash_seed = HASH_SEED;
    config.module_search_paths_set = 1;
    config.safe_path = 0;
    static const wchar_t usr[] = L"/usr", python[] = L"/usr/bin/python3", library[] = L"/usr/lib/python3.13";
    struct { wchar_t **at; const wchar_t *text; } texts[] = {
        {&config.prefix, usr}, {&config.exec_prefix, usr}, {&config.base_prefix, usr}, {&config.base_exec_prefix, usr},
        {&config.executable, python}, {&config.base_executable, python}, {&config.stdlib_dir, library},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) PyConfig_SetString(&config, texts[i].at, texts[i].text);
    PyStatus status = Py_InitializeFromConfig(&config);
    if (PyStatus_Exception(status)) die(status.err_msg ? status.err_msg : "Python does not start (2)");
    PyConfig_Clear(&config);
}
/* Walk the usual ways, so that what the interpreter makes on first use is in the snapshot. */
static void warm(void) {
    static const char *const usual[] = {
        "pass", "x = 1\nx", "x += 1", "print(end='')", "1/0", "import json, re, os, sys", "'a' + 1", "def f(a, b=1): return a\nf(1)",
        "[i for i in range(3)]", "{'a': [1, 2.5, None, b'x']}",
    };
    for (int round = 0; round < WARM_ROUNDS; round++) {
        Py_XDECREF(need(boot_call("resume", NULL), "resume"));
        for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) rf_eval(usual[i], strlen(usual[i]), WANT_VALUE);
        Py_XDECREF(need(boot_call("command", Py_BuildValue("([sss])", "python", "-c", "pass")), "command"));
    }
    Py_XDECREF(need(boot_call("forget", Py_BuildValue("(OO)", main_dict, cells)), "forget"));
    Py_CLEAR(value_bytes);
    Py_CLEAR(error_bytes);
    memset(&result, 0, sizeof result);
    cell = 0;
}
void EXPORT(rf_init)(void) {
    start();
    thread = PyThreadState_Get();
    flush_name = need(PyUnicode_InternFromString("flush"), "memory");
    boot = need(PyImport_ImportModule("_ringfence"), "boot");
    main_dict = PyModule_GetDict(need(PyImport_AddModuleRef("__main__"), "main"));
    cells = need(PyDict_New(), "memory");
    PyObject *made = need(boot_call("preload", NULL), "preload");
    for (int i = 0; i < INTERRUPTS; i++) interrupts[i] = Py_NewRef(PyTuple_GET_ITEM(made, i));
    Py_DECREF(made);
    sqlite_randomness_is_ours();
    warm();
    prepare_to_resume();
    prepare_to_run();
    settle();
    make_room();
    unused = true;
}
