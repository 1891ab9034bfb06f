"""
Write the engine's C files with the few changes this pack needs.

The engine's release stays as it is; every change is listed here with its reason, and one that no longer finds
its place ends the build: a new engine release is then looked at by a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packs.building.failure import Failure

if TYPE_CHECKING:
    from pathlib import Path

FIX = "look at the new engine, then change packs/javascript/prepare.py"

# The engine guards itself against deep recursion by measuring its stack in linear memory. WebAssembly keeps return
# addresses and most locals elsewhere, on the host's stack, and some recursive functions use no linear memory at all:
# the engine would never see them recurse, and the host's stack would run out first, which is a trap. Each of these
# gets a frame in linear memory, so that what the engine measures grows as the host's stack does.
# fmt: off
RECURSIVE = [
    "js_parse_unary", "js_parse_cond_expr", "js_parse_assign_expr2", "js_parse_template",
    "js_parse_statement_or_decl", "js_parse_destructuring_element", "js_parse_left_hand_side_expr",
    "js_parse_postfix_expr", "json_parse_value", "internalize_json_property", "js_json_to_str", "JS_WriteObjectRec",
    "JS_ReadObjectRec", "JS_FlattenIntoArray", "js_async_function_resume", "js_inner_module_linking",
    "js_inner_module_evaluation", "js_proxy_get", "js_proxy_set", "js_proxy_has", "js_proxy_getPrototypeOf",
    "js_proxy_setPrototypeOf", "js_proxy_isExtensible", "js_proxy_preventExtensions", "js_proxy_get_own_property",
    "js_proxy_define_own_property", "js_proxy_delete_property", "js_proxy_get_own_property_names",
    "js_proxy_isArray", "js_proxy_call", "js_proxy_call_constructor",
]
# fmt: on

# Running out of memory, or of length, can be caught, as in other engines; in this one it is an InternalError, as what
# must not be caught is.
CATCHABLE = [
    '(ctx, "out of memory")',
    '(ctx, "out of memory in regexp execution")',
    '(ctx, "string too long")',
    '(s->ctx, "string too long")',
]
DECLARATIONS = """\
#include <time.h>
#include <wasi/libc-environ.h>
JSValue driver_exit(JSContext *ctx, int code);
int driver_sleep(const struct timespec *time);
"""
# (file, text that is there once, its replacement)
CHANGES = [
    *(("quickjs.c", f"JS_ThrowInternalError{arguments}", f"JS_ThrowRangeError{arguments}") for arguments in CATCHABLE),
    # `std.exit` ends the run or the cell, not the instance, and a long `os.sleep` can be interrupted.
    ("quickjs-libc.c", "    exit(status);\n    return JS_UNDEFINED;", "    return driver_exit(ctx, status);"),
    ("quickjs-libc.c", "js_get_errno(nanosleep(&ts, NULL))", "js_get_errno(driver_sleep(&ts))"),
    # WASI's variables are fetched at their first use, which this is not.
    ("quickjs-libc.c", "    envp = environ;", "    __wasilibc_ensure_environ();\n    envp = environ;"),
    ("quickjs-libc.c", '#include "quickjs-libc.h"\n', f'#include "quickjs-libc.h"\n{DECLARATIONS}'),
]


def give_frame(text: str, function: str) -> str:
    """Put `DRIVER_FRAME` first in the body of `function`."""
    head = re.compile(rf"^((?:static|int|JSValue)\b[^;{{}}]*?\b{function}\([^;{{}}]*\)\n\{{)", re.MULTILINE)
    text, count = head.subn(r"\1 DRIVER_FRAME", text)
    if count != 1:
        raise Failure("this is another engine", f"it defines {function} {count} times, not once", FIX)
    return text


def prepare(source: Path, output: Path) -> None:
    """Write both files into a folder."""
    for name in ("quickjs.c", "quickjs-libc.c"):
        text = (source / name).read_text(encoding="utf-8")
        for file, old, new in CHANGES:
            if file != name:
                continue
            if text.count(old) != 1:
                raise Failure("this is another engine", f"{name} has {old!r} {text.count(old)} times, not once", FIX)
            text = text.replace(old, new)
        if name == "quickjs.c":
            for function in RECURSIVE:
                text = give_frame(text, function)
        (output / name).write_text(text, encoding="utf-8")
