#!/usr/bin/env python3
# ruff: noqa: SLF001, T201
"""
Write the generated pages of docs: they are made of what the code says, and of nothing else.

    tools/docs.py            write them
    tools/docs.py --check    fail if one of them is stale
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ringfence
from ringfence import errors
from ringfence._units import seconds, size
from ringfence.cli import _exit
from ringfence.cli._parser import parser
from ringfence.cli._verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs"
NOTE = "<!-- Written by tools/docs.py: change what it is made of. -->\n"

Schema = dict[str, Any]

THREATS_HEAD = """\
Each kind of attack, what holds it, and the tests that prove that. Tests without a path lie in `tests/security`;
programs are those of `crates/guests/attacks`, run by `test_attacks.py`, by the measurement of memory and by the soak.
What counts as a vulnerability: [SECURITY.md](../../SECURITY.md).
"""


def main() -> int:
    """Write each page, or name those that are stale."""
    words = argparse.ArgumentParser(description="write the generated pages of docs")
    words.add_argument("--check", action="store_true", help="write nothing, exit with 1 if a page is stale")
    check = words.parse_args().check
    made = pages()
    stale = [name for name, page in made.items() if not is_fresh(PAGES / name, page)]
    for name in stale:
        if not check:
            (PAGES / name).write_text(made[name], encoding="utf-8")
        print(f"{'stale' if check else 'written'}: docs/{name}", file=sys.stderr)
    if check and stale:
        print("hint: run `make docs`", file=sys.stderr)
        return 1
    return 0


def is_fresh(file: Path, page: str) -> bool:
    """Tell whether a page says what it has to."""
    return file.exists() and file.read_text(encoding="utf-8") == page


def pages() -> dict[str, str]:
    """Make every page, by its file name."""
    made = {
        "reference/api.md": api(),
        "reference/cli.md": command_line(),
        "reference/exit-codes.md": exit_codes(),
        "reference/policy.md": policy(),
        "reference/result.md": result(),
        "explanation/threats.md": threats(),
    }
    return {name: f"{NOTE}{page.rstrip()}\n" for name, page in made.items()}


def threats() -> str:
    """Make the page of what hostile guests try from the catalogue of attacks."""
    parts = ["# What a hostile guest tries\n", THREATS_HEAD]
    for kind in tomllib.loads((ROOT / "tests" / "security" / "catalogue.toml").read_text(encoding="utf-8"))["kind"]:
        parts.append(f"## {kind['name'].capitalize()}\n")
        parts.append(f"*Tries:* {kind['tries']}.\n\n*Guard:* {kind['guard']}.\n")
        if "pending" in kind:
            parts.append(f"*Not there yet:* {kind['pending']}.\n")
        parts += [f"- `{test}`" for test in kind["tests"]]
        if kind["guests"]:
            parts.append(f"- programs: {', '.join(f'`{guest}`' for guest in kind['guests'])}")
        if kind["tests"] or kind["guests"]:
            parts.append("")
    return "\n".join(parts)


def policy() -> str:
    """Make the page of the policy from its schema, and the flags from the parser."""
    schema = json.loads(ringfence.Policy.schema())
    parts = [POLICY_HEAD.format(example=example()), "## Keys\n", *keys(schema, schema, flag_of)]
    for name, heading in (("Dir", "`[[dirs]]`"), ("Limits", "`[limits]`")):
        described = schema["$defs"][name]
        flags = flag_of if name == "Limits" else None
        parts += ["", f"## {heading}\n", f"{described['description']}\n", *keys(described, schema, flags)]
    parts += ["", "## Words\n"]
    for name, described in schema["$defs"].items():
        if "oneOf" in described:
            parts.append(f"**{name}.** {described['description']}\n")
            parts += [f'- `"{word["const"]}"`: {word["description"]}' for word in described["oneOf"]]
            parts.append("")
    parts += [f"**{name}.** {schema['$defs'][name]['description']}\n" for name in ("Seconds", "Bytes")]
    parts.append("The JSON schema itself is what `ringfence policy schema` and `Policy.schema()` give.")
    return "\n".join(parts)


def keys(described: Schema, schema: Schema, flags: Callable[[str], str] | None) -> Iterator[str]:
    """Make the table of one object's keys."""
    yield "| key | takes | unless given | |" + (" flag |" if flags else "")
    yield "|---|---|---|---|" + ("---|" if flags else "")
    for name, key in described["properties"].items():
        required = name in described.get("required", ())
        default = "must be given" if required else shown_default(name, key.get("default"))
        about = " ".join(key.get("description", "").split())
        row = f"| `{name}` | {takes(key, schema)} | {default} | {about} |"
        yield row + (f" {flags(name)} |" if flags else "")


