"""Sessions that somebody uses for as long as they like: limits for each turn, and none on their number."""

from __future__ import annotations

from ._policy import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._policy import Policy

# What a turn uses up is limited by itself; a session may go on for as long as somebody uses it.
_WITHOUT_END_SECONDS = 365 * 24 * 3600.0
_WITHOUT_END_FUEL = 1 << 60
_WITHOUT_END_BYTES = 1 << 40


def shares(policy: Policy) -> tuple[Policy, Limits]:
    """Part a policy in that of a session and the limits of each turn: a session's totals would end it while in use."""
    limits = policy.limits
    turn = Limits(wall=limits.wall, cpu=limits.cpu, fuel=limits.fuel, output=limits.output)
    whole = limits.replace(
        wall=_WITHOUT_END_SECONDS,
        cpu=limits.cpu and _WITHOUT_END_SECONDS,
        fuel=limits.fuel and _WITHOUT_END_FUEL,
        output=_WITHOUT_END_BYTES,
    )
    return policy.replace(limits=whole), turn
