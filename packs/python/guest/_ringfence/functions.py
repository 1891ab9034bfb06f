"""Functions of the host, as functions of the session: called by name, awaited or not, explained by `help`."""

import builtins
import contextlib
import sys

import _ringfence_host


class HostError(Exception):
    """
    An exception that a function of the host raised, of a type that Python itself does not have.

    Attributes:
        type: the name of its type there.
    """

    __module__ = "ringfence"

    def __init__(self, type, message):
        super().__init__(f"{type}: {message}")
        self.type = type


def offer():
    """Put the functions of the host, where there are any, into `__main__` and the module `ringfence`."""
    offered = _ringfence_host.functions()
    if not offered:
        return
    import ringfence

    main = sys.modules["__main__"].__dict__
    for each in offered:
        function = make(each["name"], each.get("signature", ""), each.get("doc", ""), each.get("async", False))
        main[function.__name__] = function
        setattr(ringfence, function.__name__, function)


def make(name, signature, doc, is_async):
    """Make one: it gives the value, or where it is awaited, something to await."""

    def function(*args, **kwargs):
        if _ringfence_host.is_awaited() or (is_async and is_in_loop()):
            return later(name, args, kwargs)
        return call(name, args, kwargs)

    function.__name__ = function.__qualname__ = name
    function.__module__ = "ringfence"
    function.__doc__ = doc or None
    described = parse(signature)
    if described is not None:
        function.__signature__ = described
    return function


def is_in_loop():
    """Tell whether an event loop runs: then a function that is `async` for the host is so here."""
    import asyncio

    return asyncio._get_running_loop() is not None


def call(name, args, kwargs):
    """Call it, and raise what it raised."""
    answer = _ringfence_host.call([name, args, kwargs])
    if answer[0] == 0:
        return answer[1]
    raise exception(answer[1], answer[2])


async def later(name, args, kwargs):
    """Call it when it is awaited."""
    return call(name, args, kwargs)


def exception(kind, message):
    """Make the exception: of Python's own type of that name, where that takes a message."""
    known = getattr(builtins, kind, None)
    if known is KeyError:  # its text is the repr of its key
        import ast

        with contextlib.suppress(ValueError, SyntaxError):
            return KeyError(ast.literal_eval(message))
    if isinstance(known, type) and issubclass(known, Exception):
        try:
            return known(message)
        except TypeError:  # UnicodeDecodeError and its like want more
            pass
    return HostError(kind, message)


def parse(signature):
    """Give the signature that a text describes, annotations as text, or None where it cannot be read."""
    import inspect

    space = {}
    try:
        exec(f"from __future__ import annotations\ndef f{signature}: ...", {}, space)
        said = inspect.signature(space["f"])
        parameters = [each.replace(annotation=words(each.annotation)) for each in said.parameters.values()]
        return said.replace(parameters=parameters, return_annotation=words(said.return_annotation))
    except Exception:  # noqa: BLE001
        return None


class Words(str):
    """An annotation, shown without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def words(annotation):
    if not isinstance(annotation, str):
        return annotation
    quoted = len(annotation) > 1 and annotation[0] == annotation[-1] and annotation[0] in "'\""
    return Words(annotation[1:-1] if quoted else annotation)


def finish(coroutine):
    """Run the coroutine of a cell with an `await` of its own, and give its value."""
    import asyncio

    return asyncio.run(coroutine)