def takes(key: Schema, schema: Schema) -> str:
    """Say in words what a key takes."""
    if "$ref" in key:
        name = key["$ref"].rpartition("/")[2]
        target = schema["$defs"].get(name, {})
        if "oneOf" in target:
            return " or ".join(f'`"{word["const"]}"`' for word in target["oneOf"])
        return '`"real"` or a seed' if name == "Random" else "a table" if name == "Limits" else str(name.lower())
    if "anyOf" in key:
        return " or ".join(takes(one, schema) for one in key["anyOf"] if one.get("type") != "null")
    if "enum" in key:
        return ", ".join(f"`{json.dumps(word)}`" for word in key["enum"])
    kinds = key["type"] if isinstance(key["type"], list) else [key["type"]]
    words = {"array": "a list", "object": "a table", "boolean": "`true` or `false`", "string": "text"}
    words |= {"integer": "a whole number", "number": "a number"}
    return " or ".join(words[kind] for kind in kinds if kind != "null")


def shown_default(name: str, default: object) -> str:
    """Write a default as a policy file would."""
    if default is None:
        return "see there" if name == "at" else "off"
    if name in {"memory", "output", "host_bytes"} and isinstance(default, int):
        return f'`"{size(default)}"`'
    if name in {"wall", "compile"} and isinstance(default, float):
        return f'`"{seconds(default)}"`'
    if default in ([], {}) or name == "limits":
        return "see below" if name == "limits" else "none"
    return f"`{json.dumps(default)}`"


def example() -> str:
    """Take the policy that says everything from the tests, which hold it to be right."""
    file = ROOT / "tests" / "policies" / "everything_said.toml"
    return file.read_text(encoding="utf-8").partition("\n")[2].strip()


def result() -> str:
    """Make the page of the result from its schema."""
    schema = json.loads(ringfence.Result.schema())
    parts = [RESULT_HEAD, "## Keys\n", *members(schema)]
    parts += ["", "## `usage`\n", *members(schema["properties"]["usage"])]
    parts += ["", "## `denials`\n", *members(schema["properties"]["denials"]["items"])]
    return "\n".join(parts)


def members(described: Schema) -> Iterator[str]:
    """Make the table of one object of a result."""
    yield "| key | holds | |"
    yield "|---|---|---|"
    for name, key in described["properties"].items():
        nullable = "null" in key.get("type", ()) and not isinstance(key.get("type"), str)
        kinds = takes(key, {}) + (" or null" if nullable else "")
        yield f"| `{name}` | {kinds} | {key.get('description', '')} |"


POLICY_HEAD = """\
# Policy

One object, the same words in Python, in a TOML file and as flags of `ringfence run`.
The default grants nothing. Unknown keys are errors, which name the nearest right one.

```toml
{example}
```

The keys of a file are the keyword arguments of [`Policy`](api.md#policy), [`Dir`](api.md#dir) and
[`Limits`](api.md#limits). A relative `host` is taken from where the file is; in Python and on the command line from the
working directory. No file is read unless it is named.
"""

RESULT_HEAD = """\
# Result

What `ringfence run --json` prints and `Result.json()` gives: one JSON object with every key, always.
`Result.schema()` gives its JSON schema. In Python the same names are attributes of [`Result`](api.md#result); there
`stdout` and `stderr` are bytes.

An error before a run is another object, with the one key `error`: see [errors](errors.md).
"""


