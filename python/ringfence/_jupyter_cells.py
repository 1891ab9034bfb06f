"""What a session in Python is given to run cells of a notebook: it hands over what can be shown, in every form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_MAX_GIVEN = 200
_MAX_GIVEN_SIZE = 64 << 20
# Stands in the output where something was shown. A guest that writes it itself moves what it shows.
_MARK = re.compile("\x10(\\d{1,4})\x10")

SET_UP = r'''
def _ringfence_set_up():
    import ast, builtins, inspect, linecache, sys, traceback

    kinds = {
        "_repr_mimebundle_": None, "_repr_html_": "text/html", "_repr_svg_": "image/svg+xml",
        "_repr_png_": "image/png", "_repr_jpeg_": "image/jpeg", "_repr_markdown_": "text/markdown",
        "_repr_latex_": "text/latex", "_repr_json_": "application/json",
    }

    def formed(value):
        """Ask a value for its forms, as IPython does; one that fails counts only where it is the last."""
        bundle, about, failed = {}, {}, None
        # What answers to any name has no forms, and a class has those of its instances.
        if isinstance(value, type) or hasattr(value, "_ipython_canary_method_should_not_exist_"):
            kinds_of = {}
        else:
            kinds_of = kinds
        for name, kind in kinds_of.items():
            try:
                method = getattr(value, name, None)
                said = method() if callable(method) else None
            except NotImplementedError:
                continue
            except Exception as error:
                failed = failed or error
                continue
            data, more = said if isinstance(said, tuple) and len(said) == 2 else (said, {})
            if kind is not None and data is not None:
                bundle[kind], about[kind] = data, more
            elif isinstance(data, dict):
                bundle |= {each: form for each, form in data.items() if form is not None}
                about |= more if isinstance(more, dict) else {}
        if failed is not None and not bundle:
            traceback.print_exception(failed)
        if "text/plain" not in bundle:
            bundle["text/plain"] = repr(value)
        return bundle, about

    def give(bundle, about):
        plain = {}
        for kind, data in bundle.items():
            if isinstance(data, (bytes, bytearray, memoryview)):
                plain[str(kind)] = bytes(data)
            elif isinstance(data, (str, dict, list)):
                plain[str(kind)] = str(data) if isinstance(data, str) else data
        sizes = {str(kind): dict(more) for kind, more in about.items() if isinstance(more, dict)}
        try:
            number = _ringfence_give(plain, sizes)
        except (TypeError, ValueError):
            number = _ringfence_give({k: v for k, v in plain.items() if isinstance(v, (str, bytes))}, {})
        if number >= 0:
            print(end=f"\x10{number}\x10", file=sys.__stdout__)

    def display(*values, raw=False):
        """Show values as a last one is shown; with `raw`, dictionaries of their forms by media type."""
        for value in values:
            if raw and not isinstance(value, dict):
                raise TypeError(f"a raw value is a dict by media type, and this is a {type(value).__name__}")
            give(*((value, {}) if raw else formed(value)))

    async def show():
        source, wanted = _ringfence_take()
        linecache.cache["<notebook>"] = (len(source), None, source.splitlines(True), "<notebook>")
        tree = ast.parse(source, "<notebook>")
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        async def run(part, mode):
            code = compile(part, "<notebook>", mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            value = eval(code, globals())
            return await value if code.co_flags & inspect.CO_COROUTINE else value
        await run(tree, "exec")
        value = None if last is None else await run(ast.Expression(last.value), "eval")
        if wanted:
            _ringfence_out(value)
        elif value is not None:
            globals()["_"] = value
            display(value)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None and not wanted:
            import io
            for number in pyplot.get_fignums():
                file = io.BytesIO()
                pyplot.figure(number).savefig(file, format="png", bbox_inches="tight")
                give({"image/png": file.getvalue()}, {})
            pyplot.close("all")

    builtins.display = display
    return show

_ringfence_show = _ringfence_set_up()
'''


class Cells:
    """The host's side: gives a cell, and takes what it shows and what its value is."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.lost = 0
        self._given: list[Any] = []
        self._shown: list[tuple[Any, Any]] = []
        self._size = 0

    def functions(self) -> dict[str, Callable[..., Any]]:
        """Name what the session calls."""
        return {
            "_ringfence_take": lambda: self._given,
            "_ringfence_give": self._take,
            "_ringfence_out": self.values.append,
        }

    def begin(self, cell: str, *, wanted: bool) -> str:
        """Hand a cell over; give the source of the turn that runs it."""
        self.values.clear()
        self._shown.clear()
        self._size = self.lost = 0
        self._given = [cell, wanted]
        return "await _ringfence_show()"

    def in_order(self, text: str) -> Iterator[str | tuple[Any, Any]]:
        """Give pieces of its output, and between them what was shown there."""
        left: dict[int, tuple[Any, Any]] = dict(enumerate(self._shown))
        for place, piece in enumerate(_MARK.split(text)):
            if place % 2 == 0:
                yield piece
            elif int(piece) in left:
                yield left.pop(int(piece))
        yield from left.values()

    def _take(self, bundle: Any, about: Any) -> int:  # noqa: ANN401 - whatever a guest gives
        """Keep what is shown, up to a size; -1 for what is too much."""
        if not isinstance(bundle, dict) or not isinstance(about, dict):
            raise TypeError("a bundle is a dict by media type")
        size = sum(len(data) if isinstance(data, (str, bytes)) else 1 << 20 for data in bundle.values())
        if len(self._shown) >= _MAX_GIVEN or self._size + size > _MAX_GIVEN_SIZE:
            self.lost += 1
            return -1
        self._size += size
        self._shown.append((bundle, about))
        return len(self._shown) - 1
