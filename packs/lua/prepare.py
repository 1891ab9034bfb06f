"""
Write Lua's own C files with the few changes this pack needs.

The release stays as it is; every change is listed here with its reason, and one that no longer finds its place ends the
build: a new release is then looked at by a person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packs.building.failure import Failure

if TYPE_CHECKING:
    from pathlib import Path

FIX = "look at the new release, then change packs/lua/prepare.py"
FINALIZE = """\
/* The first half of luaC_freeallobjects: what is free'd with the process need not be free'd before. */
void driver_finalize (lua_State *L) {
  G(L)->gcstp = GCSTPCLS;
  separatetobefnz(G(L), 1);
  callallpendingfinalizers(L);
}


/*
** Call all finalizers of the objects in the given Lua state, and
"""
STOP = """\
  if (driver_interrupted) {
    ci->u.l.savedpc = pc + 1;
    driver_stop(L);
  }
"""
GETI = "LUA_API int lua_geti (lua_State *L, int idx, lua_Integer n) {\n  TValue *t;\n  const TValue *slot;\n"
HOOKS = "  if (!(mask & (LUA_MASKLINE | LUA_MASKCOUNT))) {  /* no hooks? */\n"
TRAP, START = "#define updatetrap(ci)  (trap = ci->u.l.trap", "  trap = L->hookmask"
ASKED = " | (driver_interrupted != 0)"
DEPTH = "  if (l_unlikely(ms->matchdepth-- == 0))"
CLOSE = "  if (lua_toboolean(L, 2))\n    lua_close(L);\n"
# (file, text that is there once, its replacement)
CHANGES = [
    # The host's word is looked at where the interpreter looks whether a signal has set a hook: at every jump backwards
    # and every call. A hook that counts instructions would do it too, in twice the time, and could be taken away.
    ("lvm.c", f"{TRAP})", f"{TRAP}{ASKED})"),
    ("lvm.c", f"{START};\n returning:", f"{START}{ASKED};\n returning:"),
    ("ldebug.c", HOOKS, STOP + HOOKS),
    # Patterns and the table library can take for ever without running an instruction.
    ("lstrlib.c", DEPTH, f"  driver_check(ms->L);\n{DEPTH}"),
    ("lapi.c", GETI, GETI + "  driver_check(L);\n"),
    # `os.exit` ends the run or the cell, not the instance.
    ("loslib.c", f"{CLOSE}  if (L) exit(status);", "  driver_exit(L, status, lua_toboolean(L, 2));"),
    # A run ends with its finalizers.
    ("lgc.c", "/*\n** Call all finalizers of the objects in the given Lua state, and\n", FINALIZE),
]


def prepare(source: Path, output: Path) -> None:
    """Write all files into a folder."""
    left = list(CHANGES)
    for file in sorted(source.iterdir()):
        text = file.read_text(encoding="utf-8")
        for change in [each for each in left if each[0] == file.name]:
            _, old, new = change
            if text.count(old) != 1:
                raise Failure("this is another Lua", f"{file.name} has {old!r} {text.count(old)} times, not once", FIX)
            text = text.replace(old, new)
            left.remove(change)
        (output / file.name).write_text(text, encoding="utf-8")
    if left:
        raise Failure("this is another Lua", f"there is no {left[0][0]}", FIX)