CLI_HEAD = """\
# Command line

`ringfence VERB …`. `ringfence --help` lists the verbs, `ringfence VERB --help` tells about one, `ringfence --version`
tells the version. Flags are never abbreviated.

The guest owns stdout while it runs. Ringfence itself speaks on stderr; reports and `--json` go to stdout.
What it exits with is on a [page of its own](exit-codes.md).
"""

VARIABLES = """\
## Environment variables

| variable | |
|---|---|
| `RINGFENCE_CACHE` | the directory of compiled programs |
| `XDG_CACHE_HOME` | otherwise that is `ringfence/compiled` in here, or in `~/.cache` |
| `RINGFENCE_TRACEBACK` | if set, a defect of ours, or of what `--host` names, shows its whole traceback |
| `NO_COLOR`, `TERM=dumb` | no colour; there is none in a pipe either |
| `TMPDIR` | where the private `/tmp` of a guest is made |

None of them reaches a guest: `--env NAME` hands one on.
"""

EXIT_HEAD = """\
# Exit codes

What `ringfence run` exits with. A guest that ends by itself gives its own code, 255 for any above it and never 0 for
those. Such a code may be one of ours by chance: `--json` tells which of the two it was.
"""

# What a flag is called where its name is not the key's.
OTHER_FLAGS = {"dirs": "`--dir`", "env": "`--env NAME=VALUE`", "inherit_env": "`--env NAME`", "limits": "those below"}


def command_line() -> str:
    """Make the page of the command line."""
    return "\n".join([CLI_HEAD, *(line for name in VERBS for line in verb(name)), VARIABLES])


def verb(name: str) -> Iterator[str]:
    """Describe one verb."""
    made = parser(name)
    positionals = [action for action in made._actions if not action.option_strings]
    flags = [action for action in made._actions if action.option_strings and action.dest != "help"]
    synopsis = ["ringfence", name, *(["[FLAGS]"] if flags else []), *map(shown, positionals)]
    yield f"## `ringfence {name}`\n"
    yield f"{sentence(made.description or '')}\n"
    yield f"```text\n{' '.join(synopsis)}\n```\n"
    yield "| | |"
    yield "|---|---|"
    for action in positionals:
        yield row(shown(action), action)
    for action in flags:
        value = f" {shown_value(action)}" if action.nargs != 0 else ""
        yield row(f"{action.option_strings[-1]}{value}", action)
    yield f"\n{made.epilog}\n" if made.epilog else ""


def row(words: str, action: argparse.Action) -> str:
    """Write one row of a table, where a bar would end the cell."""
    return f"| `{words}` | {action.help} |".replace(words, words.replace("|", "\\|"))


