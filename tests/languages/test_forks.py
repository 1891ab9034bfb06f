"""Forks of languages: each branch is as if it had run from the start, and what must differ does."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

import pytest

from ringfence import Dir, Policy, Sandbox, Session, Snapshot

if TYPE_CHECKING:
    from pathlib import Path

# Each begins from nothing or from what the others may have left; `S` is all that is asked at the end.
TURNS = {
    "python": [
        "S.append({R})",
        "S.extend(range({R} % 50))",
        "S[:] = [each for at, each in enumerate(S) if at % 3]",
        "S.append('{R}' * ({R} % 400))",
        "import json; S.append(json.dumps([{R}, S[-3:]], default=repr))",
        "def f(x, seen=[]): seen.append(x); return len(seen)\nS.append(f({R}))",
        "S.append(f({R}) if 'f' in globals() else -1)",
        "class C:\n    made = 0\n    def __init__(self): C.made += 1; self.n = C.made\nS.append(C().n)",
        "S.append(C().n if 'C' in globals() else -2)",
        "import itertools; G = itertools.count({R})",
        "S.append(next(G) if 'G' in globals() else -3)",
        "import collections, re; S.append(re.sub('[0-4]+', '-', str({R})))",
        "held = bytearray({R} * 40); S.append(len(held))",
        "try: 1 // ({R} % 2)\nexcept ZeroDivisionError as error: S.append(str(error))",
        "import random; random.seed({R}); S.append(random.random())",
        "S.append(hash('{R}'))",
    ],
    "javascript": [
        "S.push({R}); 0",
        "for (let i = 0; i < {R} % 50; i++) S.push(i); 0",
        "S = S.filter((each, at) => at % 3); 0",
        "S.push('{R}'.repeat({R} % 400)); 0",
        "S.push(JSON.stringify([{R}, S.slice(-3)])); 0",
        "globalThis.f = (() => {{ let seen = 0; return x => seen += x }})(); S.push(f({R})); 0",
        "S.push(globalThis.f ? f({R}) : -1); 0",
        "globalThis.G = (function* () {{ let n = {R}; while (true) yield n++ }})(); 0",
        "S.push(globalThis.G ? G.next().value : -2); 0",
        "S.push('{R}'.replace(/[0-4]+/, '-')); 0",
        "globalThis.held = new Uint8Array({R} * 40); S.push(held.length); 0",
        "globalThis.M ??= new Map(); M.set({R}, M.size); S.push(M.size); 0",
        "try {{ null.x }} catch (error) {{ S.push(String(error)) }}; 0",
    ],
}
TURNS["lua"] = [
    "S[#S + 1] = {R}",
    "for i = 1, {R} % 50 do S[#S + 1] = i end",
    "local T = {{}} for at, each in ipairs(S) do if at % 3 > 0 then T[#T + 1] = each end end S = T",
    "S[#S + 1] = ('{R}'):rep({R} % 400)",
    "do local seen = 0 function F(x) seen = seen + x return seen end end S[#S + 1] = F({R})",
    "S[#S + 1] = F and F({R}) or -1",
    "G = coroutine.wrap(function() local n = {R} while true do coroutine.yield(n) n = n + 1 end end)",
    "S[#S + 1] = G and G() or -2",
    "S[#S + 1] = ('{R}'):gsub('[0-4]+', '-')",
    "M = setmetatable(M or {{}}, {{__len = function() return {R} end}}) S[#S + 1] = #M",
    "S[#S + 1] = select(2, pcall(error, 'e{R}'))",
    "collectgarbage() S[#S + 1] = string.pack('z', {R}):byte(-2)",
]
BEGIN = {"python": "S = []", "javascript": "globalThis.S = []; 0", "lua": "S = {}"}
ASK = {"python": "repr(S)", "javascript": "JSON.stringify(S)", "lua": "table.concat(S, ' ')"}
PRINT = {
    "python": "print(repr(S))",
    "javascript": "console.log(JSON.stringify(S))",
    "lua": "print(table.concat(S, ' '))",
}


@pytest.mark.parametrize(("seed", "isolation"), [(0, "wasm"), (1, "wasm"), (2, "wasm"), (3, "wasm"), (4, "worker")])
@pytest.mark.parametrize("language", TURNS)
def test_every_branch_is_what_a_replay_from_the_start_comes_to(
    language: str, seed: int, isolation: Literal["wasm", "worker"], tmp_path: Path
) -> None:
    """Sessions are forked at random turns, directly, by snapshots and files, and forked again; runs replay them too."""
    pytest.importorskip(f"ringfence_language_{language}", reason="the language pack is not installed")
    draw = random.Random(seed)  # noqa: S311
    rewinding = Sandbox(language=language, reuse="tenant", tenant="a tenant")
    with Session(language=language, isolation=isolation) as first:
        first.eval(BEGIN[language])
        branches: list[tuple[Session, list[str]]] = [(first, [])]
        snapshots: list[tuple[Any, list[str]]] = []
        for _ in range(60):
            session, turns = draw.choice(branches)
            act = draw.random()
            if act < 0.1 and len(branches) < 8:
                branches.append((session.fork(), list(turns)))
            elif act < 0.15:
                snapshots.append((session.snapshot(), list(turns)))
                if isolation == "wasm" and draw.random() < 0.5:
                    snapshots[-1][0].save(tmp_path / "saved", key=bytes(32))
                    snapshots[-1] = (Snapshot.load(tmp_path / "saved", key=bytes(32)), turns[:])
            elif act < 0.2 and snapshots and len(branches) < 8:
                snapshot, then = draw.choice(snapshots)
                branches.append((snapshot.fork(), list(then)))
            else:
                turn = draw.choice(TURNS[language]).format(R=draw.randrange(100_000))
                assert "returned" == session.eval(turn).outcome
                turns.append(turn)
        branches += [(snapshot.fork(), turns) for snapshot, turns in snapshots]
        for session, turns in branches:
            with Session(language=language) as replay:
                for turn in [BEGIN[language], *turns]:
                    replay.eval(turn)
                expected = replay.eval(ASK[language]).value
            assert expected == session.eval(ASK[language]).value, turns
            source = "\n".join([BEGIN[language], *turns, PRINT.get(language, "")])
            for sandbox in (rewinding, Sandbox(language=language)) if language in PRINT else ():
                assert f"{expected}\n" == sandbox.run(code=source).stdout.decode(), turns
        for session, _ in branches:
            session.close()


@pytest.mark.parametrize(
    ("language", "begin", "draw"),
    [
        ("python", "import random, uuid, os, secrets; random.seed(1); random.random(); r = random.Random()",
         "repr([random.random(), uuid.uuid4(), os.urandom(8), secrets.token_hex(8), random.SystemRandom().random()])"),
        ("python", "import sqlite3; d = sqlite3.connect(':memory:').execute; d('select random()').fetchone(); 0",
         "d('select random()').fetchone()[0]"),
        ("javascript", "Math.random()", "String(Math.random())"),
        ("lua", "math.randomseed(1) math.random(0)", "math.random(0)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("isolation", ["wasm", "worker"])
def test_random_numbers_differ_in_every_fork(
    language: str, begin: str, draw: str, isolation: Literal["wasm", "worker"]
) -> None:
    """Those of a session, of its forks, and of two forks of one snapshot."""
    pytest.importorskip(f"ringfence_language_{language}", reason="the language pack is not installed")
    with Session(language=language, isolation=isolation) as session:
        session.eval(begin)
        snapshot = session.snapshot()
        forks = [*session.fork_many(3), *snapshot.fork_many(3), snapshot.fork().fork(), session]
        drawn = [fork.eval(draw).value for fork in forks for _ in range(2)]
        assert len(set(drawn)) == len(drawn), drawn


def test_clocks_go_on_in_a_fork() -> None:
    """A fork's time is the host's, and its monotonic clock does not go back by more than its session has lived."""
    pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
    with Session(language="python") as session:
        before = session.eval("import time; time.time()").value
        snapshot = session.snapshot()
        session.eval("time.sleep(0.3)")
        assert snapshot.fork().eval("time.time()").value >= before + 0.3


@pytest.mark.parametrize("isolation", ["wasm", "worker"])
def test_grants_are_opened_again_in_a_fork(tmp_path: Path, isolation: Literal["wasm", "worker"]) -> None:
    """Files are where they were; those that were open are not, and what was private to the session stays there."""
    pytest.importorskip("ringfence_language_python", reason="the language pack is not installed")
    (tmp_path / "file.txt").write_text("granted")
    policy = Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")], tmp=True)
    with Session(language="python", policy=policy, isolation=isolation) as session:
        session.eval("import os; file = open('/data/file.txt'); open('/tmp/own.txt', 'w').write('private')")
        with session.fork() as fork:
            assert "granted" == fork.eval("open('/data/file.txt').read()").value
            assert [] == fork.eval("os.listdir('/tmp')").value
            assert "raised" == fork.eval("file.read()").outcome
            fork.eval("open('/data/new.txt', 'w').write('by the fork')")
        assert "granted" == session.eval("file.read()").value
        assert ["own.txt"] == session.eval("os.listdir('/tmp')").value
    assert "by the fork" == (tmp_path / "new.txt").read_text()
