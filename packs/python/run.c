/* `rf_run`: the command line, from its arguments to what Python does when it finalizes, as far as a program can notice.
 *
 * Most runs begin in a snapshot that nobody has used, with `-c` and no variables: then the little that is left to do is
 * done here, and the rest of `_ringfence.command` is for all others. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>
#include "driver.h"
#include "pycore_atexit.h"
#include "pycore_ceval.h"
#include "pycore_gc.h"
#include "pycore_interp.h"
#include "pycore_moduleobject.h"
#include "pycore_pylifecycle.h"
#include "pycore_pystate.h"

enum { EXIT_ERROR = 1, EXIT_NOT_FLUSHED = 120, EXIT_KEYBOARD = 130 };
/* The folder that grants are seen in, and room for its own two names and the beginning of a third. */
#define ROOT 3
#define ROOT_BYTES 96

static PyObject *shown_code, *shown_name, *line_end, *first_path;
/* The modules that were there before the program: as they follow one another in sys.modules, and by their addresses. */
static PyObject **ours, **sorted;
static size_t ours_count;
/* Of sys.modules, when those were all. */
static uint64_t ours_version;
/* Of logging: what it runs at the exit, its list of handlers, and the one that was always in it. */
static PyObject *shutdown, *handlers, *last_resort;

/* ---- the beginning ---- */
static bool is_option(PyObject *argument, const char *option) {
    return PyUnicode_Check(argument) && PyUnicode_CompareWithASCIIString(argument, option) == 0;
}
/* With nothing granted there is no folder whose modules could take the place of others: the root shows two names only. */
static bool has_grants(void) {
    uint8_t entries[ROOT_BYTES];
    __wasi_size_t used;
    if (__wasi_fd_readdir(ROOT, entries, sizeof entries, 0, &used)) return false;
    for (__wasi_size_t at = 0; at < used;) {
        __wasi_dirent_t entry;
        if (used - at < sizeof entry) return true;
        memcpy(&entry, entries + at, sizeof entry);
        at += sizeof entry;
        if (entry.d_namlen > used - at || entry.d_namlen > 2 || memcmp(entries + at, "..", entry.d_namlen)) return true;
        at += entry.d_namlen;
    }
    return false;
}
/* What `linecache._register_code` does: the lines are for tracebacks, and nowhere else. */
static PyObject *lines_of(PyObject *text) {
    PyObject *lines = PyUnicode_Splitlines(text, 0);
    for (Py_ssize_t i = 0; lines && i < PyList_GET_SIZE(lines); i++) {
        PyObject *line = PyUnicode_Concat(PyList_GET_ITEM(lines, i), line_end);
        if (line) PyList_SetItem(lines, i, line); else Py_CLEAR(lines);
    }
    return lines ? Py_BuildValue("(nONO)", PyUnicode_GET_LENGTH(text), Py_None, lines, shown_name) : NULL;
}
static bool show(PyObject *code, PyObject *lines) {
    PyCodeObject *of = (PyCodeObject *)code;
    PyObject *key = Py_BuildValue("(OOi)", of->co_filename, of->co_qualname, of->co_firstlineno);
    bool shown = key && !PyDict_SetItem(shown_code, key, lines);
    Py_XDECREF(key);
    for (Py_ssize_t i = 0; shown && i < PyTuple_GET_SIZE(of->co_consts); i++)
        if (PyCode_Check(PyTuple_GET_ITEM(of->co_consts, i))) shown = show(PyTuple_GET_ITEM(of->co_consts, i), lines);
    return shown;
}
static PyObject *compiled(PyObject *text) {
    PyCompilerFlags flags = _PyCompilerFlags_INIT;
    flags.cf_flags = PyCF_SOURCE_IS_UTF8;
    PyObject *code = Py_CompileStringObject(PyUnicode_AsUTF8(text), shown_name, Py_file_input, &flags, -1);
    PyObject *shown = code ? lines_of(text) : NULL;
    if (!shown || !show(code, shown)) Py_CLEAR(code);
    Py_XDECREF(shown);
    return code;
}
/* What `_ringfence.command` does for `-c` and no other option. None where it is to be asked; NULL with an exception set. */
static PyObject *plain_code(PyObject *arguments) {
    Py_ssize_t count = PyList_GET_SIZE(arguments);
    if (count < 3 || !is_option(PyList_GET_ITEM(arguments, 1), "-c") || has_grants() || isatty(STDOUT_FILENO)) Py_RETURN_NONE;
    PyObject *text = PyUnicode_FromFormat("%U\n", PyList_GET_ITEM(arguments, 2)), *given, *path, *code = NULL;
    if (!text || !PyUnicode_AsUTF8(text)) {         /* not UTF-8: there are words for that */
        PyErr_Clear();
        Py_XDECREF(text);
        Py_RETURN_NONE;
    }
    given = PyList_GetSlice(arguments, 2, count);
    path = PySys_GetObject("path");
    if (given && path && PyList_Check(path)) {
        PyList_SetItem(given, 0, Py_NewRef(PyList_GET_ITEM(arguments, 1)));
        if (!PySys_SetObject("orig_argv", arguments) && !PySys_SetObject("argv", given) && !PyList_Insert(path, 0, first_path))
            code = compiled(text);
    }
    Py_XDECREF(given);
    Py_DECREF(text);
    return code;
}
static PyObject *job_of(PyObject *arguments, bool plain) {
    PyObject *job = plain && PyList_Check(arguments) ? plain_code(arguments) : Py_NewRef(Py_None);
    if (job != Py_None) return job;
    Py_DECREF(job);
    return boot_call("command", Py_BuildValue("(O)", arguments));
}

