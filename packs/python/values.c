/* Values on their way to the host and back, in the CBOR of docs/reference/guest-abi.md. */
#include <string.h>
#include "driver.h"

#define MAX_DEPTH 100
#define MAX_BIG_BYTES 4096
enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum { TAG_BIG = 2, TAG_BIG_NEGATIVE = 3 };

struct writer {
    unsigned char *at;
    size_t used, room;
    bool tuples;
};

static bool put(struct writer *w, const void *bytes, size_t length) {
    if (length > w->room - w->used) {
        size_t room = w->room;
        while (length > room - w->used) room *= 2;
        unsigned char *at = PyMem_Realloc(w->at, room);
        if (!at) return PyErr_NoMemory(), false;
        w->at = at;
        w->room = room;
    }
    memcpy(w->at + w->used, bytes, length);
    w->used += length;
    return true;
}

static bool put_head(struct writer *w, int major, uint64_t n) {
    unsigned char head[9];
    int width = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
    head[0] = major << 5 | (width == 0 ? (int)n : width == 1 ? 24 : width == 2 ? 25 : width == 4 ? 26 : 27);
    for (int i = 0; i < width; i++) head[1 + i] = n >> 8 * (width - 1 - i);
    return put(w, head, 1 + width);
}

static int write_int(struct writer *w, PyObject *value) {
    int overflow;
    int64_t n = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (!overflow) {
        if (n == -1 && PyErr_Occurred()) return VALUE_FAILED;
        return put_head(w, n < 0 ? NEGATIVE : UNSIGNED, n < 0 ? ~(uint64_t)n : (uint64_t)n) ? VALUE_PLAIN : VALUE_FAILED;
    }
    PyObject *magnitude = overflow < 0 ? PyNumber_Invert(value) : Py_NewRef(value);    /* -1 - n, as CBOR has it */
    if (!magnitude) return VALUE_FAILED;
    size_t length = (_PyLong_NumBits(magnitude) + 7) / 8;
    if (length > MAX_BIG_BYTES) {
        Py_DECREF(magnitude);
        return VALUE_NOT_PLAIN;
    }
    unsigned char *bytes = PyMem_Malloc(length);
    bool ok = bytes && !_PyLong_AsByteArray((PyLongObject *)magnitude, bytes, length, 0, 0, 1);
    if (!bytes) PyErr_NoMemory();
    if (ok && length <= 8) {        /* of 64 bits without a sign: there is a head for it */
        uint64_t small = 0;
        for (size_t i = 0; i < length; i++) small = small << 8 | bytes[i];
        ok = put_head(w, overflow < 0 ? NEGATIVE : UNSIGNED, small);
    } else if (ok) ok = put_head(w, TAG, overflow < 0 ? TAG_BIG_NEGATIVE : TAG_BIG) && put_head(w, BYTES, length) && put(w, bytes, length);
    PyMem_Free(bytes);
    Py_DECREF(magnitude);
    return ok ? VALUE_PLAIN : VALUE_FAILED;
}

static int write_text(struct writer *w, PyObject *value) {
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(value, &length);
    if (!text) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) return VALUE_FAILED;
        PyErr_Clear();                        /* lone surrogates are no text elsewhere */
        return VALUE_NOT_PLAIN;
    }
    return put_head(w, TEXT, length) && put(w, text, length) ? VALUE_PLAIN : VALUE_FAILED;
}

static int write_any(struct writer *w, PyObject *value, int depth);

static int write_map(struct writer *w, PyObject *value, int depth) {
    PyObject *key, *held;
    Py_ssize_t at = 0;
    if (!put_head(w, MAP, PyDict_GET_SIZE(value))) return VALUE_FAILED;
    while (PyDict_Next(value, &at, &key, &held)) {
        int overflow = 0, wrote;
        if (PyLong_CheckExact(key)) PyLong_AsLongLongAndOverflow(key, &overflow);
        else if (!PyUnicode_CheckExact(key)) return VALUE_NOT_PLAIN;
        if (overflow) return VALUE_NOT_PLAIN;
        if ((wrote = write_any(w, key, depth)) || (wrote = write_any(w, held, depth))) return wrote;
    }
    return VALUE_PLAIN;
}

static int write_any(struct writer *w, PyObject *value, int depth) {
    static const unsigned char false_ = 0xf4, true_ = 0xf5, none = 0xf6;
    if (value == Py_None) return put(w, &none, 1) ? VALUE_PLAIN : VALUE_FAILED;
    if (PyBool_Check(value)) return put(w, value == Py_True ? &true_ : &false_, 1) ? VALUE_PLAIN : VALUE_FAILED;
    if (PyLong_CheckExact(value)) return write_int(w, value);
    if (PyUnicode_CheckExact(value)) return write_text(w, value);
    if (PyFloat_CheckExact(value)) {
        unsigned char bytes[9] = {0xfb};
        if (PyFloat_Pack8(PyFloat_AS_DOUBLE(value), (char *)bytes + 1, 0)) return VALUE_FAILED;
        return put(w, bytes, sizeof bytes) ? VALUE_PLAIN : VALUE_FAILED;
    }
    if (PyBytes_CheckExact(value))
        return put_head(w, BYTES, PyBytes_GET_SIZE(value)) && put(w, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value)) ? VALUE_PLAIN : VALUE_FAILED;
    if (depth >= MAX_DEPTH) return VALUE_NOT_PLAIN;
    if (PyDict_CheckExact(value)) return write_map(w, value, depth + 1);
    if (PyList_CheckExact(value) || (w->tuples && PyTuple_CheckExact(value))) {
        Py_ssize_t length = PySequence_Fast_GET_SIZE(value);
        if (!put_head(w, ARRAY, length)) return VALUE_FAILED;
        for (Py_ssize_t i = 0; i < length; i++) {
            int wrote = write_any(w, PySequence_Fast_GET_ITEM(value, i), depth + 1);
            if (wrote) return wrote;
        }
        return VALUE_PLAIN;
    }
    return VALUE_NOT_PLAIN;
}

