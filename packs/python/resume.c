/* What must not be the same in two runs of one snapshot, where nobody has used it: `_ringfence.resume` does all cases. */
#include <wasi/api.h>
#include "driver.h"

#define STATE_WORDS 624

/* A `_random.Random`, as Modules/_randommodule.c has it. */
struct generator {
    PyObject_HEAD
    int index;
    uint32_t state[STATE_WORDS];
};

static struct generator *generator;
static PyObject *logging_dict, *start_name;

bool has_variables(void) {
    __wasi_size_t count = 0, size;
    return __wasi_environ_sizes_get(&count, &size) != 0 || count != 0;
}

static uint64_t rotated(uint64_t word, int by) { return word << by | word >> (64 - by); }

/* Seed `random` with 256 bits of the host: its whole state becomes what xoshiro256** makes of them, which takes a
 * quarter of the time that `random.seed` takes. */
static bool seed(void) {
    uint64_t s[4];
    if (__wasi_random_get((uint8_t *)s, sizeof s)) return PyErr_SetString(PyExc_OSError, "the host has no random numbers"), false;
    s[0] |= 1;        /* all zeros would stay so */
    for (int i = 0; i < STATE_WORDS; i += 2) {
        uint64_t word = rotated(s[1] * 5, 7) * 9, shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = rotated(s[3], 45);
        generator->state[i] = (uint32_t)word;
        generator->state[i + 1] = (uint32_t)(word >> 32);
    }
    generator->index = STATE_WORDS;
    return true;
}

PyObject *resume_unused(void) {
    PyTime_t now;
    PyObject *offered, *started;
    if (!seed() || PyTime_Time(&now)) return NULL;
    if (!(started = PyLong_FromLongLong(now))) return NULL;
    int set = PyDict_SetItem(logging_dict, start_name, started);
    Py_DECREF(started);
    if (set) return NULL;
    if (host_ask("L", 1, &offered) < 0) {
        if (PyErr_Occurred()) return NULL;
        Py_RETURN_NONE;
    }
    Py_DECREF(offered);
    return boot_call("offer", NULL);
}

/* After `random.seed(0)`. */
void prepare_to_resume(void) {
    PyObject *random = PyImport_ImportModule("random"), *base = PyImport_ImportModule("_random"), *logging = PyImport_ImportModule("logging");
    PyObject *type = base ? PyObject_GetAttrString(base, "Random") : NULL;
    generator = random ? (struct generator *)PyObject_GetAttrString(random, "_inst") : NULL;
    start_name = PyUnicode_InternFromString("_startTime");
    logging_dict = logging ? PyModule_GetDict(logging) : NULL;
    if (!generator || !type || !logging_dict || !start_name) die("nothing to resume with");
    /* What `init_by_array` leaves: a generator of another layout would not have it there. */
    if (((PyTypeObject *)type)->tp_basicsize != sizeof *generator || generator->index != STATE_WORDS || generator->state[0] != 0x80000000u)
        die("random has changed: see resume.c");
    Py_DECREF(type);
}
