/* The host, and its functions as functions of SQL. */
#include <stdlib.h>
#include <string.h>
#include "driver.h"

#define MOST_FUNCTIONS 1000

static char *names[MOST_FUNCTIONS];
static int count;

/* The names among what `L` answers: an array of maps. */
static void take_names(struct reader *r) {
    int major, low;
    uint64_t functions, pairs, length;
    if (!read_head(r, &major, &low, &functions) || major != ARRAY) return;
    for (; functions && count < MOST_FUNCTIONS; functions--) {
        if (!read_head(r, &major, &low, &pairs) || major != MAP) return;
        for (; pairs; pairs--) {
            if (!read_head(r, &major, &low, &length) || major != TEXT || length > (uint64_t)(r->end - r->at)) return;
            bool is_name = length == 4 && !memcmp(r->at, "name", 4);
            r->at += length;
            if (!is_name) {
                if (!read_skip(r, 0)) return;
                continue;
            }
            if (!read_head(r, &major, &low, &length) || major != TEXT || length > (uint64_t)(r->end - r->at)) return;
            if ((names[count] = strndup((const char *)r->at, (size_t)length))) count++;
            r->at += length;
        }
    }
}
void host_list(void) {
    uint8_t *answer;
    int64_t length = host_ask("L", 1, &answer);
    if (length < 0) return;
    struct reader r = {answer, answer + length};
    take_names(&r);
    free(answer);
}

static void fail(sqlite3_context *to, struct reader *r) {
    int major, low;
    uint64_t n[2];
    const char *text[2];
    for (int i = 0; i < 2; i++) {
        if (!read_head(r, &major, &low, &n[i]) || major != TEXT || n[i] > (uint64_t)(r->end - r->at)) {
            sqlite3_result_error(to, "the function of the host failed", -1);
            return;
        }
        text[i] = (const char *)r->at;
        r->at += n[i];
    }
    char *message = sqlite3_mprintf("%.*s: %.*s", (int)n[0], text[0], (int)n[1], text[1]);
    if (message) sqlite3_result_error(to, message, -1);
    else sqlite3_result_error_nomem(to);
    sqlite3_free(message);
}
static void call(sqlite3_context *to, int argc, sqlite3_value **argv) {
    const char *name = sqlite3_user_data(to);
    struct bytes message = {0};
    bytes_add(&message, "F", 1);
    write_head(&message, ARRAY, 3);
    write_text(&message, name, strlen(name));
    write_head(&message, ARRAY, (uint64_t)argc);
    for (int i = 0; i < argc; i++) write_value(&message, argv[i]);
    write_head(&message, MAP, 0);
    uint8_t *answer = NULL;
    int64_t length = message.failed ? REFUSED : host_ask(message.data, message.length, &answer);
    free(message.data);
    if (length < 0) {
        sqlite3_result_error(to, length == TOO_LONG ? "the message, or its answer, is longer than the host allows" : "the host refused this message", -1);
        return;
    }
    struct reader r = {answer, answer + length};
    int major, low;
    uint64_t n, failed;
    if (!read_head(&r, &major, &low, &n) || major != ARRAY || !read_head(&r, &major, &low, &failed) || major != UNSIGNED)
        sqlite3_result_error(to, "the host's answer is malformed", -1);
    else if (failed) fail(to, &r);
    else if (!read_result(&r, to)) sqlite3_result_error(to, "the host's answer is malformed", -1);
    free(answer);
}

int host_register(sqlite3 *db, char **error, const void *unused) {
    for (int i = 0; i < count; i++) sqlite3_create_function(db, names[i], -1, SQLITE_UTF8 | SQLITE_DIRECTONLY, names[i], call, NULL, NULL);
    return SQLITE_OK;
}
