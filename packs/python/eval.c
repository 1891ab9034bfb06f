/* Running the source of one cell. */
#include "driver.h"
#include "pycore_ast.h"
#include "pycore_compile.h"
#include "pycore_parser.h"
#include "pycore_pyarena.h"

/* Top-level `await` compiles to a coroutine, which `_ringfence.finish` runs to its end. */
static PyObject *run(mod_ty tree, PyObject *name, PyObject *globals, PyCompilerFlags *flags, PyArena *arena) {
    PyCodeObject *code = _PyAST_Compile(tree, name, flags, -1, arena);
    if (!code) return NULL;
    PyObject *value = PyEval_EvalCode((PyObject *)code, globals, globals);
    if (value && code->co_flags & CO_COROUTINE) value = boot_call("finish", Py_BuildValue("(N)", value));
    Py_DECREF(code);
    return value;
}

/* The value of a last expression where it is wanted, else None. */
PyObject *run_cell(const char *source, PyObject *name, PyObject *globals, bool want_value) {
    PyCompilerFlags flags = _PyCompilerFlags_INIT;
    flags.cf_flags = PyCF_SOURCE_IS_UTF8 | PyCF_IGNORE_COOKIE | PyCF_ALLOW_TOP_LEVEL_AWAIT;
    PyArena *arena = _PyArena_New();
    if (!arena) return NULL;
    PyObject *value = NULL;
    mod_ty all = _PyParser_ASTFromString(source, name, Py_file_input, &flags, arena), last = NULL;
    if (!all) goto done;
    asdl_stmt_seq *body = all->v.Module.body;
    if (want_value && body && body->size) {
        stmt_ty statement = asdl_seq_GET(body, body->size - 1);
        if (statement->kind == Expr_kind) {
            if (!(last = _PyAST_Expression(statement->v.Expr.value, arena))) goto done;
            body->size--;
        }
    }
    if ((!last || body->size) && !(value = run(all, name, globals, &flags, arena))) goto done;
    Py_XSETREF(value, last ? run(last, name, globals, &flags, arena) : Py_NewRef(Py_None));
done:
    _PyArena_Free(arena);
    return value;
}
