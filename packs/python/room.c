/* Room for what a run makes: all in new pages that follow one another, instead of in the holes between what the snapshot
 * holds. A run then writes to few pages, and few have to be reset. The holes are lost; nobody's memory holds them. */
#include <stdlib.h>
#include "driver.h"
#include "pycore_interp.h"
#include "pycore_obmalloc.h"

#define LARGEST_HOLE (128 << 10)
#define SMALL 512
#define STEP 16

/* Python's own allocator: no pool is left that has a free block. */
static void fill_pools(void) {
    struct _obmalloc_state *state = PyInterpreterState_Get()->obmalloc;
    for (unsigned i = 0; i < NB_SMALL_SIZE_CLASSES; i++)
        for (poolp pool = state->pools.used[i + i]; pool != pool->nextpool; pool = state->pools.used[i + i])
            if (!PyObject_Malloc((i + 1) * ALIGNMENT)) die("no memory for the pools");
}
/* The C library's: what comes from below its end comes out of a hole. */
static void fill_holes(void) {
    char *end = PyMem_RawMalloc(2 * LARGEST_HOLE), *hole;
    if (!end) die("no memory for the holes");
    PyMem_RawFree(end);
    for (size_t size = LARGEST_HOLE; size; size = size > SMALL ? size / 2 : size - STEP) {
        while ((hole = PyMem_RawMalloc(size)) && hole < end) {}
        PyMem_RawFree(hole);
    }
}
void make_room(void) {
    PyGC_Collect();        /* it empties the lists of free objects, too */
    fill_pools();
    fill_holes();
}