/* ---- the end ---- */
static int by_address(const void *one, const void *other) {
    uintptr_t a = (uintptr_t)*(PyObject *const *)one, b = (uintptr_t)*(PyObject *const *)other;
    return a < b ? -1 : a > b;
}
static void remember_modules(void) {
    PyObject *modules = PyImport_GetModuleDict(), *name, *module;
    Py_ssize_t at = 0;
    ours = malloc(PyDict_GET_SIZE(modules) * sizeof *ours);
    sorted = malloc(PyDict_GET_SIZE(modules) * sizeof *sorted);
    if (!ours || !sorted) die("no memory for the modules");
    while (PyDict_Next(modules, &at, &name, &module)) ours[ours_count++] = module;
    memcpy(sorted, ours, ours_count * sizeof *ours);
    qsort(sorted, ours_count, sizeof *sorted, by_address);
    ours_version = ((PyDictObject *)modules)->ma_version_tag;
}
/* Nothing has asked for the exit but `logging`, which has nothing to close. */
static bool is_exit_plain(const struct atexit_state *state) {
    return state->ncallbacks == 1 && state->callbacks[0]->func == shutdown && PyList_GET_SIZE(handlers) == 1 &&
           PyList_GET_ITEM(handlers, 0) == last_resort;
}
/* Drop names as Python does: those with an underscore first, the rest afterwards, builtins last. */
static void take_down(PyObject *module) {
    PyObject *space = NULL;
    if (PyModule_Check(module)) space = Py_XNewRef(PyModule_GetDict(module));
    else if (PyObject_GetOptionalAttrString(module, "__dict__", &space) < 0) PyErr_Clear();
    if (space && PyDict_Check(space)) _PyModule_ClearDict(space);
    Py_XDECREF(space);
}
/* Let go of what the program made: files are written, `__del__` is called. */
static void end(void) {
    static const char *const last[] = {"last_exc", "last_type", "last_value", "last_traceback"};
    PyThreadState *thread = PyThreadState_Get();
    if (!is_exit_plain(&thread->interp->atexit)) _PyAtExit_Call(thread->interp);
    for (size_t i = 0; i < sizeof last / sizeof *last; i++)
        if (PySys_GetObject(last[i])) PySys_SetObject(last[i], NULL);
    PyObject *modules = PyImport_GetModuleDict(), *name, *module, *theirs = NULL;
    Py_ssize_t at = 0;
    size_t next = 0;
    if (((PyDictObject *)modules)->ma_version_tag != ours_version) theirs = PyList_New(0);
    while (theirs && PyDict_Next(modules, &at, &name, &module)) {
        if (next < ours_count && ours[next] == module) next++;
        else if (!bsearch(&module, sorted, ours_count, sizeof *sorted, by_address) && PyList_Append(theirs, module)) PyErr_Clear();
    }
    if ((module = PyDict_GetItemString(modules, "__main__"))) {
        Py_INCREF(module);
        take_down(module);
        Py_DECREF(module);
    }
    for (Py_ssize_t i = theirs ? PyList_GET_SIZE(theirs) : 0; i-- > 0;) take_down(PyList_GET_ITEM(theirs, i));
    Py_XDECREF(theirs);
    PyErr_Clear();
    if (PyGC_IsEnabled()) PyGC_Collect();
    else _PyGC_CollectNoFail(thread);
}

