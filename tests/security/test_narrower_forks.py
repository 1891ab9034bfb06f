"""Forks under a narrower policy: what their session had is out of reach, and nobody gets more than it had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Dir, Limits, Net, Policy, PolicyError, Secret
from security.http_server import OK, Server, says
from security.isolated import Session

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
pytestmark = pytest.mark.usefixtures("isolation")

OPEN = """
import os
file = open("/data/file.txt"); writer = open("/data/new.txt", "w")
folder = os.open("/data", os.O_RDONLY)
"""

# By name, by what was open, by the numbers of descriptors, and from a directory that was held.
REACH = """
import os
found = []
def reach(act):
    try: found.append(act())
    except OSError: pass
reach(lambda: open("/data/file.txt").read())
reach(lambda: open("/data/../data/sub/../file.txt").read())
reach(lambda: os.listdir("/data"))
reach(lambda: file.read())
reach(lambda: writer.write("x") and writer.flush())
reach(lambda: os.open("file.txt", os.O_RDONLY, dir_fd=folder))
for number in range(3, 40):
    reach(lambda: os.read(number, 10))
    reach(lambda: os.open("file.txt", os.O_RDONLY, dir_fd=number))
    reach(lambda: os.open("data/file.txt", os.O_RDONLY, dir_fd=number))
found
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Give a directory with a file and a directory below."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "file.txt").write_text("SECRET")
    (tmp_path / "sub" / "deep.txt").write_text("deep")
    return tmp_path


def test_what_the_session_had_open_is_out_of_a_narrower_forks_reach(house: Path) -> None:
    """By its handles, its directories, the numbers of its descriptors, and by name."""
    policy = Policy(dirs=[Dir(house, at="/data", mode="rw")])
    with Session("python", policy=policy) as session:
        session.eval(OPEN)
        assert "SECRET" in session.eval(REACH).value
        snapshot = session.snapshot()
        for origin in (session, snapshot):
            with origin.fork(policy=Policy()) as fork:
                assert [] == fork.eval(REACH).value
                assert [] == fork.fork().eval(REACH).value
                turn = fork.eval("import os; os.stat('/data/file.txt')")
                assert ["read"] == [denial.kind for denial in turn.denials]


def test_directory_that_may_only_be_read_is_not_written_by_a_fork(house: Path) -> None:
    """Nor does a fork that has only what lies below reach what lies above."""
    with Session("python", policy=Policy(dirs=[Dir(house, at="/data", mode="rw")])) as session:
        session.eval(OPEN)
        with session.fork(policy=Policy(dirs=[Dir(house, at="/data")])) as fork:
            assert "SECRET" == fork.eval("open('/data/file.txt').read()").value
            for deed in (
                "open('/data/file.txt', 'w')",
                "writer.write('x'); writer.flush()",
                "os.unlink('/data/file.txt')",
            ):
                assert "raised" == fork.eval(deed).outcome
        with session.fork(policy=Policy(dirs=[Dir(house / "sub", at="/data/sub")])) as fork:
            assert "deep" == fork.eval("open('/data/sub/deep.txt').read()").value
            for path in ("/data/file.txt", "/data/sub/../file.txt"):
                assert "raised" == fork.eval(f"open({path!r})").outcome
    assert "SECRET" == (house / "file.txt").read_text()


def test_host_that_the_session_reached_is_out_of_a_narrower_forks_reach() -> None:
    """Also over a connection that the session kept; the server hears nothing of it."""
    with Server(says(OK)) as one, Server(says(OK)) as other:
        fetch = f"import urllib.request as r; r.urlopen('{one.url}/').read()"
        both = Policy(net=Net(http=[f"GET {one.url}", f"GET {other.url}"]))
        with Session("python", policy=both) as session:
            assert b"ok" == session.eval(fetch).value
            session.eval(f"import http.client; kept = http.client.HTTPConnection('{one.authority}'); kept.connect()")
            heard = len(one.heard)
            with session.fork(policy=Policy(net=Net(http=[f"GET {other.url}"]))) as fork:
                assert b"ok" == fork.eval(f"r.urlopen('{other.url}/').read()").value
                turn = fork.eval(fetch)
                assert "raised" == turn.outcome
                assert "http" in {denial.kind for denial in turn.denials}
                assert "raised" == fork.eval("kept.request('GET', '/'); kept.getresponse()").outcome
            assert heard == len(one.heard)


