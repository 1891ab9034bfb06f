"""
How deep Ruby may go before it says so itself: functions that call themselves count what they take of the stack.

A module cannot ask how much of the engine's stack is left. Ruby's own question, `rb_ec_stack_check`, is answered by
what is counted here. A function that is left for its host, or by a jump, returns to whoever called it, and is called
again where it goes on: so the count is right at any moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from packs.components.thrown import Types, function_types
from packs.python_data import merge

if TYPE_CHECKING:
    from collections.abc import Callable

# The stack of a language has 4 MiB. What is left is for functions that are not counted, and that end.
MOST_BYTES = 3600 << 10
# What a call of each takes, with what it calls until another that is counted: measured, and a little more. Those that
# can be jumped to take memory too, as much as the stack is deep.
COUNTED = {
    "rb_vm_exec": 2000, "ruby_qsort": 600, "rb_iterate0": 3500, "rb_ensure": 3000, "rb_protect": 2500,
    "rb_vrescue2": 2500, "vm_catch_protect": 2500,
}  # fmt: skip
# They call themselves, or the interpreter, and nobody asks whether they may: so it is asked before they begin.
ASKED = {
    "vm_call0_body": 900, "rb_f_eval": 2500, "eval_string_with_cref": 2500, "w_object": 700, "r_object_for": 900,
    "generate_json": 700, "JSON_parse_value": 700, "exec_recursive": 3000,
}  # fmt: skip
# `ec_stack_overflow(ec, false)`: as where no signal tells of a full stack, and so without a backtrace.
UNTRACED, TRACED = b"\x20\0\x41\0\x10", b"\x20\0\x41\1\x10"
GET, SET, CONSTANT, CALL, RETURN, END = b"\x23", b"\x24", b"\x41", b"\x10", b"\x0f", b"\x0b"
ADD, SUBTRACT, OR, ABOVE = b"\x6a", b"\x6b", b"\x72", b"\x4b"
COUNTER = b"\x7f\1\x41\0\x0b"


@dataclass(frozen=True)
class Depth:
    """
    What counts, in a module.

    Attributes:
        names: the numbers of its functions.
        counter: the number of the global that is counted in.
        context: where the address of what runs now lies.
    """

    names: dict[str, int]
    counter: int
    context: int

    @property
    def too_deep(self) -> bytes:
        """Give the instructions that tell it."""
        return GET + merge.number(self.counter) + CONSTANT + merge.signed(MOST_BYTES) + ABOVE

    def counting(self, cost: int, call: bytes, _: object = None) -> bytes:
        """Give a call that is counted while it lasts."""
        counter = merge.number(self.counter)
        change = CONSTANT + merge.signed(cost)
        return b"".join(
            GET + counter + change + act + SET + counter + rest for act, rest in ((ADD, call), (SUBTRACT, b""))
        )

    def asking(self, cost: int, call: bytes, answers: object) -> bytes:
        """Give the same for a function that nobody asks: what comes back where it is too deep comes back to raise."""
        context = CONSTANT + merge.signed(self.context) + b"\x28\2\0"
        raised = context + CONSTANT + b"\0" + CALL + merge.number(self.names["rb_ec_stack_overflow"])
        raised += (CONSTANT + b"\0" if answers else b"") + RETURN
        return self.too_deep + b"\x04\x40" + raised + END + self.counting(cost, call)


def counted(module: merge.Module, context: int) -> None:
    """Let its functions count, and Ruby's question be answered by that."""
    names, types, kinds = module.named(), Types(module.sections[merge.TYPE]), function_types(module)
    if missing := {*COUNTED, *ASKED, "rb_ec_stack_check", "rb_ec_stack_overflow", "ec_stack_overflow"} - names.keys():
        raise merge.MergeError(f"it has no function {', '.join(sorted(missing))}")
    bodies, added = list(module.bodies()), list[bytes]()
    depth = Depth(names, merge.Reader(module.sections[merge.GLOBAL]).number(), context)
    module.sections[merge.GLOBAL] = merge.counted(module.sections[merge.GLOBAL], 1, COUNTER)

    def surround(name: str, surrounding: Callable[[bytes, list[int]], bytes]) -> None:
        """Put a function behind one that takes its number."""
        at = names[name] - len(module.imports)
        given, answers = types.parts(kinds[names[name]])
        call = b"".join(b"\x20" + merge.number(each) for each in range(len(given)))
        call += CALL + merge.number(len(kinds) + len(added))
        added.append(merge.number(kinds[names[name]]))
        bodies.append(bodies[at])
        bodies[at] = b"\0" + surrounding(call, answers) + END

    for name, cost in COUNTED.items():
        surround(name, partial(depth.counting, cost))
    for name, cost in ASKED.items():
        surround(name, partial(depth.asking, cost))
    surround("rb_ec_stack_check", lambda call, _: call + depth.too_deep + OR)
    at = names["rb_ec_stack_overflow"] - len(module.imports)
    overflow = merge.number(names["ec_stack_overflow"])
    if bodies[at].count(UNTRACED + overflow) != 1:
        raise merge.MergeError("rb_ec_stack_overflow is not what it was")
    bodies[at] = bodies[at].replace(UNTRACED + overflow, TRACED + overflow)
    module.sections[merge.FUNCTION] = merge.counted(module.sections[merge.FUNCTION], len(added), b"".join(added))
    module.sections[merge.CODE] = merge.number(len(bodies)) + b"".join(map(merge.blob, bodies))
