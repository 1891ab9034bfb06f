"""
An agent's session: what a model wrote runs turn by turn, calls two functions of yours, and one of them needs approval.

The model is a list of what one wrote; with a real one the loop is the same.
"""

from __future__ import annotations

import sys

import ringfence

ORDERS = {"A-7": 120.0, "B-2": 40.5, "C-3": 9.9}
MOST_WITHOUT_ASKING = 50.0

WROTE = [
    "help(price)",
    "totals = {order: price(order) for order in ('A-7', 'B-2', 'C-3')}\ntotals",
    "refund('B-2', totals['B-2'])",
    "refund('A-7', totals['A-7'])",
    "try:\n    refund('A-7', totals['A-7'])\nexcept PermissionError as error:\n    print('I was told:', error)",
    "import os\nos.listdir('/'), dict(os.environ)",
    "open('/etc/passwd').read()",
    "while True: pass",
    "sum(totals.values())",
]


def price(order: str) -> float:
    """Look up what was paid for an order."""
    return ORDERS[order]


def refund(order: str, amount: float) -> str:
    """Pay an amount back."""
    return f"{amount:.2f} paid back for {order}"


def approve(call: ringfence.Call) -> bool:
    """Let small refunds through, and everything that is none."""
    fine = call.name != "refund" or call.args[1] <= MOST_WITHOUT_ASKING
    if call.name == "refund":
        print(f"    approval of refund{call.args}: {'yes' if fine else 'no'}")
    return fine


def main() -> int:
    """Run each turn, show what came of it, and see that the session lives to its end."""
    functions = {"price": price, "refund": refund}
    limits = ringfence.Limits(wall="1s")
    with ringfence.Session("python", functions=functions, before_call=approve, turn=limits) as session:
        for source in WROTE:
            print(f"  >>> {source}".replace("\n", "\n  ... "))
            turn = session.eval(source)
            if turn.stdout:
                print("    " + turn.stdout.decode().strip().replace("\n", "\n    "))
            if turn.error:
                print(f"    {turn.error.type}: {turn.error.message}")
            elif turn.value is not None:
                print(f"    {turn.value!r}")
    return 0 if turn.value == sum(ORDERS.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
