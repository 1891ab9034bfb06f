/* SQLite's random numbers: its own way is a file that is not there, and then the clock, the same for many runs. */
#include <sqlite3.h>
#include <wasi/api.h>
#include "driver.h"

/* Not by arc4random: that has a state of its own, which copies of an instance would share. */
static int random_bytes(sqlite3_vfs *vfs, int length, char *out) {
    return __wasi_random_get((uint8_t *)out, (size_t)length) ? 0 : length;
}
void sqlite_randomness_is_ours(void) {
    if (sqlite3_initialize()) die("SQLite does not start");
    for (sqlite3_vfs *vfs = sqlite3_vfs_find(NULL); vfs; vfs = vfs->pNext) vfs->xRandomness = random_bytes;
}
void sqlite_forget_randomness(void) { sqlite3_randomness(0, NULL); }
