"""Hints that name the flag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ringfence import Dir, Limits, Net, Policy, Result
from ringfence._engine import core
from ringfence.cli._hints import limit_hint, refusal_hint

if TYPE_CHECKING:
    from pathlib import Path


def refused(*denials: tuple[str, str], limit: str | None = None) -> Result:
    """Make the result of a run that was refused these, one after the other."""
    usage: Any = (0.5, 0.25, 65536, 6, None)
    entries = [(kind, what, 1, float(at)) for at, (kind, what) in enumerate(denials)]
    outcome = "limited" if limit else "exited"
    return Result(core.Result(outcome, 1, b"", b"", limit, None, None, False, usage, entries))


def test_refused_read_names_the_directory() -> None:
    """The flag grants the directory of what was wanted, where the guest looked for it."""
    expected = (
        "the guest was refused a read of `/etc/passwd`, the policy grants nothing: "
        "add `--dir /etc:/etc`, or leave it so"
    )
    assert expected == refusal_hint(refused(("read", "/etc/passwd")), Policy())


def test_refused_write_names_the_grant_with_its_mode(tmp_path: Path) -> None:
    """A grant for reading is named again, with `:rw`."""
    policy = Policy(dirs=[Dir(tmp_path, at="/data")])
    expected = (
        "the guest was refused a write of `/data/out`, the policy grants only `/data`: "
        f"grant it as `--dir {tmp_path}:/data:rw`, or leave it so"
    )
    assert expected == refusal_hint(refused(("write", "/data/out")), policy)


@pytest.mark.parametrize(
    ("denial", "flag"),
    [
        (
            ("connect", "tcp://10.0.0.5:80"),
            "a connection to `tcp://10.0.0.5:80`, the policy grants nothing: add `--net 10.0.0.5:80`",
        ),
        (("connect", "tcp://[::1]:80"), "add `--net '[::1]:80'`"),
        (("connect", "udp://1.1.1.1:53"), "add `--net udp://1.1.1.1:53`"),
        (
            ("resolve", "db.example.com"),
            "the name `db.example.com`, the policy grants nothing: add `--net db.example.com:PORT`",
        ),
        (("resolve", "db.example.com at 10.0.0.5 (private)"), "add `--net 10.0.0.5:PORT`"),
        (("resolve", "db.example.com at fd00::1 (private)"), "add `--net '[fd00::1]:PORT'`"),
        (("resolve", "a\\u{1b}b"), "grant it with `--net HOST:PORT`"),
        (("resolve", "a;reboot"), "add `--net 'a;reboot:PORT'`"),
        (("listen", "tcp://0.0.0.0:80"), "to be reached at `tcp://0.0.0.0:80`, which no policy grants"),
    ],
)
def test_refused_network_names_its_flag(denial: tuple[str, str], flag: str) -> None:
    """What was asked for and no more, quoted for a shell."""
    assert flag in str(refusal_hint(refused(denial), Policy()))


def test_refused_network_tells_what_is_granted() -> None:
    """A port that is off by one is seen at once."""
    policy = Policy(net=Net(tcp=["db.example.com:5432"], udp=["1.1.1.1:53"]))

    hint = str(refusal_hint(refused(("resolve", "dc.example.com")), policy))
    assert "the policy grants only `db.example.com:5432`, `udp://1.1.1.1:53`: add" in hint


def test_hint_of_very_many_refusals_is_one_of_them() -> None:
    """What stands for the rest can be granted with no flag."""
    denials = ("resolve", "a.example.com"), ("resolve", "(more than are kept apart)")

    assert "add `--net a.example.com:PORT`" in str(refusal_hint(refused(*denials), Policy()))


def test_last_refusal_is_the_one_that_counts() -> None:
    """What a program looked for first and did without is not why it failed."""
    assert "/etc/group" in str(refusal_hint(refused(("read", "/etc/passwd"), ("read", "/etc/group")), Policy()))


def test_refusal_that_no_flag_mends_has_no_hint() -> None:
    """Nor has what was refused before that."""
    assert refusal_hint(refused(("read", "/etc/passwd"), ("read", "/dev/x")), Policy()) is None


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("memory", "--memory 2MiB"),
        ("open_files", "--open-files 16"),
        ("connections", "--connections 4"),
        ("disk", "--disk 2KiB"),
        ("files", "--files 6"),
    ],
)
def test_refused_amount_names_its_flag_with_twice_as_much(kind: str, flag: str) -> None:
    """An amount that was too small comes with one that may do."""
    policy = Policy(limits=Limits(memory="1MiB", open_files=8, connections=2, disk=1024, files=3))

    assert flag in str(refusal_hint(refused((kind, "")), policy))


@pytest.mark.parametrize(
    ("limit", "flag"),
    [("wall", "--wall 4s"), ("cpu", "--cpu 1s"), ("output", "--output 2KiB"), ("fuel", "--fuel 2000")],
)
def test_limit_names_its_flag_with_twice_as_much(limit: str, flag: str) -> None:
    """A limit that ended a run comes with the flag that raises it."""
    policy = Policy(limits=Limits(wall="2s", cpu="500ms", output="1KiB", fuel=1000))

    assert flag in str(limit_hint(refused(limit=limit), policy))


def test_path_that_cannot_be_shown_is_not_suggested() -> None:
    """A path with control characters is told escaped, and the flag has a place to fill in."""
    hint = str(refusal_hint(refused(("read", "/a\x1b[2J/b")), Policy()))

    assert "\x1b" not in hint
    assert "--dir HOST:GUEST" in hint


def test_nothing_refused_is_nothing_to_hint_at() -> None:
    """A program that fails by itself is left to say why."""
    assert refusal_hint(refused(), Policy()) is None
    assert limit_hint(refused(), Policy()) is None


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("GET https://a.example.com/v1/x", "add `--http 'GET https://a.example.com/v1/x'`"),
        ("DELETE http://127.0.0.1:80/", "add `--http 'DELETE http://127.0.0.1:80/'`"),
        ("GET https://a.example.com/%2e'; rm x", 'grant it with `--http "METHOD https://HOST/PATH/*"`'),
        ("GET https://a.example.com/\\u{1b}", "grant it with `--http"),
        ("CONNECT https://a.example.com/ (a method that is never sent)", "which no policy grants"),
    ],
)
def test_refused_request_names_the_flag_for_it_alone(what: str, said: str) -> None:
    """That method and that path, quoted for a shell; what nobody is granted has no flag."""
    assert said in str(refusal_hint(refused(("http", what)), Policy()))


def test_names_that_are_no_files_are_not_hinted_at() -> None:
    """An interpreter looks for the lines of `<string>` when it prints a traceback: nothing failed of that."""
    result = refused(("read", "/etc/passwd"), ("read", "/<string>"), ("read", "/<unknown>"))

    assert "add `--dir /etc:/etc`" in str(refusal_hint(result, Policy()))
    assert refusal_hint(refused(("read", "/<string>")), Policy()) is None
