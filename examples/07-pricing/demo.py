#!/usr/bin/env python3
# ruff: noqa: T201
"""
An engine of prices runs the rules of two tenants in one process, each under its own policy and with its own data.

Any broken promise makes the exit code 1.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stage import GREEN, RED, paint, title, told

from ringfence import LimitReached, Limits, Plugin, PluginError, Policy, WallReached

RULES = Path(__file__).parent / "rules.wat"
# How late a deadline of a fifth of a second may be on a machine that is busy.
SLACK_SECONDS = 2


class Tenant:
    """What a tenant's rules may ask, and nothing of another's."""

    def __init__(self, **percents: int) -> None:
        self._percents = percents
        self.asked: list[str] = []

    def percent(self, sku: str) -> int:
        """Give the discount for a thing."""
        self.asked.append(sku)
        return self._percents.get(sku, 0)


def main() -> int:
    """Price orders of both, and have one of them misbehave."""
    title("rules of two tenants")
    broken: list[str] = []

    def hold(promise: str, kept: bool) -> None:
        print(paint(f"  as promised: {promise}", GREEN) if kept else paint(f"  NOT AS PROMISED: {promise}", RED))
        if not kept:
            broken.append(promise)

    north, south = Tenant(tea=10), Tenant(tea=25)
    # One pays for time on the clock, the other for instructions, counted the same in every run.
    timed = Policy(limits=Limits(wall="200ms", memory="1MiB"))
    counted = Policy(limits=Limits(wall="10s", memory="1MiB", fuel=10_000))
    with (
        Plugin(RULES, policy=timed, imports={"app:pricing/tenant": north}) as first,
        Plugin(RULES, policy=counted, imports={"app:pricing/tenant": south}) as second,
    ):
        print(f"  12 of tea at 2.50: {first.price('tea', 12, 250)} and {second.price('tea', 12, 250)}")
        hold(
            "one rule, two tenants, two prices",
            (first.price("tea", 12, 250), second.price("tea", 12, 250)) == (2700, 2250),
        )
        hold("few pieces cost what they cost", [first.price("tea", 2, 250)] == [2 * 250])

        began = time.monotonic()
        try:
            first.price("tea", 666, 250)
        except WallReached as error:
            print(f"  {error.what}: {error.why}")
        hold("a rule that does not come back ends at its tenant's deadline", time.monotonic() - began < SLACK_SECONDS)
        hold("the other tenant does not notice", [second.price("tea", 10, 100)] == [750])
        try:
            second.price("tea", 666, 250)
        except LimitReached as error:
            hold("the other's own limit is another", error.result.limit == "fuel")
        for plugin in (first, second):
            try:
                plugin.price("tea", 1, 1)
            except PluginError:
                plugin.restart()
        hold("both begin anew", [first.price("tea", 1, 100), second.price("tea", 1, 100)] == [100, 100])
        hold("nobody was asked for another's data", {*north.asked} == {*south.asked} == {"tea"})
    return told(broken)


if __name__ == "__main__":
    sys.exit(main())