/* ---- rf_run ---- */
/* The exit code of what is raised, after telling of it as Python does. */
static int report(void) {
    PyObject *error = PyErr_GetRaisedException();
    int code = EXIT_ERROR;
    if (PyErr_GivenExceptionMatches(error, PyExc_SystemExit)) code = exit_code(error);
    else {
        if (PyErr_GivenExceptionMatches(error, PyExc_KeyboardInterrupt)) code = EXIT_KEYBOARD;
        flush();
        PyErr_SetRaisedException(Py_NewRef(error));
        PyErr_Print();
    }
    Py_DECREF(error);
    return code;
}
/* What is raised before the program runs shows no frames: they are ours. */
static void without_traceback(void) {
    PyObject *error = PyErr_GetRaisedException();
    PyException_SetTraceback(error, Py_None);
    PyException_SetContext(error, NULL);
    PyErr_SetRaisedException(error);
}
int EXPORT(rf_run)(void) {
    if (busy) return -1;
    busy = true;
    bool plain = resume() && !has_variables();
    int code = 0;
    PyObject *arguments = host_arguments(), *done = NULL, *job = arguments ? job_of(arguments, plain) : NULL;
    Py_XDECREF(arguments);
    if (job && PyCode_Check(job)) done = PyEval_EvalCode(job, main_dict, main_dict);
    else if (job && PyTuple_Check(job)) done = PyObject_CallObject(PyTuple_GET_ITEM(job, 0), PyTuple_GET_ITEM(job, 1));
    else if (job) done = Py_NewRef(Py_None);
    else if (PyErr_Occurred()) without_traceback();
    Py_XDECREF(job);
    /* What came with the last thing that it did is still its own. */
    if (done && is_interrupted() && _Py_HandlePending(PyThreadState_Get())) Py_CLEAR(done);
    if (!done) code = report();
    Py_XDECREF(done);
    end();
    if (!flush() && !code) code = EXIT_NOT_FLUSHED;
    busy = false;
    return code;
}
void EXPORT(rf_start)(void) { __wasi_proc_exit((__wasi_exitcode_t)rf_run()); }

void prepare_to_run(void) {
    PyObject *lines = PyImport_ImportModule("linecache"), *logging = PyImport_ImportModule("logging");
    shown_code = lines ? PyObject_GetAttrString(lines, "_interactive_cache") : NULL;
    shutdown = logging ? PyObject_GetAttrString(logging, "shutdown") : NULL;
    handlers = logging ? PyObject_GetAttrString(logging, "_handlerList") : NULL;
    shown_name = PyUnicode_InternFromString("<string>");
    line_end = PyUnicode_FromString("\n");
    first_path = PyUnicode_FromString("");
    if (!shown_code || !PyDict_Check(shown_code) || !shutdown || !handlers || !PyList_Check(handlers)) die("nothing to run with");
    if (!shown_name || !line_end || !first_path) die("no memory to run with");
    if (PyList_GET_SIZE(handlers)) last_resort = Py_NewRef(PyList_GET_ITEM(handlers, 0));
    remember_modules();
}
