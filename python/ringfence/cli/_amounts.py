"""Limits as people read them."""

from __future__ import annotations

from ringfence._units import seconds, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = frozenset({"wall", "cpu", "compile"})
_BYTES = frozenset({"memory", "output", "host_bytes", "disk", "net_bytes"})


def flag_of(limit: str) -> str:
    """Give the flag that sets a limit."""
    return f"--{limit.replace('_', '-')}"


def amount(limit: str, value: float) -> str:
    """Write the value of a limit with its unit, as a flag takes it."""
    show = seconds if limit in _SECONDS else size if limit in _BYTES else str
    return show(value)  # type: ignore[arg-type]


def amounts(limits: Mapping[str, object]) -> str:
    """Write all that are set."""
    told = [f"{name} {amount(name, value)}" for name, value in limits.items() if isinstance(value, int | float)]
    return ", ".join(told)
