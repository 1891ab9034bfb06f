"""
Change the few places of SQLite and its shell that this pack needs.

The release stays as it is; every change is listed here with its reason, and one that no longer finds its place ends the
build: a new release is then looked at by a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building.failure import Failure

if TYPE_CHECKING:
    from pathlib import Path

FIX = "look at the new release, then change packs/sqlite/prepare.py"
ASKED = "AtomicLoad(&db->u1.isInterrupted)"
OPEN = "static void open_db(ShellState *p, int openFlags){\n"
MAIN = "int SQLITE_CDECL main(int argc, char **argv){"
TERMINAL = "(consStreams & SAC_InConsole)!=0;"
LEAVE = "(rc = (int)integerValue(azArg[1]))!=0 ) "
# (file, text, its replacement, how often it is there)
CHANGES = [
    # The host's word stops statements of every connection, where SQLite looks whether one was interrupted.
    ("sqlite3.c", ASKED, f"(driver_interrupted || {ASKED})", 10),
    # The library is started in the snapshot, and so is a database in memory, with the shell's functions.
    ("shell.c", "  if( sqlite3_config(-1)==SQLITE_MISUSE ){", "  if( 0 ){", 1),
    ("shell.c", OPEN, f"{OPEN}  driver_adopt(p);\n", 1),
    ("shell.c", "access(data.pAuxDb->zDbFilename, 0)==0", "driver_exists(data.pAuxDb->zDbFilename)", 1),
    # Functions of a connection know the state by its address.
    ("shell.c", "  ShellState data;\n  StreamsAre", "#define data driver_shell\n  StreamsAre", 1),
    ("shell.c", MAIN, "static ShellState driver_shell;\nint driver_main(int argc, char **argv){", 1),
    # A script's text is handed in.
    ("shell.c", "      data.in = stdin;\n", "      data.in = driver_input();\n", 1),
    ("shell.c", f"  stdin_is_interactive = {TERMINAL}", f"  stdin_is_interactive = !driver_text && {TERMINAL}", 1),
    # Without a home there is no file of settings in it, and that needs no warning.
    ("shell.c", "  process_sqliterc(&data,", '  if( zInitFile || getenv("HOME") ) process_sqliterc(&data,', 1),
    # `.exit 3` ends a script with 3, and in a session the turn.
    ("shell.c", f"{LEAVE}exit(rc);", f"{LEAVE}driver_exit(rc);", 1),
]


def prepare(folder: Path) -> None:
    """Change the files in a folder."""
    for name in sorted({change[0] for change in CHANGES}):
        file = folder / name
        text = file.read_text(encoding="utf-8")
        for _, old, new, times in (change for change in CHANGES if change[0] == name):
            if text.count(old) != times:
                raise Failure("this is another SQLite", f"{name} has {old!r} {text.count(old)} times, not {times}", FIX)
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
