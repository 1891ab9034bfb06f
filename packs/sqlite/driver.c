/* Driver of the SQLite pack: the guest ABI (docs/reference/guest-abi.md) on top of SQLite and its shell. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>
#include <wasi/libc-environ.h>
#include "driver.h"

enum { WANT_VALUE = 1 };

extern void __wasilibc_reset_preopens(void);

bool live;
const char *driver_text;
static struct { int32_t status, code; uint32_t value, value_length, error, error_length; } result;
static struct bytes rows, error_bytes;
static bool busy;
static int exit_status;
static jmp_buf way_out;
/* What a command of a session says on stderr is the message of its error. */
static FILE *errors;
static char *errors_text;
static size_t errors_length;

/* What was written before an error is seen before it. */
FILE *driver_errors(void) {
    if (errors) return errors;
    fflush(stdout);
    return stderr;
}
FILE *driver_input(void) {
    if (!driver_text) return stdin;
    FILE *file = *driver_text ? fmemopen((void *)driver_text, strlen(driver_text), "r") : NULL;
    return file ? file : fopen("/dev/null", "r");
}
void driver_exit(int code) {
    exit_status = code & 0xff;
    longjmp(way_out, 1);
}

void settle(bool template) {
    fflush(NULL);
    if (!template) return;
    resume_word = RESUME_SNAPSHOT;
    __wasilibc_reset_preopens();
}
static void resume(void) {
    driver_interrupted = NOT_INTERRUPTED;
    if (resume_word == RESUME_NOTHING) return;
    bool first = resume_word != RESUME_COPY;
    resume_word = RESUME_NOTHING;
    __wasilibc_reset_preopens();
    sqlite3_randomness(0, NULL);
    if (!first) return;
    __wasilibc_deinitialize_environ();
    host_list();
    shell_adopt_functions();
}

/* ---- cells and programs ---- */

static int code_of_stop(const char **type, const char **message) {
    static const char *const types[] = {"", "TimeoutError", "KeyboardInterrupt", "MemoryError"};
    static const char *const messages[] = {"", "the deadline is reached", "interrupted", "out of memory"};
    uint32_t by = driver_interrupted <= BY_MEMORY ? driver_interrupted : BY_DEADLINE;
    *type = types[by];
    *message = messages[by];
    return by == BY_DEADLINE ? EXIT_DEADLINE : by == BY_KEYBOARD ? EXIT_KEYBOARD : EXIT_ERROR;
}
static void give_error(int code, const char *type, const char *message) {
    struct bytes text = {0};
    bytes_add(&text, "Error: ", 7);
    bytes_add(&text, message, strlen(message));
    bytes_add(&text, "\n", 1);
    error_bytes.length = 0;
    error_bytes.failed = text.failed;
    write_head(&error_bytes, MAP, 3);
    write_text(&error_bytes, "type", 4);
    write_text(&error_bytes, type, strlen(type));
    write_text(&error_bytes, "message", 7);
    write_text(&error_bytes, message, strlen(message));
    write_text(&error_bytes, "traceback", 9);
    write_text(&error_bytes, text.failed ? "" : (char *)text.data, text.failed ? 0 : text.length);
    free(text.data);
    result.status = STATUS_ERROR;
    result.code = code;
    if (error_bytes.failed) return;
    result.error = (uint32_t)error_bytes.data;
    result.error_length = error_bytes.length;
}

/* A copy of the source with a NUL behind it; p is 0 where the host hands it in. */
static char *take_source(const char *p, uint32_t n) {
    uint8_t *handed;
    if (!p) return host_ask("S", 1, &handed) < 0 ? NULL : (char *)handed;
    char *copy = malloc(n + 1);
    if (!copy) return NULL;
    memcpy(copy, p, n);
    copy[n] = 0;
    return copy;
}
static int run_cell(char *source, bool *has_rows, bool want, struct said *error) {
    static volatile int ended;
    ended = CELL_EXIT;
    exit_status = 0;
    if (!setjmp(way_out)) ended = shell_cell(source, want ? &rows : NULL, has_rows, error);
    return ended;
}

