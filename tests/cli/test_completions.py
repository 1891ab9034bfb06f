"""`ringfence completions`."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from ringfence.cli._parser import parser
from ringfence.cli._verbs import VERBS

if TYPE_CHECKING:
    from conftest import Command


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_verb_and_flag_is_offered(ringfence: Command, shell: str) -> None:
    """The scripts are written from the parsers, so that they cannot fall behind."""
    script = ringfence("completions", shell).stdout

    flags = {name for verb in VERBS for action in parser(verb)._actions for name in action.option_strings}
    wanted = {name for name in flags if name.startswith("--")} | set(VERBS)
    assert set() == {name for name in wanted if name.removeprefix("--") not in script}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_is_one_the_shell_can_read(ringfence: Command, shell: str) -> None:
    """Where the shell is there, it finds no fault."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    script = ringfence("completions", shell).stdout

    subprocess.run([shell, "-n"], input=script, text=True, check=True)


def complete(script: str, *words: str) -> set[str]:
    """Ask bash what it would offer for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    asked = f'COMP_WORDS=({line})\nCOMP_CWORD={len(words) - 1}\n_ringfence\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    return set(
        subprocess.run(["bash"], input=f"{script}\n{asked}", text=True, capture_output=True, check=True).stdout.split()
    )


def test_bash_completes(ringfence: Command) -> None:
    """Verbs first, then the flags of the verb, then the values of a flag."""
    script = ringfence("completions", "bash").stdout

    assert {"compile", "completions"} <= complete(script, "ringfence", "comp")
    assert {"--memory"} == complete(script, "ringfence", "run", "--mem")
    assert {"coarse"} == complete(script, "ringfence", "run", "--clock", "coa")
