/* SQLite's shell as one unit with the few functions that need its inside. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wasi/api.h>
#include "driver.h"

#undef stderr
#define stderr driver_errors()
#define exit(code) driver_exit(code)
struct ShellState;
static void driver_adopt(struct ShellState *p);
#include "shell.c"
#undef data
#undef exit
#undef stderr

static sqlite3 *prepared;

/* The database of the snapshot becomes the one in memory that is opened first. */
static void driver_adopt(ShellState *p) {
    const char *name = p->pAuxDb->zDbFilename;
    bool usual = p->openMode <= SHELL_OPEN_NORMAL && !p->openFlags && !p->bSafeModePersist && !ShellHasFlag(p, SHFLG_TestingMode);
    if (p->db || !prepared || !usual || !name || strcmp(name, ":memory:")) return;
    p->db = globalDb = prepared;
    p->openMode = SHELL_OPEN_NORMAL;
    prepared = NULL;
}
bool driver_exists(const char *name) { return strcmp(name, ":memory:") && !access(name, F_OK); }

/* WASI has no locks between processes. Those between connections of this one are in SQLite's own tables, above this. */
/* As SQLite has them for WASI, whose headers have none. */
enum { GET_LOCK = 12, SET_LOCK, WAIT_FOR_LOCK, UNLOCKED = 2 };
static int no_locks(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (command == GET_LOCK) ((struct flock *)argument)->l_type = UNLOCKED;
    return command == GET_LOCK || command == SET_LOCK || command == WAIT_FOR_LOCK ? 0 : fcntl(fd, command, argument);
}
/* Not by arc4random: that has a state of its own, which copies of an instance would share. */
static int random_bytes(sqlite3_vfs *vfs, int length, char *out) { return __wasi_random_get((uint8_t *)out, (size_t)length) ? 0 : length; }

static sqlite3 *open_memory(void) {
    main_init(&driver_shell);
    driver_shell.aAuxDb[0].zDbFilename = ":memory:";
    driver_shell.openMode = SHELL_OPEN_NORMAL;
    driver_shell.out = stdout;
    open_db(&driver_shell, 0);
    return driver_shell.db;
}
/* Usual statements, so that what is made at its first use is in the snapshot. */
static void walk(sqlite3 *db) {
    static const char usual[] =
        "create table w(a integer primary key, b text); insert into w values(1, 'x'), (2, null); create index i on w(b);"
        "select a, count(*), json_group_array(b) from w where a > 0 group by b order by 1 desc limit 5; update w set b = upper(b);"
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50) select sum(i) from n; delete from w; drop table w;"
        "select 1; select printf('%d %s %f', 1, 'a', 1.5), abs(-1), random() > 0, date('now') > '';";
    for (int i = 0; i < 3; i++) sqlite3_exec(db, usual, NULL, NULL, NULL);
}
void shell_prepare(void) {
    for (sqlite3_vfs *vfs = sqlite3_vfs_find(NULL); vfs; vfs = vfs->pNext) {
        vfs->xRandomness = random_bytes;
        if (vfs->iVersion >= 3 && vfs->xSetSystemCall) vfs->xSetSystemCall(vfs, "fcntl", (sqlite3_syscall_ptr)no_locks);
    }
    sqlite3_appendvfs_init(0, 0, 0);
    sqlite3 *first = open_memory();
    walk(first);
    sqlite3_close(first);
    prepared = open_memory();
    sqlite3_exec(prepared, "select 1; select 2", NULL, NULL, NULL);
    main_init(&driver_shell);
    sqlite3_auto_extension((void (*)(void))host_register);
}
void shell_adopt_functions(void) {
    if (prepared) host_register(prepared, NULL, NULL);
}
void shell_begin_session(void) {
    stdin_is_interactive = 0;
    if (!driver_shell.db) open_memory();
}

/* ---- cells ---- */

static const char *type_of(int rc) {
    static const char *const names[] = {
        "OK", "ERROR", "INTERNAL", "PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR", "CORRUPT", "NOTFOUND", "FULL",
        "CANTOPEN", "PROTOCOL", "EMPTY", "SCHEMA", "TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE", "NOLFS", "AUTH", "FORMAT", "RANGE", "NOTADB",
    };
    static char name[32];
    rc &= 0xff;
    snprintf(name, sizeof name, "SQLITE_%s", rc < (int)(sizeof names / sizeof *names) ? names[rc] : "ERROR");
    return name;
}

/* Column names, each once: a map has no key twice. */
static char **column_names(sqlite3_stmt *statement, int columns) {
    char **names = sqlite3_malloc64(sizeof *names * (size_t)columns);
    for (int i = 0; names && i < columns; i++) {
        const char *name = sqlite3_column_name(statement, i);
        names[i] = sqlite3_mprintf("%s", name ? name : "");
        for (int again = 1, k = 0; names[i] && k < i; k++)
            if (names[k] && !strcmp(names[k], names[i])) {
                sqlite3_free(names[i]);
                names[i] = sqlite3_mprintf("%s:%d", name, again++);
                k = -1;
            }
    }
    return names;
}

/* Steps to the end; the rows go to `rows`, in place of those of an earlier statement. */
static int run_statement(sqlite3_stmt *statement, struct bytes *rows, bool *has_rows) {
    int columns = sqlite3_column_count(statement), rc;
    uint64_t count = 0;
    struct bytes body = {0};
    char **names = columns && rows ? column_names(statement, columns) : NULL;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!names) continue;
        count++;
        write_head(&body, MAP, (uint64_t)columns);
        for (int i = 0; i < columns; i++) {
            const char *name = names[i] ? names[i] : "";
            write_text(&body, name, strlen(name));
            write_value(&body, sqlite3_column_value(statement, i));
        }
        if (body.failed) {
            rc = SQLITE_NOMEM;
            break;
        }
    }
    if (names) {
        rows->length = 0;
        rows->failed = body.failed;
        write_head(rows, ARRAY, count);
        bytes_add(rows, body.data, body.length);
        *has_rows = true;
        for (int i = 0; i < columns; i++) sqlite3_free(names[i]);
        if (rows->failed) rc = SQLITE_NOMEM;
    }
    sqlite3_free(names);
    free(body.data);
    return rc;
}

static int sql(char *text, const char **rest, struct bytes *rows, bool *has_rows, struct said *error) {
    open_db(&driver_shell, OPEN_DB_KEEPALIVE);
    sqlite3 *db = driver_shell.db;
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, text, -1, &statement, rest);
    if (rc == SQLITE_OK && statement) {
        rc = run_statement(statement, rows, has_rows);
        if (rc == SQLITE_DONE) rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK) {
        error->type = type_of(rc);
        error->message = strdup(rc == SQLITE_NOMEM ? "out of memory" : sqlite3_errmsg(db));
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_OK ? CELL_DONE : CELL_FAILED;
}

int shell_cell(char *text, struct bytes *rows, bool *has_rows, struct said *error) {
    for (const char *at = text; *at && !driver_interrupted;) {
        if (IsSpace(*at) || *at == ';') {
            at++;
            continue;
        }
        if (*at != '.') {
            int ended = sql((char *)at, &at, rows, has_rows, error);
            if (ended) return ended;
            continue;
        }
        size_t length = strcspn(at, "\r\n");
        char *line = strndup(at, length);
        int rc = line ? do_meta_command(line, &driver_shell) : 1;
        free(line);
        at += length;
        if (rc == 2) return CELL_EXIT;
        if (rc) {
            error->type = "Error";
            return CELL_FAILED;
        }
    }
    return driver_interrupted ? CELL_FAILED : CELL_DONE;
}
