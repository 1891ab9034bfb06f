"""An exception, as the session shows it."""

import linecache
import traceback


def describe_error(error, cells):
    """Give its type, message and traceback; lines come from the sources of the cells."""
    for name, source in cells.items():
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    kind = type(error)
    name = (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
    try:
        message = str(error)
    except Exception:  # noqa: BLE001
        message = "<exception str() failed>"
    return {
        "type": clean(name),
        "message": clean(message),
        "traceback": clean("".join(traceback.format_exception(error))),
    }


def clean(text):
    """Give text that is valid Unicode: what is not stands as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()
