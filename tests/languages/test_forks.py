"""Forks of languages: each branch is as if it had run from the start, and what must differ does."""

from __future__ import annotations

import os
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
TURNS["sqlite"] = [
    "insert into S values({R});",
    "insert into S with recursive c(n) as (select 0 union all select n + 1 from c where n < {R} % 50) select n from c;",
    "delete from S where rowid % 3 = 0;",
    "insert into S values(replace(hex(zeroblob({R} % 200)), '0', '{R}'));",
    "create table if not exists T{R}(a); insert into S select count(*) from sqlite_master;",
    "create index if not exists I on S(x); insert into S select x from S order by x limit 1;",
    "begin; insert into S values(-{R}); rollback;",
    "savepoint a; insert into S values('{R}'); release a;",
    "create temp table if not exists K(x); insert into K values({R}); insert into S select sum(x) from K;",
    "insert into S select json_object('n', {R}, 'last', (select count(*) from S));",
    "update S set x = x || '-' where rowid = (select max(rowid) from S);",
    "create table if not exists L(b); insert into L values(zeroblob({R} * 10)); insert into S select count(*) from L;",
]
TURNS["ruby"] = [
    "$s << {R}; 0",
    "({R} % 50).times {{ |each| $s << each }}; 0",
    "$s = $s.each_with_index.reject {{ |_, at| at % 3 == 2 }}.map(&:first); 0",
    "$s << '{R}' * ({R} % 400); 0",
    "require 'json'; $s << JSON.generate([{R}, $s.last(3).map(&:to_s)]); 0",
    "seen = 0; $f = ->(x) {{ seen += x }}; $s << $f.({R}); 0",
    "$s << ($f ? $f.({R}) : -1); 0",
    "$g = Enumerator.new {{ |to| n = {R}; loop {{ to << n; n += 1 }} }}; 0",
    "$s << ($g ? $g.take(2).sum : -2); 0",
    "$s << '{R}'.gsub(/[0-4]+/, '-'); 0",
    "begin; 1 / ({R} % 2); rescue ZeroDivisionError => error; $s << error.message; end; 0",
    "$held = 'x' * ({R} * 40); GC.start; $s << $held.size; 0",
    "Random.srand({R}); $s << rand; 0",
]
TURNS["perl"] = [
    "push @S, {R}; 0;",
    "push @S, $_ for 1 .. {R} % 50; 0;",
    "@S = map {{ $S[$_] }} grep {{ $_ % 3 }} 0 .. $#S; 0;",
    "push @S, '{R}' x ({R} % 400); 0;",
    "use List::Util 'sum0'; push @S, sum0 1 .. {R} % 9; 0;",
    "our $seen = 0; sub f {{ $seen += $_[0] }} push @S, f({R}); 0;",
    "push @S, $seen ? f({R}) : -1; 0;",
    "our %H; $H{{{R} % 7}}++; push @S, join '', map {{ $_, $H{{$_}} }} sort keys %H; 0;",
    "push @S, '{R}' =~ s/[0-4]+/-/gr; 0;",
    'eval {{ die "e{R}\\n" }}; chomp $@; push @S, $@; 0;',
    "my $held = 'x' x ({R} * 40); push @S, length $held; 0;",
    "srand {R}; push @S, int rand 1e6; 0;",
]
TURNS["php"] = [
    "$S[] = {R}; 0;",
    "for ($i = 0; $i < {R} % 50; $i++) $S[] = $i; 0;",
    "$S = array_values(array_filter($S, fn($at) => $at % 3 !== 2, ARRAY_FILTER_USE_KEY)); 0;",
    "$S[] = str_repeat('{R}', {R} % 400); 0;",
    "$S[] = json_encode([{R}, array_slice($S, -3)]); 0;",
    "$seen = 0; $f = function ($x) use (&$seen) {{ return $seen += $x; }}; $S[] = $f({R}); 0;",
    "$S[] = isset($f) ? $f({R}) : -1; 0;",
    "$g = (function () {{ for ($n = {R};; $n++) yield $n; }})(); 0;",
    "$S[] = isset($g) ? $g->current() : -2; if (isset($g)) $g->next(); 0;",
    "$S[] = preg_replace('/[0-4]+/', '-', '{R}'); 0;",
    "try {{ intdiv(1, {R} % 2); }} catch (DivisionByZeroError $e) {{ $S[] = $e->getMessage(); }} 0;",
    "$o ??= new ArrayObject; $o['{R}'] = [$o]; gc_collect_cycles(); $S[] = count($o); 0;",
    "mt_srand({R}); $S[] = mt_rand(0, 99); 0;",
    "eval('$S[] = {R} % 7;'); 0;",
]
TURNS["python-data"] = [
    *TURNS["python"],
    "import numpy as np; A = np.arange({R} % 1000); S.append(float(A.sum()))",
    "S.append(float((A * {R}).mean()) if 'A' in globals() and len(A) else -4)",
    "import pandas as pd; D = pd.DataFrame({{'a': range({R} % 40), 'b': [{R}] * ({R} % 40)}})",
    "S.append(repr(D.groupby('b').a.sum().to_dict()) if 'D' in globals() else -5)",
    "import numpy as np; np.random.seed({R}); S.append(float(np.random.random()))",
]
BEGIN = {
    "python": "S = []",
    "javascript": "globalThis.S = []; 0",
    "lua": "S = {}",
    "sqlite": "create table S(x);",
    "ruby": "$s = []; 0",
    "perl": "@S = ();",
    "php": "$S = [];",
}
ASK = {
    "python": "repr(S)",
    "javascript": "JSON.stringify(S)",
    "lua": "table.concat(S, ' ')",
    "sqlite": "select coalesce(group_concat(x, ' '), '') as told from S;",
    "ruby": "$s.inspect",
    "perl": "join ' ', @S",
    "php": "json_encode($S);",
}
PRINT = {
    "python": "print(repr(S))",
    "javascript": "console.log(JSON.stringify(S))",
    "lua": "print(table.concat(S, ' '))",
    "sqlite": ASK["sqlite"],
    "ruby": "puts $s.inspect",
    "perl": "print join(' ', @S), qq(\\n)",
    "php": "echo json_encode($S), PHP_EOL;",
}
for told_as in (BEGIN, ASK, PRINT):
    told_as["python-data"] = told_as["python"]