/* With a kind in front where it is not 0. */
int value_write(PyObject *value, bool tuples, char kind, PyObject **bytes) {
    struct writer w = {PyMem_Malloc(256), 0, 256, tuples};
    if (!w.at) return PyErr_NoMemory(), VALUE_FAILED;
    if (kind) put(&w, &kind, 1);
    int wrote = write_any(&w, value, 0);
    if (wrote == VALUE_PLAIN && !(*bytes = PyBytes_FromStringAndSize((char *)w.at, w.used))) wrote = VALUE_FAILED;
    PyMem_Free(w.at);
    return wrote;
}

struct reader {
    const unsigned char *at, *end;
};

static PyObject *malformed(void) { return PyErr_SetString(PyExc_ValueError, "the host's answer is malformed"), NULL; }

static bool take_head(struct reader *r, int *major, int *low, uint64_t *n) {
    if (r->at == r->end) return false;
    *major = *r->at >> 5;
    *low = *r->at++ & 31;
    *n = *low;
    if (*low < 24) return true;
    int width = *low < 28 ? 1 << (*low - 24) : 0;
    if (!width || r->end - r->at < width) return false;
    for (*n = 0; width; width--) *n = *n << 8 | *r->at++;
    return true;
}

static PyObject *read_any(struct reader *r, int depth);

static PyObject *read_map(struct reader *r, uint64_t length, int depth) {
    PyObject *map = PyDict_New();
    for (; map && length; length--) {
        PyObject *key = read_any(r, MAX_DEPTH), *held = key ? read_any(r, depth) : NULL;
        bool ok = held && (PyUnicode_CheckExact(key) || PyLong_CheckExact(key));
        if (held && !ok) malformed();
        if (ok) ok = !PyDict_SetItem(map, key, held);
        Py_XDECREF(key);
        Py_XDECREF(held);
        if (!ok) Py_CLEAR(map);
    }
    return map;
}

static PyObject *read_big(struct reader *r, bool negative) {
    int major, low;
    uint64_t length;
    if (!take_head(r, &major, &low, &length) || major != BYTES || length > MAX_BIG_BYTES || length > (uint64_t)(r->end - r->at))
        return malformed();
    PyObject *big = _PyLong_FromByteArray(r->at, length, 0, 0);
    r->at += length;
    if (big && negative) Py_SETREF(big, PyNumber_Invert(big));
    return big;
}

static PyObject *read_any(struct reader *r, int depth) {
    int major, low;
    uint64_t n;
    if (!take_head(r, &major, &low, &n)) return malformed();
    size_t left = r->end - r->at;
    switch (major) {
    case UNSIGNED: return PyLong_FromUnsignedLongLong(n);
    case NEGATIVE: {
        PyObject *inverted = PyLong_FromUnsignedLongLong(n), *value = inverted ? PyNumber_Invert(inverted) : NULL;
        Py_XDECREF(inverted);
        return value;
    }
    case BYTES: case TEXT: {
        if (n > left) return malformed();
        const char *at = (const char *)r->at;
        r->at += n;
        return major == BYTES ? PyBytes_FromStringAndSize(at, n) : PyUnicode_DecodeUTF8(at, n, NULL);
    }
    case ARRAY: {
        if (n > left || depth >= MAX_DEPTH) return malformed();
        PyObject *list = PyList_New(n);
        for (size_t i = 0; list && i < n; i++) {
            PyObject *held = read_any(r, depth + 1);
            if (held) PyList_SET_ITEM(list, i, held); else Py_CLEAR(list);
        }
        return list;
    }
    case MAP: return n > left || depth >= MAX_DEPTH ? malformed() : read_map(r, n, depth + 1);
    case TAG: return n == TAG_BIG || n == TAG_BIG_NEGATIVE ? read_big(r, n == TAG_BIG_NEGATIVE) : malformed();
    default:
        if (low == 20 || low == 21) return PyBool_FromLong(low == 21);
        if (low == 22) Py_RETURN_NONE;
        if (low != 27) return malformed();
        double value = PyFloat_Unpack8((const char *)r->at - 8, 0);
        return value == -1.0 && PyErr_Occurred() ? NULL : PyFloat_FromDouble(value);
    }
}

PyObject *value_read(const unsigned char *bytes, size_t length) {
    struct reader r = {bytes, bytes + length};
    PyObject *value = read_any(&r, 0);
    if (value && r.at != r.end) {
        Py_DECREF(value);
        return malformed();
    }
    return value;
}