def sentence(words: str) -> str:
    """Begin with a capital, end with a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def shown(action: argparse.Action) -> str:
    """Write a positional argument as usage has it."""
    name = shown_value(action)
    if action.nargs == argparse.REMAINDER:
        return f"[{name}…]"
    return {"?": f"[{name}]", "+": f"{name}…"}.get(str(action.nargs), name)


def shown_value(action: argparse.Action) -> str:
    """Write what an argument takes."""
    return str(action.metavar) if action.metavar else "{" + "|".join(map(str, action.choices or ())) + "}"


def flag_of(key: str) -> str:
    """Give the flag that says what a key of the policy says."""
    flags = [name for action in parser("run")._actions for name in action.option_strings]
    flag = f"--{key.replace('_', '-')}"
    return OTHER_FLAGS.get(key, f"`{flag}`" if flag in flags else "")


def exit_codes() -> str:
    """Make the page of exit codes from the enumeration and the errors."""
    lines = [EXIT_HEAD, "| code | name | when |", "|---|---|---|"]
    meanings = enumeration()
    codes = [(name, code) for name, code in vars(_exit.Exit).items() if name.isupper()]
    lines += [f"| {code} | {name} | {meanings.get(name, 'All went well.')} |" for name, code in codes]
    lines += ["\n## Errors and their codes\n", "| exit code | error |", "|---|---|"]
    kinds = [getattr(errors, name) for name in errors.__all__]
    by_code: dict[str, list[str]] = {}
    for kind in kinds:
        shown_code = "the guest's own" if kind is errors.GuestExited else str(kind.exit_code)
        by_code.setdefault(shown_code, []).append(f"[`{kind.__name__}`](errors.md#{kind.code})")
    lines += [
        f"| {code} | {', '.join(names)} |"
        for code, names in sorted(by_code.items(), key=lambda entry: (len(entry[0]), entry[0]))
    ]
    return "\n".join(lines)


def enumeration() -> dict[str, str]:
    """Read what the source says under each exit code."""
    [body] = [node.body for node in ast.parse(inspect.getsource(_exit.Exit)).body if isinstance(node, ast.ClassDef)]
    meanings = {}
    for member, text in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            [target] = member.targets
            meanings[ast.unparse(target)] = str(text.value.value)
    return meanings


PACKAGE = Path(ringfence.__file__).parent
WIDTH = 100
Function = ast.FunctionDef | ast.AsyncFunctionDef

API_HEAD = """\
# Python

Every public name of `ringfence`. Names that begin with an underscore may change at any time.
"""
GROUPS = {
    "Running": ["run", "arun", "Sandbox", "Process"],
    "Policies": ["Policy", "Dir", "Net", "Secret", "Limits"],
    "Programs": ["Program", "Import", "Export"],
    "Sessions": ["Session", "Snapshot", "Turn", "TurnError", "TurnUsage", "Call"],
    "Functions in sandboxes": ["Sandboxed", "SandboxPoolExecutor", "SandboxFuture"],
    "Plugins": ["Plugin", "PluginSnapshot", "PluginPool", "APlugin", "PluginUsage", "FunctionProfile"],
    "Values of plugins": ["PluginStream", "PluginFuture", "Ok", "Err", "Some"],
    "Results": ["Result", "Usage", "Denial", "Changes", "Change", "ChangedFiles"],
    "Warnings": ["CallbackAbandoned"],
}
MADE_BY_PLUGINS = {"FunctionProfile", "PluginFuture", "PluginStream", "PluginUsage"}
MADE_BY_US = MADE_BY_PLUGINS | {
    "CallbackAbandoned",
    "Change",
    "ChangedFiles",
    "Changes",
    "Denial",
    "Export",
    "Import",
    "Process",
    "Program",
    "Result",
    "SandboxFuture",
    "Turn",
    "TurnError",
    "TurnUsage",
    "Usage",
}
ALIASES = ["Arguments", "Imports", "Source", "Sink", "Outcome", "Limit"]
ALIASES_HEAD = """\
## Types in signatures