void *EXPORT(rf_eval)(const char *p, uint32_t n, uint32_t flags) {
    if (busy) return NULL;   /* called from inside a host call */
    busy = true;
    resume();
    memset(&result, 0, sizeof result);
    shell_begin_session();
    char *source = take_source(p, n);
    bool has_rows = false;
    struct said error = {"Error", NULL};
    errors = open_memstream(&errors_text, &errors_length);
    int ended = CELL_FAILED;
    if (source) ended = run_cell(source, &has_rows, flags & WANT_VALUE, &error);
    if (errors) fclose(errors);
    errors = NULL;
    if (ended == CELL_EXIT) {
        result.status = STATUS_EXIT;
        result.code = exit_status;
    } else if (ended == CELL_FAILED) {
        const char *type = error.type, *message = error.message ? error.message : errors_text && *errors_text ? errors_text : "it failed";
        int code = EXIT_ERROR;
        if (driver_interrupted) code = code_of_stop(&type, &message);
        if (!strncmp(message, "Error: ", 7)) message += 7;
        char *line = strdup(message);
        if (line) line[strcspn(line, "\n")] = 0;
        give_error(code, type, line ? line : message);
        free(line);
    } else {
        if (errors_text && *errors_text) fputs(errors_text, stderr);
        if (has_rows) {
            result.status = STATUS_VALUE;
            result.value = (uint32_t)rows.data;
            result.value_length = rows.length;
        }
    }
    free((void *)error.message);
    free(errors_text);
    errors_text = NULL;
    free(source);
    fflush(stdout);
    busy = false;
    return &result;
}

/* Runs the shell. A script's text, handed in by whatever way, stands in for standard input; the words after it are the
 * shell's own: the database first. */
static int run_line(int argc, char **argv) {
    uint8_t *handed = NULL;
    int skipped = 0;
    if (argc > 2 && !strcmp(argv[1], "-c")) {
        driver_text = argv[2];
        skipped = 2;
    } else if (argc > 1 && !strcmp(argv[1], "-")) skipped = 1;
    else if (argc > 1 && *argv[1] != '-' && host_ask("S", 1, &handed) >= 0) {
        driver_text = (char *)handed;
        if (!strncmp(driver_text, "\xef\xbb\xbf", 3)) driver_text += 3;
        if (!strncmp(driver_text, "#!", 2)) driver_text += strcspn(driver_text, "\n");
        skipped = 1;
    }
    static volatile int code;
    argv[skipped] = argv[0];
    code = 0;
    if (!setjmp(way_out)) code = driver_main(argc - skipped, argv + skipped);
    else code = exit_status;
    return code;
}

int EXPORT(rf_run)(void) {
    if (busy) return -1;
    busy = true;
    resume();
    __wasi_size_t count = 0, size = 0;
    if (__wasi_args_sizes_get(&count, &size)) count = 0;
    static char name[] = "sqlite3";
    char **words = calloc(count + 2, sizeof *words), *held = malloc(size + 1);
    if (!words || !held || __wasi_args_get((uint8_t **)words, (uint8_t *)held)) count = 0;
    if (!words) return EXIT_ERROR;
    if (!count) words[count++] = name;
    int code = run_line((int)count, words);
    if (driver_interrupted) {
        const char *type, *message;
        code = code_of_stop(&type, &message);
    }
    fflush(NULL);
    busy = false;
    return code & 0xff;
}

void EXPORT(rf_start)(void) { __wasi_proc_exit((__wasi_exitcode_t)rf_run()); }

void EXPORT(rf_init)(void) {
    static char output[32768];
    setvbuf(stdout, output, _IOFBF, sizeof output);
    sqlite3_config(SQLITE_CONFIG_URI, 1);
    if (sqlite3_initialize()) abort();
    shell_prepare();
    settle(true);
    live = true;
}