def test_variables_and_secrets_are_those_of_the_narrower_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What code has read, it knows; asked again, the host tells what the fork's policy has, and no more."""
    monkeypatch.setenv("PROD_KEY", "sk-live-0123456789")
    secret = Secret("API_KEY", env="PROD_KEY", origin="https://api.example.com")
    net = Net(http=["GET https://api.example.com/"])
    policy = Policy(env={"ONE": "1", "TWO": "2"}, net=net, secrets=[secret])
    with Session("python", policy=policy) as session:
        session.eval("import os, _ringfence_host as host; kept = os.environ['TWO']")
        with session.fork(policy=Policy(env={"ONE": "1"}, net=net)) as fork:
            assert [b"ONE=1"] == fork.eval("host.variables()").value
            assert "2" == fork.eval("kept").value
            placeholder = session.eval("os.environ['API_KEY']").value
            assert placeholder == fork.eval("os.environ['API_KEY']").value
            monkeypatch.delenv("PROD_KEY")
            fork.fork().close()  # nobody looks for the value any more


def test_directory_put_where_the_granted_one_was_is_not_the_same(house: Path) -> None:
    """Nor is one that a link leads to: what is compared is what is open, not its name."""
    (house / "out").mkdir()
    policy = Policy(dirs=[Dir(house / "sub", at="/data")])
    (house / "sub" / "link").symlink_to(house / "out")
    with Session("python", policy=policy) as session:
        with pytest.raises(PolicyError, match="dirs"):
            session.fork(policy=Policy(dirs=[Dir(house / "sub" / "link", at="/data")]))
        (house / "sub").rename(house / "gone")
        (house / "sub").mkdir()
        with pytest.raises(PolicyError, match="dirs"):
            session.fork(policy=Policy(dirs=[Dir(house / "sub", at="/data")]))
        assert "deep" == session.fork().eval("open('/data/deep.txt').read()").value


def test_nobody_gets_back_what_a_narrower_fork_lost(house: Path) -> None:
    """Neither it nor its own forks and snapshots, unless their caller says so in as many words."""
    wide = Policy(dirs=[Dir(house, at="/data")], limits=Limits(wall="20s"))
    with Session("python", policy=wide) as session:
        narrow = session.fork(policy=Policy(limits=Limits(wall="10s")))
        for origin in (narrow, narrow.snapshot(), narrow.fork()):
            with pytest.raises(PolicyError) as refused:
                origin.fork_many(2, policy=wide)
            assert "`dirs`" in refused.value.why
            assert "`limits.wall`: 20s, more than 10s" in refused.value.why
            assert "allow_wider=True" in refused.value.fix
            with origin.fork(policy=wide, allow_wider=True) as fork:
                assert "SECRET" == fork.eval("open('/data/file.txt').read()").value


def test_narrower_fork_is_held_to_its_limits() -> None:
    """Totals, memory with what it took over, and what each turn was given before."""
    with Session(
        "python", policy=Policy(limits=Limits(wall="60s", memory="128MiB")), turn=Limits(wall="30s")
    ) as session:
        session.eval("held = bytearray(20_000_000)")
        with session.fork(policy=Policy(limits=Limits(wall="200ms", memory="64MiB"))) as fork:
            assert "raised" == fork.eval("bytearray(50_000_000)").outcome
            turn = fork.eval("while True: pass")
            assert ("limited", "wall") == (turn.outcome, turn.limit)
            assert turn.usage.wall_seconds < 5
        with pytest.raises(PolicyError, match="limit `memory`"):
            session.fork(policy=Policy(limits=Limits(wall="1s", memory="24MiB")))
