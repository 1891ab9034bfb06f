"""`ringfence call`: one function of a plugin, called with values in WAVE."""

from __future__ import annotations

from . import _output
from ._calling import add_plugin, made, plugin_of, yours
from ._exit import Exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.epilog = (
        "CALL is a function with its parameters: 'render(\"# hi\")', 'content.parse(\"x\")'. Values are in WAVE: 1, "
        '1.5, true, \'c\', "text", [1, 2], (1, "x"), {field: 1}, case(1), some(1), none, ok(1), err(1).'
    )
    add_plugin(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("program", metavar="PROGRAM", help="a component")
    parser.add_argument("call", metavar="CALL", help="the function and its parameters")


def execute(arguments: argparse.Namespace) -> int:
    """Call it, print what it gives, and exit with 1 where that is the bad case of a result."""
    with plugin_of(arguments) as plugin:
        (call,) = made(plugin, [arguments.call])
        with yours(arguments, plugin, call):
            value = call.run()
        returned = call.written(value)
        if arguments.json:
            import json

            usage = plugin.usage._fields()
            document = {"function": call.title, "result": returned.plain, "wave": returned.text, "usage": usage}
            _output.data(json.dumps(document, ensure_ascii=False, indent=2))
        elif returned.text is not None:
            _output.data(returned.text)
    return Exit.PROBLEM if returned.is_error else Exit.OK