Not importable: they say what is taken and given. `HasFileno` has a method `fileno`, `Readable` a method `read`,
`Writable` a method `write`.
"""


def api() -> str:
    """Make the page of the Python names; every public name is on it."""
    grouped = {name for names in GROUPS.values() for name in names}
    missing = set(ringfence.__all__) - grouped - set(errors.__all__)
    if missing:
        raise SystemExit(f"tools/docs.py: {', '.join(sorted(missing))} is in no group\nhint: add it to GROUPS")
    lines = [API_HEAD]
    for title, names in GROUPS.items():
        lines.append(f"## {title}\n")
        lines += [line for name in names for line in described(definition(name))]
    lines += ["## Errors\n", "Each has a heading of its own on the [errors page](errors.md).\n"]
    for name in errors.__all__:
        kind = getattr(errors, name)
        lines.append(f"- [`{name}`](errors.md#{kind.code}): {(inspect.getdoc(kind) or '').splitlines()[0]}")
    return "\n".join([*lines, "", ALIASES_HEAD, "```py", *aliases(), "```"])


def definition(name: str) -> ast.ClassDef | Function:
    """Find where a public name is defined."""
    module = getattr(ringfence, name).__module__.rpartition(".")[2]
    for node in ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | Function) and node.name == name:
            return node
    raise SystemExit(f"tools/docs.py: {name} is not in {module}.py")


def described(node: ast.ClassDef | Function) -> Iterator[str]:
    """Describe a class with its members, or a function."""
    yield f"### `{node.name}`\n"
    if not isinstance(node, ast.ClassDef):
        yield from [signature(node, node.name), *text(node)]
        return
    methods = [member for member in node.body if isinstance(member, Function)]
    types = {
        ast.unparse(member.target): ast.unparse(member.annotation)
        for member in node.body
        if isinstance(member, ast.AnnAssign)
    }
    constructor = [method for method in methods if method.name == "__init__"]
    if constructor and node.name not in MADE_BY_US:
        yield signature(constructor[0], node.name)
    yield from text(node, types)
    for method in methods:
        decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
        if method.name.startswith("_") or "overload" in decorators:
            continue
        if "property" in decorators:
            returns = ast.unparse(method.returns) if method.returns else ""
            yield f"**`.{method.name}`**: `{returns}`\n".replace("'", '"')
        else:
            static = decorators & {"classmethod", "staticmethod"}
            yield f"#### `{node.name}.{method.name}`\n"
            yield signature(method, f"{node.name if static else ''}.{method.name}")
        yield from text(method)


def signature(node: Function, name: str) -> str:
    """Write a signature, one argument a line where it is long."""
    words = parameters(node.args)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    line = f"{prefix}{name}({', '.join(words)}){returns}"
    if len(line) > WIDTH:
        line = f"{prefix}{name}(\n{''.join(f'    {word},{chr(10)}' for word in words)}){returns}"
    return f"```py\n{line}\n```\n"


def parameters(args: ast.arguments) -> list[str]:
    """Write the parameters, without `self`."""
    words = []
    by_place = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [*[None] * (len(by_place) - len(args.defaults)), *args.defaults]
    for argument, default in zip(by_place, defaults, strict=True):
        if argument.arg not in {"self", "cls"}:
            words.append(parameter(argument, default))
    if args.vararg or args.kwonlyargs:
        words.append(f"*{args.vararg.arg if args.vararg else ''}")
    words += map(parameter, args.kwonlyargs, args.kw_defaults)
    words += [f"**{args.kwarg.arg}"] if args.kwarg else []
    return words


def parameter(argument: ast.arg, default: ast.expr | None) -> str:
    """Write one parameter."""
    kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
    value = f" = {ast.unparse(default)}" if default is not None else ""
    return (argument.arg + kind + value).replace("'", '"')


def text(node: ast.ClassDef | Function, types: dict[str, str] | None = None) -> Iterator[str]:
    """Turn a docstring into Markdown: its sections into lists, its examples into blocks."""
    for paragraph in re.split(r"\n\n", ast.get_docstring(node) or ""):
        title, _, body = paragraph.partition("\n")
        if title in {"Args:", "Attributes:", "Raises:"}:
            yield f"{title}\n"
            yield from items(body, types or {})
        elif paragraph.startswith(">>>"):
            yield f"```pycon\n{paragraph}\n```"
        else:
            yield paragraph
        yield ""


def items(body: str, types: dict[str, str]) -> Iterator[str]:
    """Turn the entries of a section into a list."""
    for entry in re.split(r"\n(?=\S)", inspect.cleandoc(body)):
        name, _, words = entry.partition(":")
        kind = f" (`{types[name]}`)".replace("'", '"') if name in types else ""
        yield f"- `{name}`{kind}: {' '.join(words.split())}"


def aliases() -> Iterator[str]:
    """Write the types that signatures name."""
    found = {}
    for file in sorted(PACKAGE.glob("_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ALIASES:
                found[ast.unparse(node.targets[0])] = ast.unparse(node.value).replace("'", '"')
    for name in ALIASES:
        yield f"{name} = {found[name]}"


if __name__ == "__main__":
    sys.exit(main())
