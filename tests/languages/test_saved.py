"""Saved sessions of languages: in another process each goes on as if it had never stopped."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ringfence import Session, Snapshot

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(32)

# What is begun, a piece that changes it, and a piece that asks; the last two are run over and over.
STATES = {
    "python": (
        """
import collections, functools, itertools, re
def count(start):
    while True:
        start += yield start
steps = count(10); next(steps)
class Node:
    made = 0
    def __init__(self, next): self.next = next; Node.made += 1
ring = Node(None); ring.next = Node(ring)
cached = functools.cache(lambda x: (x, Node.made)); cached(1)
held = {i: str(i) * i for i in range(300)}
pattern, half = re.compile('a+(b)'), itertools.islice(held, 5)
""",
        "steps.send({R}); held.pop({R} % 300, 0); Node(ring); next(itertools.repeat(1))",
        "repr((steps.send(1), Node.made, ring.next.next is ring, cached(1), len(held), pattern.findall('aab')))",
    ),
    "javascript": (
        """
function* count(start) { while (true) start += yield start }
globalThis.steps = count(10); steps.next();
class Node { constructor(next) { this.next = next } }
globalThis.ring = new Node(null); ring.next = new Node(ring);
globalThis.held = new Map(Array.from({length: 300}, (_, i) => [i, String(i).repeat(i)])); 0
""",
        "steps.next({R}); held.delete({R} % 300); 0",
        "JSON.stringify([steps.next(1).value, ring.next.next === ring, held.size, [...held.values()].join('').length])",
    ),
}

GO_ON = """
import json, sys
from ringfence import Snapshot
path, turns, ask = json.loads(sys.argv[1])
with Snapshot.load(path, key=bytes(32)).fork() as fork:
    for turn in turns:
        assert fork.eval(turn).outcome == "returned"
    fork.snapshot().save(path, key=bytes(32))
    print(json.dumps(fork.eval(ask).value))
"""


@pytest.mark.parametrize("language", STATES)
def test_state_goes_on_from_process_to_process(language: str, tmp_path: Path) -> None:
    """Open generators, rings, caches and patterns: each step is what one session comes to that never stopped."""
    pytest.importorskip(f"ringfence_language_{language}", reason="the language pack is not installed")
    begin, change, ask = STATES[language]
    draw, file = random.Random(5), tmp_path / "one.snapshot"  # noqa: S311
    with Session(language=language) as first, Session(language=language) as replay:
        for session in (first, replay):
            assert "returned" == session.eval(begin).outcome
        first.snapshot().save(file, key=KEY)
        for _ in range(3):
            turns = [change.replace("{R}", str(draw.randrange(1000))) for _ in range(4)]
            given = json.dumps([str(file), turns, ask])
            ended = subprocess.run([sys.executable, "-c", GO_ON, given], capture_output=True, text=True, check=False)
            for turn in turns:
                replay.eval(turn)
            with replay.fork() as asked:
                assert (0, asked.eval(ask).value) == (ended.returncode, json.loads(ended.stdout)), ended.stderr


@pytest.mark.parametrize(
    ("language", "begin", "draw"),
    [
        ("python", "import random, uuid, os; random.seed(1)", "repr([random.random(), uuid.uuid4(), os.urandom(8)])"),
        ("javascript", "Math.random()", "String(Math.random())"),
    ],
)
def test_random_numbers_differ_each_time_it_is_loaded(language: str, begin: str, draw: str, tmp_path: Path) -> None:
    """Although the file is the same."""
    pytest.importorskip(f"ringfence_language_{language}", reason="the language pack is not installed")
    with Session(language=language) as session:
        session.eval(begin)
        session.snapshot().save(tmp_path / "one", key=KEY)
        forks = [fork for _ in range(3) for fork in Snapshot.load(tmp_path / "one", key=KEY).fork_many(2)]
        drawn = [fork.eval(draw).value for fork in [*forks, session] for _ in range(2)]
    assert len(set(drawn)) == len(drawn), drawn


def test_clocks_are_those_of_the_day(tmp_path: Path) -> None:
    """Time has passed while it lay there."""
    pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
    with Session(language="python") as session:
        before = session.eval("import time; time.time()").value
        session.snapshot().save(tmp_path / "one", key=KEY)
        session.eval("time.sleep(0.3)")
    assert Snapshot.load(tmp_path / "one", key=KEY).fork().eval("time.time()").value >= before + 0.3
