"""From flags to a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence import Dir, Limits, Policy
from ringfence.cli._grants import policy_of
from ringfence.cli._parser import parser

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read(*words: str) -> Policy:
    """Read a command line."""
    return policy_of(parser("run").parse_args([*words, "tool.wasm"]))


def test_flags_are_the_words_of_the_policy(tmp_path: Path) -> None:
    """Every flag is the field of the same name."""
    policy = read(
        *("--dir", f"{tmp_path}:/data:rw", "--tmp", "--env", "A=1=2", "--env", "LANG", "--clock", "precise"),
        *("--random", "42", "--wasi", "0.3", "--on-denied", "stop", "--wall", "500ms", "--cpu", "2", "--fuel", "1000"),
        *("--memory", "1MiB", "--output", "1KiB", "--host-bytes", "2MiB", "--open-files", "8", "--compile", "1m"),
    )

    assert policy == Policy(
        dirs=[Dir(tmp_path, at="/data", mode="rw")],
        tmp=True,
        env={"A": "1=2"},
        inherit_env=["LANG"],
        clock="precise",
        random=42,
        wasi="0.3",
        on_denied="stop",
        limits=Limits(
            wall=0.5, cpu=2, fuel=1000, memory=1 << 20, output=1024, host_bytes=2 << 20, open_files=8, compile=60
        ),
    )


def test_flags_add_to_the_policy_file(tmp_path: Path) -> None:
    """Directories and variables are added, everything else is replaced, what is not named stays."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    file = tmp_path / "policy.toml"
    file.write_text(
        'tmp = true\nenv = { A = "1", B = "1" }\ninherit_env = ["C"]\n'
        '[limits]\nwall = "5s"\nmemory = "1MiB"\n[[dirs]]\nhost = "a"\n',
        encoding="utf-8",
    )

    more = ("--dir", f"{tmp_path / 'b'}:/b", "--env", "B=2", "--env", "C=3", "--wall=1s")
    policy = read("--policy", str(file), *more)

    assert (True, {"A": "1", "B": "2", "C": "3"}, ()) == (policy.tmp, policy.env, policy.inherit_env)
    assert (Dir(tmp_path / "a", at="/a"), Dir(tmp_path / "b", at="/b")) == policy.dirs
    assert (1.0, 1 << 20) == (policy.limits.wall, policy.limits.memory)


def test_no_policy_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `ringfence.toml` in the working directory grants nothing unless it is named."""
    (tmp_path / "ringfence.toml").write_text("tmp = true\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert Policy() == read()
