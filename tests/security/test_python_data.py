"""Attacks on what runs and forks of `python-data` may not share: random numbers, names, identifiers, secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ringfence import Sandbox, Session

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence import Snapshot

pytest.importorskip(
    "ringfence_language_python_data",
    reason="NOT TESTED: python-data is not installed (`ringfence languages install python-data`: minutes, 2 GB)",
)
pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("compiled_python_data")]

# All that a program may take for a number that nobody else has, each under its name.
DRAWS = """
import random, secrets, tempfile, uuid
import numpy as np, scipy.stats, pandas as pd
from os import urandom

def drawn():
    frame = pd.DataFrame({"a": range(1 << 16)})
    return {
        "random": random.random(),
        "random.getrandbits": random.getrandbits(64),
        "random.Random": random.Random().random(),
        "SystemRandom": random.SystemRandom().random(),
        "os.urandom": urandom(8).hex(),
        "secrets": secrets.token_hex(8),
        "uuid4": str(uuid.uuid4()),
        "uuid7": str(uuid.uuid7()),
        "tempfile": next(tempfile._get_candidate_names()),
        "np.random": float(np.random.rand()),
        "np.random.bytes": np.random.bytes(8).hex(),
        "RandomState": float(np.random.RandomState().rand()),
        "default_rng": float(np.random.default_rng().random()),
        "Philox": float(np.random.Generator(np.random.Philox()).random()),
        "SeedSequence": str(np.random.SeedSequence().entropy),
        "scipy.stats": float(scipy.stats.norm.rvs()),
        "DataFrame.sample": repr(frame.sample(4).a.tolist()),
        "permutation": repr(np.random.permutation(1000)[:8].tolist()),
    }
"""


@pytest.fixture(scope="module")
def used() -> Snapshot:
    """Keep a session in which everything was drawn from before: whatever is made at first use is made."""
    with Session("python-data") as session:
        assert session.eval(f"{DRAWS}\ndrawn()").error is None
        return session.snapshot()


def assert_nobodys(draws: list[dict[str, object]]) -> None:
    """No source gives the same twice."""
    same = {name: [draw[name] for draw in draws] for name in draws[0]}
    assert {} == {name: each for name, each in same.items() if len(set(each)) < len(each)}


def test_fork_cannot_tell_what_another_draws(used: Snapshot) -> None:
    """Nor the session that was captured, which goes on; nor a fork of a fork."""
    forks = used.fork_many(3)
    forks.append(forks[0].fork())
    assert_nobodys([fork.eval("drawn()").value for fork in forks for _ in range(2)])


def test_run_cannot_tell_what_another_draws() -> None:
    """Each begins from the same pack, on memory that was another's, or rewound."""
    code = f"{DRAWS}\nprint(repr(drawn()))"
    draws = []
    for sandbox in (Sandbox(language="python-data"), Sandbox(language="python-data", reuse="tenant", tenant="alice")):
        for _ in range(3):
            result = sandbox.run(code=code).check()
            draws.append(eval(result.text))  # noqa: S307 - literals of ours
    assert_nobodys(draws)


def test_saved_session_draws_anew_each_time_it_is_loaded(used: Snapshot, tmp_path: Path) -> None:
    """A file can be loaded twice."""
    from ringfence import Snapshot

    used.save(tmp_path / "used.snapshot")
    loaded = [Snapshot.load(tmp_path / "used.snapshot") for _ in range(2)]
    assert_nobodys([one.fork().eval("drawn()").value for one in loaded])


def test_numbers_of_numpy_are_seeded_with_more_than_one_word(used: Snapshot) -> None:
    """All seeds of 32 bits can be tried in minutes: such a state begins with the first number of one of them."""
    # `seed(n)` makes a state whose first word is n, before it is drawn from; one that is seeded by several has 2**31.
    state = "np.random.seed(7); one = int(np.random.get_state()[1][0])\none"
    assert 7 == used.fork().eval(state).value
    assert 1 << 31 == used.fork().eval("int(np.random.get_state()[1][0])").value


def test_generator_that_was_seeded_goes_on_as_it_was(used: Snapshot) -> None:
    """What a program seeds is its own: forks of it repeat, as a copy of it would."""
    with used.fork() as fork:
        fork.eval("mine = np.random.default_rng(7); theirs = random.Random(7)")
        copies = [fork.fork().eval("[float(mine.random()), theirs.random()]").value for _ in range(2)]
    assert copies[0] == copies[1]


def test_seed_of_hashes_is_the_packs(used: Snapshot) -> None:
    """As the page says: it cannot be renewed without making every dict anew, and is nobody's secret."""
    with used.fork() as one, used.fork() as other:
        assert one.eval("hash('text')").value == other.eval("hash('text')").value
