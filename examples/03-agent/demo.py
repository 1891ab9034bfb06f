#!/usr/bin/env python3
# ruff: noqa: T201
"""
An agent at an order desk: it writes code, the code calls two functions of ours, and a hook judges each call.

What the model would have written is written down here, so that the demo needs none. The same policy, functions and hook
serve Python and JavaScript. Any broken promise makes the exit code 1.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stage import BOLD, GREEN, RED, SHOWN_LINES, excerpt, paint, title, told

from ringfence import Call, Limits, Policy, Session, Turn, languages

if TYPE_CHECKING:
    from collections.abc import Callable

CUSTOMER = "alice"
ORDERS: dict[str, list[dict[str, Any]]] = {
    "alice": [{"id": 7, "price": 40.0, "late": True}, {"id": 8, "price": 900.0, "late": False}],
    "bob": [{"id": 9, "price": 10.0, "late": True}],
}
POLICY = Policy(limits=Limits(wall="1m", memory="128MiB"))
TURN = Limits(wall="1s", output="64KiB")
MOST_REFUND = 50.0


class Desk:
    """The functions that the code may call, and the hook that looks at each call first."""

    def __init__(self) -> None:
        self.refunded: list[tuple[int, float]] = []
        self.asked: list[str] = []

    def orders(self, customer: str) -> list[dict[str, Any]]:
        """List a customer's orders: id, price, and whether it is late."""
        return ORDERS.get(customer, [])

    def refund(self, order: int, amount: float) -> str:
        """Pay an amount back for an order."""
        self.refunded.append((order, amount))
        return f"{amount:.2f} paid back for order {order}"

    def judge(self, call: Call) -> Call | bool:
        """Approve, change or refuse a call; the code cannot get around it, and an error in here refuses too."""
        if call.name == "orders":  # whoever the model was talked into asking about
            return Call("orders", (CUSTOMER,))
        order, amount = call.args
        if order not in [known["id"] for known in ORDERS[CUSTOMER]]:
            raise LookupError(f"{CUSTOMER} has no order {order}")
        return bool(0 < amount <= MOST_REFUND) or self.ask(f"pay {amount:.2f} back for order {order}?")

    def ask(self, question: str) -> bool:
        """Ask a person, who says no in this demo."""
        self.asked.append(question)
        return False


@dataclass(frozen=True)
class Cell:
    """A piece of code that a model wrote, and what must come of it."""

    promise: str
    source: str
    holds: Callable[[Turn, Desk], bool]


def python() -> list[Cell]:
    """Write what a model would in Python."""
    return [
        Cell("help tells what may be called", "help(refund)", lambda turn, _: "Pay an amount back" in turn.text),
        Cell(
            "a function of ours, called from the sandbox",
            f'late = [order for order in orders("{CUSTOMER}") if order["late"]]\nlen(late)',
            lambda turn, _: turn.value == 1 and turn.usage.calls == 1,
        ),
        Cell(
            "a small refund is approved",
            'refund(late[0]["id"], 20)',
            lambda turn, desk: turn.ok and desk.refunded == [(7, 20)],
        ),
        Cell(
            "a big one goes to a person, who refuses; the code may handle that",
            "try:\n    answer = refund(8, 900)\nexcept PermissionError as error:\n    answer = str(error)\nanswer",
            lambda turn, desk: "refused" in turn.value and len(desk.asked) == 1 == len(desk.refunded),
        ),
        Cell("orders of somebody else are not shown", 'orders("bob")', lambda turn, _: turn.value == ORDERS[CUSTOMER]),
        Cell(
            "nor paid back: a hook that raises refuses",
            "refund(9, 10)",
            lambda turn, desk: turn.error is not None and turn.error.type == "LookupError" and len(desk.refunded) == 1,
        ),
        Cell(
            "the desk's own computer is not there",
            'open("/etc/passwd").read()',
            lambda turn, _: not turn.ok and [denial.what for denial in turn.denials] == ["/etc/passwd"],
        ),
        Cell(
            "an endless loop hears of its deadline",
            "while True: pass",
            lambda turn, _: turn.limit == "wall" and not turn.poisoned,
        ),
        Cell("and the session goes on where it was", "len(late)", lambda turn, _: turn.value == 1),
    ]


def javascript() -> list[Cell]:
    """Write the same in JavaScript."""
    return [
        Cell(
            "a function of ours, called from the sandbox",
            f'const late = orders("{CUSTOMER}").filter((order) => order.late); late.length',
            lambda turn, _: turn.value == 1 and turn.usage.calls == 1,
        ),
        Cell(
            "a small refund is approved",
            "refund(late[0].id, 20)",
            lambda turn, desk: turn.ok and desk.refunded == [(7, 20)],
        ),
        Cell(
            "a big one goes to a person, who refuses; the code may handle that",
            "let answer; try { answer = refund(8, 900) } catch (error) { answer = String(error) }; answer",
            lambda turn, desk: "refused" in turn.value and len(desk.asked) == 1 == len(desk.refunded),
        ),
        Cell("orders of somebody else are not shown", 'orders("bob")', lambda turn, _: turn.value == ORDERS[CUSTOMER]),
        Cell(
            "the desk's own computer is not there",
            'std.loadFile("/etc/passwd")',
            lambda turn, _: turn.value is None and [denial.what for denial in turn.denials] == ["/etc/passwd"],
        ),
        Cell(
            "an endless loop hears of its deadline",
            "for (;;);",
            lambda turn, _: turn.limit == "wall" and not turn.poisoned,
        ),
        Cell("and the session goes on where it was", "late.length", lambda turn, _: turn.value == 1),
    ]


def main() -> int:
    """Show every cell; count the broken promises."""
    broken = play("python", python())
    if "javascript" in languages.names():
        broken += play("javascript", javascript())
    else:
        title("the same policy for JavaScript")
        print("  left out: `ringfence languages install javascript`")
    return told(broken)


def play(language: str, cells: list[Cell]) -> list[str]:
    """Run the cells of a conversation in one session; give the promises that were broken."""
    title(f"an agent that writes {language}, with two functions and a hook that judges each call")
    desk = Desk()
    functions = {"orders": desk.orders, "refund": desk.refund}
    with Session(language, policy=POLICY, functions=functions, before_call=desk.judge, turn=TURN) as session:
        return [cell.promise for cell in cells if not shown(cell, session.eval(cell.source), desk)]


def shown(cell: Cell, turn: Turn, desk: Desk) -> bool:
    """Show a cell and what came of it, and judge that."""
    print(f"\n  {paint(cell.promise, BOLD)}")
    for line in cell.source.splitlines():
        print(f"  > {line}")
    error = f"{turn.error.type}: {turn.error.message}" if turn.error else ""
    excerpt(turn.text or error or ("" if turn.value is None else repr(turn.value)), SHOWN_LINES)
    kept = cell.holds(turn, desk)
    print(paint("  as promised", GREEN) if kept else paint(f"  NOT AS PROMISED: {turn!r}", RED), flush=True)
    return kept


if __name__ == "__main__":
    sys.exit(main())
