"""Functions of the host, as functions of the session: called by name, awaited or not, explained by `help`."""

import builtins
import contextlib
import sys
from collections import deque
from selectors import DefaultSelector

import _ringfence_host

# How many calls a host lets be under way at once; further ones wait here.
MOST_UNDER_WAY = 100
# What the answer to the beginning of a call says first, where it goes on.
UNDER_WAY = 2

under_way = {}
waiting = deque()


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
    """Call it when it is awaited, while other tasks and calls go on."""
    import asyncio

    loop = asyncio._get_running_loop()
    if not isinstance(getattr(loop, "_selector", None), Selector):  # somebody else's, which would not wait for the host
        return call(name, args, kwargs)
    while len(under_way) >= MOST_UNDER_WAY:
        turn = loop.create_future()
        waiting.append(turn)
        await turn
    try:
        state, *rest = _ringfence_host.ask("G", [name, list(args), kwargs])
    except OSError:  # a host that knows no calls under way, or no room for one more
        return call(name, args, kwargs)
    if state == UNDER_WAY:
        number = rest[0]
        under_way[number] = future = loop.create_future()
        try:
            state, *rest = await future
        finally:
            if under_way.pop(number, None):
                _ringfence_host.ask("D", number)
            let_in()
    if state == 0:
        return rest[0]
    raise exception(*rest)


def let_in():
    """Let in one of those that wait because too many calls are under way."""
    while waiting:
        turn = waiting.popleft()
        if is_awaited(turn):
            turn.set_result(None)
            break


def is_awaited(future):
    return not future.done() and not future.get_loop().is_closed()


class Selector(DefaultSelector):
    """What an event loop waits with: for the answers of calls, where some are under way."""

    def select(self, timeout=None):
        if not under_way:
            return super().select(timeout)
        ready = super().select(0) if self.get_map() else []
        take_answers(0 if ready else timeout)
        return ready


def take_answers(timeout):
    """Wait for answers, and give them to those who await them."""
    try:
        answers = _ringfence_host.ask("W", timeout)
    except OSError:  # they were calls of another turn, which is over
        answers = [[number, [1, "ConnectionAbortedError", "the call ended with its turn"]] for number in under_way]
    for number, answer in answers:
        future = under_way.pop(number, None)
        if future is not None and is_awaited(future):
            future.set_result(answer)


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
