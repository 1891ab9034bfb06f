"""`Snapshot` and the forks of a session, as their caller sees them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Literal

import pytest

import ringfence
from ringfence import Limits, Policy, Session, SessionError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")


@pytest.fixture(params=["wasm", "process"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    """Open a session that has defined something."""
    with Session(language="python", isolation=request.param) as session:
        session.eval("x = [1]")
        yield session


def test_fork_goes_on_from_where_the_session_was(session: Session) -> None:
    """And neither sees what the other does then."""
    with session.fork() as fork:
        session.eval("x.append(2)")
        fork.eval("x.append(3)")

        assert ([1, 2], [1, 3]) == (session.eval("x").value, fork.eval("x").value)
        assert fork.policy is session.policy
        assert fork.program is session.program


def test_many_forks_are_as_many(session: Session) -> None:
    """None is a list, and less than none is an error."""
    assert [] == session.fork_many(0)
    forks = session.fork_many(7)
    assert [[1, each] for each in range(7)] == [fork.eval(f"x + [{each}]").value for each, fork in enumerate(forks)]
    with pytest.raises(ValueError, match="-1 forks"):
        session.fork_many(-1)


def test_snapshot_stays_as_it_was(session: Session) -> None:
    """Whatever its session, and what was forked from it, does later."""
    snapshot = session.snapshot()
    session.eval("x.append(2)")
    snapshot.fork().eval("x.append(3)")
    session.close()

    assert [[1]] * 3 == [fork.eval("x").value for fork in snapshot.fork_many(3)]
    assert "<Snapshot 'python'>" == repr(snapshot)


def test_large_snapshot_stays_as_it_was(session: Session) -> None:
    """One of which much differs from its pack is mapped and not copied."""
    session.eval("import random; random.seed(7); large = [random.random() for _ in range(300_000)]")
    total = session.eval("sum(large)").value
    snapshot = session.snapshot()
    session.eval("large.clear()")
    for _ in range(3):
        with snapshot.fork() as fork:
            assert total == fork.eval("sum(large)").value
            fork.eval("large.clear()")
            with fork.fork() as child:
                assert 0 == child.eval("len(large)").value
                child.eval("large.append(1)")
                assert [1] == child.snapshot().fork().eval("large").value


def test_functions_are_inherited_or_given_anew() -> None:
    """A fork calls those of its session, others under the same names, or none."""
    with Session(language="python", functions={"ask": lambda: "the first"}) as session:
        inherited, anew, none = (
            session.fork(),
            session.fork(functions={"ask": lambda: "another"}),
            session.fork(functions={}),
        )
        assert ("the first", "another") == (inherited.eval("ask()").value, anew.eval("ask()").value)
        assert "raised" == none.eval("ask()").outcome
        assert "the first" == session.eval("ask()").value
        with pytest.raises(ValueError, match="knows no function `other`"):
            session.fork(functions={"other": print})
        with pytest.raises(ValueError, match="nothing to call"):
            session.fork(before_call=bool)


def test_hook_is_asked_in_forks_too() -> None:
    """What judges the calls of a session judges those of its forks."""
    asked: list[str] = []

    def judge(call: ringfence.Call) -> bool:
        asked.append(call.name)
        return len(asked) < 2

    with Session(language="python", functions={"act": lambda: 1}, before_call=judge) as session:
        first, second = session.fork_many(2)
        assert 1 == first.eval("act()").value
        assert "raised" == second.eval("act()").outcome
    assert ["act", "act"] == asked


def test_session_that_is_over_or_at_work_is_not_forked(session: Session) -> None:
    """It says why, as a turn would."""
    refused: list[str] = []

    def inside() -> None:
        try:
            calling.fork()
        except SessionError as error:
            refused.append(str(error))

    with Session(language="python", functions={"inside": inside}) as calling:
        calling.eval("inside()")
    assert "a turn is under way" in refused[0]
    session.close()
    for act in (session.fork, session.snapshot):
        with pytest.raises(SessionError, match="closed"):
            act()


def test_forks_of_a_session_in_isolation_have_processes_of_their_own() -> None:
    """One that is stopped there is poisoned alone, and what was forked from it lives on."""
    with Session(language="python", isolation="process", functions={"act": lambda: 7}) as session:
        session.eval("x = [act()]")
        snapshot = session.snapshot()
        first, second = session.fork_many(2)
        first.eval("import os; os._exit(3)")
        session.close()
        with second, second.fork() as third, snapshot.fork() as fourth:
            assert first.poisoned
            assert [[7, 7]] * 3 == [fork.eval("x + [act()]").value for fork in (second, third, fourth)]


def test_fork_has_the_narrower_policy_that_it_is_given() -> None:
    """And all else of its session; what is given to each turn is no more than the policy's."""
    narrow = Policy(limits=Limits(wall="5s"))
    with Session(language="python", functions={"act": lambda: 7}, turn=Limits(wall="20s", memory="64MiB")) as acting:
        for origin in (acting, acting.snapshot()):
            with origin.fork(policy=narrow) as fork:
                assert (narrow, acting.program) == (fork.policy, fork.program)
                assert (7, "returned") == (fork.eval("act()").value, fork.eval("1").outcome)
                fork.restart()
                assert 7 == fork.eval("act()").value


@pytest.mark.parametrize("isolation", ["wasm", "process"])
def test_fork_may_count_fuel_where_its_session_did_not(isolation: Literal["wasm", "process"]) -> None:
    """It is compiled otherwise, and goes on from the same memory."""
    pytest.importorskip("ringfence_language_javascript", reason="the language pack is not installed")
    with Session(language="javascript", isolation=isolation) as session:
        session.eval("globalThis.x = [1]; 0")
        with session.fork(policy=Policy(limits=Limits(fuel=10**9))) as fork:
            turn = fork.eval("x.push(2); x.length")
            assert (2, True) == (turn.value, turn.usage.fuel is not None)


def test_wider_policy_is_refused_unless_it_is_asked_for(session: Session) -> None:
    """The error says in what it is wider; to allow what is not given is a contradiction."""
    wider = Policy(tmp=True, limits=Limits(wall="60s"))
    for origin in (session, session.snapshot()):
        with pytest.raises(
            ringfence.PolicyError, match=r"`tmp`, `limits.wall`: 1m, more than 30s(.|\n)*allow_wider=True"
        ):
            origin.fork(policy=wider)
        with origin.fork(policy=wider, allow_wider=True) as fork:
            assert "returned" == fork.eval("open('/tmp/x', 'w').close()").outcome
        with pytest.raises(ValueError, match="allow_wider without policy"):
            origin.fork(allow_wider=True)
    assert [1] == session.eval("x").value


def test_totals_and_restart_are_a_forks_own() -> None:
    """What the session has used is not counted against its fork, and a fork begins anew as any session does."""
    policy = Policy(limits=Limits(wall="5s"))
    with Session(language="python", policy=policy) as session:
        session.eval("import time; time.sleep(3); x = 1")
        with session.fork() as fork:
            assert 1 == fork.eval("time.sleep(3)\nx").value
            fork.restart()
            assert "raised" == fork.eval("x").outcome


def test_snapshot_is_of_this_process(session: Session) -> None:
    """It is not pickled: what it holds is memory."""
    with pytest.raises(TypeError):
        pickle.dumps(session.snapshot())
