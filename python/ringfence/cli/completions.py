"""`ringfence completions`: a script for a shell, written from the parsers themselves."""

from __future__ import annotations

from . import _output
from ._exit import Exit
from ._parser import parser
from ._verbs import VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_BASH = """\
# ringfence completions bash > ~/.local/share/bash-completion/completions/ringfence
_ringfence() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="{verbs}"
    else
        case "${{COMP_WORDS[1]}}:${{COMP_WORDS[COMP_CWORD-1]}}" in
{choices}
            *) case "${{COMP_WORDS[1]}}" in
{flags}
            esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    case "$word" in -*) ;; *) COMPREPLY+=($(compgen -f -- "$word")) ;; esac
}}
complete -o filenames -F _ringfence ringfence"""

_ZSH = """\
#compdef ringfence
# ringfence completions zsh > "${{fpath[1]}}/_ringfence"
_ringfence() {{
    if (( CURRENT == 2 )); then
        local -a verbs=(
{verbs}
        )
        _describe verb verbs
        return
    fi
    local verb="$words[2]"
    shift words
    (( CURRENT-- ))
    case "$verb" in
{cases}
    esac
}}
if [ "$funcstack[1]" = _ringfence ]; then _ringfence "$@"; else compdef _ringfence ringfence; fi"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what it takes."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell to write for")


def execute(arguments: argparse.Namespace) -> int:
    """Print the script."""
    _output.data({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell]())
    return Exit.OK


def _bash() -> str:
    flags, choices = [], []
    for verb in VERBS:
        names = [name for name, _ in _flags(verb)] + _words(verb)
        flags.append(f'                {verb}) words="{" ".join(names)}" ;;')
        for name, action in _flags(verb):
            if action.choices:
                choices.append(f'            {verb}:{name}) words="{" ".join(action.choices)}" ;;')
    return _BASH.format(verbs=" ".join(VERBS), flags="\n".join(flags), choices="\n".join(choices))


def _zsh() -> str:
    verbs = "\n".join(f"            '{verb}:{summary}'" for verb, summary in VERBS.items())
    cases = []
    for verb in VERBS:
        lines = [f"        {verb}) _arguments"]
        for name, action in _flags(verb):
            value = "" if action.nargs == 0 else f":{_value(action)}:{_choices(action) or '_files'}"
            told = str(action.help).replace("'", "'\\''")
            lines.append(f"            '{name}[{told}]{value}'")
        words = _words(verb)
        rest = f"({' '.join(words)})" if words else "_files"
        # What follows a program belongs to it.
        lines.append(f"            '1:{verb}:{rest}' '*:file:_files' ;;")
        cases.append(" \\\n".join(lines))
    return _ZSH.format(verbs=verbs, cases="\n".join(cases))


def _fish() -> str:
    lines = ["# ringfence completions fish > ~/.config/fish/completions/ringfence.fish"]
    for verb, summary in VERBS.items():
        lines.append(f"complete -c ringfence -n __fish_use_subcommand -f -a {verb} -d '{summary}'")
        here = f"complete -c ringfence -n '__fish_seen_subcommand_from {verb}'"
        for name, action in _flags(verb):
            value = "" if action.nargs == 0 else " -r"
            value += f" -f -a '{' '.join(action.choices)}'" if action.choices else ""
            told = str(action.help).replace("'", "\\'")
            lines.append(f"{here} -l {name.removeprefix('--')}{value} -d '{told}'")
        if _words(verb):
            lines.append(f"{here} -f -a '{' '.join(_words(verb))}'")
    return "\n".join(lines)


def _flags(verb: str) -> Iterator[tuple[str, argparse.Action]]:
    """Give the flags of a verb in the order its help has them."""
    for action in parser(verb)._actions:  # noqa: SLF001 - argparse has no other way
        for name in action.option_strings:
            if name.startswith("--"):
                yield name, action


def _words(verb: str) -> list[str]:
    """Give the words a verb takes in place of a file."""
    actions = parser(verb)._actions  # noqa: SLF001
    return [str(word) for action in actions if not action.option_strings for word in action.choices or ()]


def _choices(action: argparse.Action) -> str:
    return f"({' '.join(action.choices)})" if action.choices else ""


def _value(action: argparse.Action) -> str:
    return str(action.metavar or "value").replace(":", "\\:").replace("[", "").replace("]", "")
