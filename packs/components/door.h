/* The door of a session: a device that only the interpreter sees. A message goes to it by one `write`, and what is read
 * from it then is the answer: whether it was refused, its length, and its bytes. */
#ifndef DOOR_H
#define DOOR_H
#include "wasi.h"

static struct {
    part turn;          /* the text that was handed over with the turn, if any */
    uint32_t flags;     /* of the turn */
    char *answer;
    uint32_t length, at;
} door;
enum { DOOR_HEAD = 5 };
static bool busy; /* with a turn */

/* A turn begins, of which nothing is told yet; none begins in the middle of another. */
static inline bool begin_turn(uint32_t text, uint32_t length, uint32_t flags) {
    if (busy) return false;
    busy = true;
    begin_result();
    door.turn = (part){(char *)text, length};
    door.flags = flags;
    return true;
}
static inline char *door_room(uint32_t n) {
    free(door.answer);
    door.at = 0;
    door.length = (door.answer = malloc(DOOR_HEAD + n)) ? DOOR_HEAD + n : 0;
    if (door.answer) door.answer[0] = 0, __builtin_memcpy(door.answer + 1, &n, sizeof n);
    return door.answer ? door.answer + DOOR_HEAD : NULL;
}
static inline void door_give(const void *bytes, uint32_t n) {
    char *at = door_room(n);
    if (at) __builtin_memcpy(at, bytes, n);
}
static inline void door_ask(const char *message, uint32_t length) {
    int64_t n = host_call(message, length, NULL, 0);
    char *at = n < 0 || n > INT32_MAX - DOOR_HEAD ? NULL : door_room((uint32_t)n);
    if (at && (!n || !host_take(at, (uint32_t)n))) return;
    if (door_room(0)) door.answer[0] = 1;
}
/* What begins with a zero byte is for the driver. */
static inline void door_hear(const char *said, uint32_t n) {
    if (n < 2 || said[0]) door_ask(said, n);
    else if (said[1] == 't' && door.turn.at) door_give(door.turn.at, door.turn.length);
    else if (said[1] == 't') door_ask("S", 1);
    else if (said[1] == 'f') door_give(&door.flags, sizeof door.flags);
    else if (said[1] == 'r') take_result(said + 2, n - 2), door_give("", 0);
    else door_room(0);
}
static inline uint32_t door_read(char *into, uint32_t n) {
    if (n > door.length - door.at) n = door.length - door.at;
    __builtin_memcpy(into, door.answer + door.at, n);
    door.at += n;
    return n;
}
#endif
