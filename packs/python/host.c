/* The host, as the boot modules see it: the module `_ringfence_host`. Guest code can import it too, and gains nothing. */
#include <stdlib.h>
#include <wasi/api.h>
#include "driver.h"
#include "pycore_code.h"
#include "pycore_opcode_metadata.h"
#include "pycore_pystate.h"
#include "pycore_interp.h"
#include "opcode_ids.h"

#define IMPORT(n) __attribute__((import_module("ringfence"), import_name(#n)))
IMPORT(host_call) int64_t import_host_call(const void *message, uint32_t length, void *out, uint32_t room);
IMPORT(host_take) int32_t import_host_take(void *out, uint32_t length);

#define SMALL_ANSWER 512
enum { REFUSED = -1, ABSENT = -2, TOO_LONG = -3 };
extern const unsigned char rf_blob_start[], rf_blob_end[];

int64_t host_ask(const void *message, uint32_t length, PyObject **answer) {
    char small[SMALL_ANSWER];
    *answer = NULL;
    if (!clock_live) return ABSENT;                /* the snapshot is being made: there is no host yet */
    int64_t given = import_host_call(message, length, small, sizeof small);
    if (given < 0) return given;
    if (given > INT32_MAX) return TOO_LONG;
    *answer = PyBytes_FromStringAndSize(given <= SMALL_ANSWER ? small : NULL, (Py_ssize_t)given);
    if (!*answer) return REFUSED;
    if (given > SMALL_ANSWER && import_host_take(PyBytes_AS_STRING(*answer), (uint32_t)given)) {
        Py_CLEAR(*answer);
        return REFUSED;
    }
    return given;
}

static PyObject *refused(int64_t why) {
    if (PyErr_Occurred()) return NULL;
    return PyErr_Format(PyExc_OSError, why == ABSENT     ? "the host has nothing of this kind for this run"
                                       : why == TOO_LONG ? "the message, or its answer, is longer than the host allows"
                                                         : "the host refused this message");
}

/* source() -> bytes | None: the text handed in for this run. */
static PyObject *source(PyObject *self, PyObject *unused) {
    PyObject *text;
    if (host_ask("S", 1, &text) >= 0) return text;
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* functions() -> value | None: what the host has to offer. */
static PyObject *functions(PyObject *self, PyObject *unused) {
    PyObject *answer;
    if (host_ask("L", 1, &answer) < 0) {
        if (PyErr_Occurred()) return NULL;
        Py_RETURN_NONE;
    }
    PyObject *value = value_read((unsigned char *)PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer));
    Py_DECREF(answer);
    return value;
}

static PyObject *exchange(char kind, PyObject *payload) {
    PyObject *message, *answer;
    switch (value_write(payload, true, kind, &message)) {
    case VALUE_FAILED: return NULL;
    case VALUE_NOT_PLAIN: return PyErr_SetString(PyExc_TypeError,
        "only plain values reach the host: None, bool, int, float, str, bytes, list, tuple, and dict with keys of str or int"), NULL;
    }
    if (PyBytes_GET_SIZE(message) > INT32_MAX) {
        Py_DECREF(message);
        return refused(TOO_LONG);
    }
    int64_t given = host_ask(PyBytes_AS_STRING(message), (uint32_t)PyBytes_GET_SIZE(message), &answer);
    Py_DECREF(message);
    if (given < 0) return refused(given);
    PyObject *value = value_read((unsigned char *)PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer));
    Py_DECREF(answer);
    return value;
}

/* call([name, arguments, keywords]) -> [0, value] | [1, type, message]. */
static PyObject *call(PyObject *self, PyObject *call) { return exchange('F', call); }

/* ask(kind, value) -> value: a message whose payload and answer are values. */
static PyObject *ask(PyObject *self, PyObject *arguments) {
    int kind;
    PyObject *value;
    return PyArg_ParseTuple(arguments, "CO", &kind, &value) ? exchange((char)kind, value) : NULL;
}

/* raw(bytes) -> bytes: one message as it is. */
static PyObject *raw(PyObject *self, PyObject *message) {
    Py_buffer bytes;
    PyObject *answer;
    if (PyObject_GetBuffer(message, &bytes, PyBUF_SIMPLE)) return NULL;
    int64_t given = host_ask(bytes.buf, (uint32_t)bytes.len, &answer);
    PyBuffer_Release(&bytes);
    return given < 0 ? refused(given) : answer;
}

