"""What came of a turn, for a person at a terminal."""

from __future__ import annotations

from ringfence._text import quote

from . import _output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence._policy import Limits, Policy
    from ringfence._turn import Turn


def show(turn: Turn, language: str, policy: Policy) -> bool:
    """
    Write the value to stdout; the error, what stopped it and what would mend it to stderr.

    Once nobody reads stdout nothing is said any more, and this is False.
    """
    if not _is_read():
        return False
    if turn.value is not None:
        shown = _printable(turn.value if turn.is_repr else _written(turn.value, language))
        if not _output.data(shown):
            return False
    _say(turn, policy)
    return True


def _say(turn: Turn, policy: Policy) -> None:
    if turn.error is not None:
        _output.say(_printable(turn.error.traceback or f"{turn.error.type}: {turn.error.message}").rstrip())
    if turn.ok or (turn.outcome == "raised" and not turn.denials):
        return
    from ._hints import limit_hint, refusal_hint

    if turn.outcome != "raised":
        why = turn.trap or (f"it reached the limit `{turn.limit}`" if turn.limit else "its session was ended")
        _output.error(f"the turn was {turn.outcome}", why)
    found = limit_hint(turn, policy) or refusal_hint(turn, policy)
    if found:
        _output.hint(found)


def show_limits(turn: Limits, session: Limits, last: Turn | None) -> None:
    """Write what bounds each turn and what the session, and what the last turn used."""
    from ringfence._units import seconds

    from ._amounts import amounts

    each = turn._fields()
    whole = {name: value for name, value in session._fields().items() if each[name] is None}
    _output.say(f"each turn: {amounts(each)}")
    _output.say(f"the session: {amounts(whole)}")
    if last is not None:
        used = last.usage
        _output.say(
            f"the last turn: {seconds(used.wall_seconds)}, of that {seconds(used.cpu_seconds)} of processor; "
            f"{used.memory_bytes / (1 << 20):.1f} MiB of memory; {used.output_bytes} bytes written"
        )


def _written(value: object, language: str) -> str:
    """Write a plain value as its language would, near enough."""
    if language == "python":
        return repr(value)
    import json

    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:  # bytes
        return repr(value)


def _printable(text: str) -> str:
    """Take away what would steer the terminal; lines stay lines."""
    return "\n".join(quote(line, len(line)) for line in text.expandtabs().split("\n"))


def _is_read() -> bool:
    """Tell whether somebody reads stdout still, or may: a pipe tells when nobody does."""
    import select

    poll = select.poll()
    poll.register(1, 0)
    return not any(event & select.POLLERR for _, event in poll.poll(0))