# Those that came last share the engine with the others: one seed each, here and in workers.
SEEDS = {"sqlite": [0, 4], "ruby": [0, 4], "perl": [0, 4], "php": [0, 4], "python-data": [0, 4]}


def told(session: Session, language: str) -> str:
    """Ask a session for all that it has come to, as a run prints it."""
    value = session.eval(ASK[language]).value
    return str(value[0]["told"] if language == "sqlite" else value)


def compare(session: Session, turns: list[str], language: str, replaying: list[Sandbox]) -> None:
    """Hold a session to what another one, and runs, come to by the same turns."""
    with Session(language=language) as replay:
        for turn in [BEGIN[language], *turns]:
            replay.eval(turn)
        expected = told(replay, language)
    assert expected == told(session, language), turns
    source = "\n".join([BEGIN[language], *turns, PRINT[language]])
    for sandbox in replaying:
        assert f"{expected}\n" == sandbox.run(code=source).stdout.decode(), turns


@pytest.mark.timeout(1200)  # where python-data is compiled
@pytest.mark.parametrize(
    ("language", "seed"), [(language, seed) for language in TURNS for seed in SEEDS.get(language, range(5))]
)
def test_every_branch_is_what_a_replay_from_the_start_comes_to(
    language: str, seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """
    Sessions are forked at random turns, directly, by snapshots and files, and forked again, here and in workers.

    Runs replay them too: in new stores, in stores that were rewound, and in spares. `RINGFENCE_FORK_SEED` is added to
    the seeds, for others than these.
    """
    name = language.replace("-", "_")
    pytest.importorskip(f"ringfence_language_{name}", reason=f"NOT TESTED: the pack {language} is not installed")
    if language in {"perl", "php", "ruby", "python-data"}:
        request.getfixturevalue(f"compiled_{name}")
    draw = random.Random(seed + int(os.environ.get("RINGFENCE_FORK_SEED", "0")))  # noqa: S311
    isolation: Literal["wasm", "worker"] = "worker" if seed == 4 else "wasm"
    replaying = [
        Sandbox(language=language),
        Sandbox(language=language, reuse="tenant", tenant="a tenant"),
        Sandbox(language=language, spares=2),
    ]
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
                if draw.random() < 0.5:
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
            compare(session, turns, language, replaying)
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
        ("perl", "srand 1; rand", "rand"),
        ("php", "mt_srand(1); lcg_value();", "mt_rand() . ' ' . lcg_value() . uniqid('', true)"),
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
