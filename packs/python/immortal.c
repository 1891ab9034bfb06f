/* Objects of the snapshot become immortal: a run that merely uses one then writes no reference count, so copies no page. */
#include "driver.h"
#include <stdlib.h>

static PyObject **waiting;
static size_t waiting_count, waiting_room;

static int visit(PyObject *object, void *unused) {
    if (!object || object->ob_refcnt == _Py_IMMORTAL_REFCNT) return 0;
    object->ob_refcnt = _Py_IMMORTAL_REFCNT;
    if (!PyObject_IS_GC(object) && !PyCode_Check(object)) return 0;
    if (waiting_count == waiting_room) {
        waiting_room = waiting_room ? waiting_room * 2 : 65536;
        if (!(waiting = realloc(waiting, waiting_room * sizeof *waiting))) die("no memory to settle in");
    }
    waiting[waiting_count++] = object;
    return 0;
}

static void visit_code(PyCodeObject *code) {        /* code objects hold others, and are not known to the collector */
    PyObject *held[] = {code->co_consts, code->co_names, code->co_exceptiontable, code->co_localsplusnames, code->co_localspluskinds,
                        code->co_filename, code->co_name, code->co_qualname, code->co_linetable};
    for (size_t i = 0; i < sizeof held / sizeof *held; i++) visit(held[i], NULL);
}

void make_all_immortal(void) {
    PyObject *gc = PyImport_ImportModule("gc"), *all = gc ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
    if (!all) die("no list of objects");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(all); i++) visit(PyList_GET_ITEM(all, i), NULL);
    Py_DECREF(all);
    while (waiting_count) {
        PyObject *object = waiting[--waiting_count];
        if (PyCode_Check(object)) visit_code((PyCodeObject *)object);
        else if (Py_TYPE(object)->tp_traverse) Py_TYPE(object)->tp_traverse(object, visit, NULL);
    }
    free(waiting);
    waiting = NULL;
    waiting_room = 0;
    PyObject *frozen = PyObject_CallMethod(gc, "freeze", NULL);   /* nor does the collector look at them again */
    if (!frozen) die("the collector does not freeze");
    Py_DECREF(frozen);
    Py_DECREF(gc);
}