/* is_awaited() -> bool: whether the call of the function that asks is the operand of an `await`: the instruction behind it. */
static PyObject *is_awaited(PyObject *self, PyObject *unused) {
    PyFrameObject *frame = PyEval_GetFrame(), *caller = frame ? PyFrame_GetBack(frame) : NULL;
    if (!caller) Py_RETURN_FALSE;
    PyCodeObject *code = PyFrame_GetCode(caller);
    Py_ssize_t at = PyFrame_GetLasti(caller) / (Py_ssize_t)sizeof(_Py_CODEUNIT), end = Py_SIZE(code);
    bool awaited = false;
    if (at >= 0) {
        const _Py_CODEUNIT *units = _PyCode_CODE(code);
        at += 1 + _PyOpcode_Caches[_PyOpcode_Deopt[units[at].op.code]];
        awaited = at < end && units[at].op.code == GET_AWAITABLE;
    }
    Py_DECREF(code);
    Py_DECREF(caller);
    return PyBool_FromLong(awaited);
}

static PyObject *strings(bool environment) {          /* WASI's arguments or variables */
    __wasi_size_t count = 0, size = 0;
    if (environment ? __wasi_environ_sizes_get(&count, &size) : __wasi_args_sizes_get(&count, &size)) count = 0;
    PyObject *list = PyList_New(0);
    if (!list || !count) return list;
    uint8_t **all = malloc(count * sizeof *all + size);
    if (!all) {
        Py_DECREF(list);
        return PyErr_NoMemory();
    }
    uint8_t *text = (uint8_t *)(all + count);
    if (!(environment ? __wasi_environ_get(all, text) : __wasi_args_get(all, text)))
        for (__wasi_size_t i = 0; i < count; i++) {
            PyObject *one = environment ? PyBytes_FromString((char *)all[i]) : PyUnicode_DecodeFSDefault((char *)all[i]);
            if (!one || PyList_Append(list, one)) PyErr_Clear();
            Py_XDECREF(one);
        }
    free(all);
    return list;
}
PyObject *host_arguments(void) { return strings(false); }
static PyObject *variables(PyObject *self, PyObject *unused) { return strings(true); }

static PyObject *blob(PyObject *self, PyObject *unused) {
    return PyMemoryView_FromMemory((char *)rf_blob_start, rf_blob_end - rf_blob_start, PyBUF_READ);
}

/* configure({name: level}): options of the command line that are part of the interpreter's state, and of sys.flags. */
static PyObject *configure(PyObject *self, PyObject *levels) {
    PyConfig *config = (PyConfig *)_PyInterpreterState_GetConfig(PyInterpreterState_Get());
    enum { LEVEL, SWITCH, OPPOSITE };
    struct { const char *name; int *at, flag, kind; } options[] = {        /* flag: the place in sys.flags */
        {"optimize", &config->optimization_level, 3, LEVEL},    {"no_user_site", &config->user_site_directory, 5, OPPOSITE},
        {"no_site", &config->site_import, 6, OPPOSITE},         {"ignore_environment", &config->use_environment, 7, OPPOSITE},
        {"bytes_warning", &config->bytes_warning, 9, LEVEL},    {"quiet", &config->quiet, 10, LEVEL},
        {"isolated", &config->isolated, 12, LEVEL},             {"dev_mode", &config->dev_mode, 13, SWITCH},
        {"safe_path", &config->safe_path, 16, SWITCH},
    };
    PyObject *flags = PySys_GetObject("flags");
    if (!flags || !PyTuple_Check(flags) || PyTuple_GET_SIZE(flags) < 17 || !PyDict_Check(levels)) return PyErr_Format(PyExc_TypeError, "sys.flags");
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        PyObject *level = PyDict_GetItemString(levels, options[i].name);
        if (!level) continue;
        int number = (int)PyLong_AsLong(level);
        PyObject *shown = options[i].kind == SWITCH ? PyBool_FromLong(number) : PyLong_FromLong(number), **place;
        if (PyErr_Occurred()) return NULL;
        *options[i].at = options[i].kind == OPPOSITE ? !number : number;
        place = &PyTuple_GET_ITEM(flags, options[i].flag);
        Py_XSETREF(*place, shown);
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"configure", configure, METH_O, "Set options of the interpreter: {name: level}."},
    {"blob", blob, METH_NOARGS, "The standard library, as library.py wrote it."},
    {"variables", variables, METH_NOARGS, "The environment, as bytes `name=value`."},
    {"source", source, METH_NOARGS, "The text handed in for this run, or None."},
    {"functions", functions, METH_NOARGS, "What the host offers to call, or None."},
    {"call", call, METH_O, "Call a function of the host: [name, arguments, keywords]."},
    {"ask", ask, METH_VARARGS, "Send a message whose payload and answer are values: kind, value."},
    {"raw", raw, METH_O, "Send one message to the host as it is."},
    {"is_awaited", is_awaited, METH_NOARGS, "Whether the caller of the calling function awaits it."},
    {0},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_ringfence_host", NULL, -1, methods};
PyMODINIT_FUNC PyInit__ringfence_host(void) { return PyModule_Create(&definition); }
