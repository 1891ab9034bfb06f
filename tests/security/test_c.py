"""Attacks in C: on the compiler, by the compiler, and by what it makes. Where C is not installed they are not run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import ringfence
from ringfence import Dir, Limits, LoadError, Policy, Sandbox
from security.isolated import options
from waiting import late

if TYPE_CHECKING:
    from pathlib import Path

    from ringfence import Result

pytest.importorskip("ringfence_language_c", reason="NOT TESTED: c is not installed (`ringfence languages install c`)")
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled_c", "isolation")]

WALL = 0.3
COMPILE = 1
MAIN = "int main(void) { return 0; }\n"


def doubled(text: str, times: int) -> str:
    """Define macros that each are the one before twice."""
    lines = [f"#define M0 {text}"] + [f"#define M{n} M{n - 1} M{n - 1}" for n in range(1, times + 1)]
    return "\n".join(lines) + f"\nM{times}\n"


# Each keeps its compiler busy, or full.
BOMBS = {
    "macros": doubled("int;", 40) + MAIN,
    "an expression of macros": "int x =\n" + doubled("1 +", 40) + "1;\n" + MAIN,
    "inclusion of itself": "#include __FILE__\n#include __FILE__\n" + MAIN,
    "nested parentheses": "int x = " + "(" * 200_000 + "1" + ")" * 200_000 + ";\n" + MAIN,
    "nested braces": "int main(void) " + "{" * 200_000 + "}" * 200_000,
    "nested blocks under the limit of brackets": "int main(void) {" + "if (1) " * 100_000 + "; return 0; }",
    "a chain of pointers": "int " + "*" * 300_000 + "p;\n" + MAIN,
    "a long expression": "int main(int n, char **v) { return " + "n + " * 300_000 + "1; }",
    "arrays of arrays": "char a" + "[1000]" * 3 + " = {1};\nchar b[4000000000u];\n" + MAIN,
    "data": "char a[1000000000] = {1};\n" + MAIN,
    "constants": "static const long long a[] = {[0 ... 200000000] = 7};\nint main(int n, char **v) { return a[n]; }",
    "loops for the optimiser": "int main(int n, char **v) { int s = 0;\n"
    + "".join(f"for (int i{k} = 0; i{k} < n; i{k}++)\n" for k in range(250)) + "s++; return s; }",
    "functions": "int f0(int a) { return a; }\n"
    + "".join(f"int f{n}(int a) {{ return a * {n} + f{n - 1}(a); }}\n" for n in range(1, 20_000)) + MAIN,
    "an assembler's repetition": '__asm__(".rept 1000000000\\n.int8 1\\n.endr\\n");\n' + MAIN,
    "an assembler's recursion": '__asm__(".macro m\\nm\\nm\\n.endm\\nm\\n");\n' + MAIN,
    "warnings": '#pragma message("x")\n' * 300_000 + MAIN,
    "switches": "int main(int n, char **v) { switch (n) {"
    + "".join(f"case {n * 7919}: return {n % 100};" for n in range(50_000)) + "} return 0; }",
}  # fmt: skip
# What the compiler is told to read. Each fails to compile, or is empty.
FILES = [
    '#include "/etc/passwd"',
    "#include </etc/passwd>",
    '#include "../../../../../../etc/passwd"',
    '#include "/dev/zero"',
    '#include "/dev/stdin"',
    '#include "/proc/self/environ"',
    '#include "/proc/self/fd/0"',
    '#embed "/etc/passwd"',
    'const char a[] = {\n#embed "/etc/passwd"\n};',
    '__asm__(".incbin \\"/etc/passwd\\"");',
    '__asm__(".include \\"/etc/passwd\\"");',
    '#pragma GCC dependency "/etc/passwd"\n#if __has_include("/etc/passwd")\n#error seen\n#endif\nx',
    '#if __has_include(<../../../../etc/passwd>) || __has_include("/etc")\n#error seen\n#endif\nx',
    '#if __has_embed("/etc/passwd")\n#error seen\n#endif\nx',
    '#pragma comment(linker, "/etc/passwd")\n#pragma comment(lib, "/etc/passwd")\nx',
    '#line 1 "/etc/passwd"\nx',
    '#include "/usr"',
    '#include "/made/object"',
    '#import "/etc/passwd"',
]
ENDLESS = [
    "for (volatile int n = 0;; n++);",
    "sleep(1000);",
    "for (;;) usleep(1000);",
    "for (;;) read(0, text, 1000);",
    "for (;;) poll(0, 0, -1);",
    "atexit(again); exit(0);",
    "signal(SIGABRT, caught); for (;;) raise(SIGABRT);",
    "jmp_buf at; setjmp(at); longjmp(at, 1);",
    "for (;;) memset(text, 1, sizeof text);",
]
TOP = """
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static char text[1 << 20];
extern char **environ;
void caught(int n) { }
void again(void) { for (volatile int n = 0;; n++); }
"""


def attack(code: str, policy: dict[str, Any] | None = None, **limits: Any) -> Result:
    """Run the attack, where the fixture says."""
    granted = Policy(limits=Limits(**{"wall": 30, "memory": "256MiB", **limits}), **(policy or {}))
    return ringfence.run(code=code, language="c", policy=granted, **options())


def alive() -> None:
    """Look whether the next run is as if nothing had been."""
    result = attack(TOP + 'int main(void) { printf("%d%d%d", 1 + 2, text[0], environ && *environ); return 4; }')
    assert ("300", b"", (), 4) == (result.text, result.stderr, result.denials, result.exit_code)


@pytest.mark.parametrize("name", BOMBS)
def test_bomb_of_source_ends_its_compiler_within_its_limits(name: str) -> None:
    """It is compiled, or refused in the compiler's words or ours, in its time; and nothing else falls."""
    began = time.monotonic()
    try:
        result = attack(BOMBS[name], compile=COMPILE)
    except LoadError as error:
        said = error.what
    else:
        said = "cannot compile"
        assert result.outcome in {"exited", "trapped", "limited"}, result
    # A text, an object, a link and the code of what came out have that time each; a worker has to be started.
    assert "cannot compile" in said
    assert time.monotonic() - began < 4 * (COMPILE + 0.5) + 10
    alive()


@pytest.mark.parametrize("code", FILES)
def test_source_sees_no_file_of_the_host(code: str) -> None:
    """Neither what is in it, nor whether it is there."""
    result = attack(f"{code}\n{MAIN}")

    assert (1, b"") == (result.exit_code, result.stdout), result
    assert b"root:" not in result.stderr
    assert b"seen" not in result.stderr.replace(b"#error seen", b"")
    alive()


def test_source_sees_only_the_folder_that_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what lies above it, by climbing or by a link; and it is read, never written."""
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.h").write_text("int secret = 7;\n", encoding="utf-8")
    (tmp_path / "in" / "link.h").symlink_to("../secret.h")
    (tmp_path / "in" / "rooted.h").symlink_to(tmp_path / "secret.h")
    monkeypatch.chdir(tmp_path / "in")
    policy = {"dirs": [Dir(".", at="/in", mode="rw")]}
    for name in ("../secret.h", "link.h", "rooted.h", str(tmp_path / "secret.h"), "/source/../secret.h"):
        result = attack(f'#include "{name}"\nint main(void) {{ return secret; }}', policy)
        assert (1, b"") == (result.exit_code, result.stdout), name
        assert b"int secret" not in result.stderr
    assert {"link.h", "rooted.h"} == {file.name for file in (tmp_path / "in").iterdir()}
    alive()


def test_sources_that_are_handed_in_open_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies beside one of them, or is named above the folder, is not there; the program finds none of them."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.h").write_text('#include "b.h"\n', encoding="utf-8")
    (tmp_path / "in" / "b.h").write_text("int secret = 7;\n", encoding="utf-8")
    (tmp_path / "c.h").write_text("int known = 7;\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "in")
    use = "int main(void) { return secret; }"
    for name in ("a.h", "b.h", "../in/b.h", "/source/b.h"):
        sandbox = Sandbox(code=f'#include "{name}"\n{use}', language="c", sources=["a.h", "../c.h"])
        assert (1, b"") == ((result := sandbox.run()).exit_code, result.stdout), name
        assert b"int secret" not in result.stderr
    code = '#include "c.h"\n#include <stdio.h>\nint main(void) { return fopen("c.h", "r") ? 1 : known; }'
    assert 7 == Sandbox(code=code, language="c", sources=["../c.h"]).run().exit_code
    alive()


def test_another_tenant_never_chooses_what_a_source_becomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is kept under the whole text: neither names nor headers nor markers of lines choose another's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "n.h").write_text("#define N 3\n", encoding="utf-8")
    policy = {"dirs": [Dir(".", at="/d")]}
    mine = '#include "n.h"\nint main(void) { return N; }\n'
    assert 3 == attack(mine, policy).exit_code
    (tmp_path / "n.h").write_text("#define N 4\n", encoding="utf-8")
    assert 4 == attack(mine, policy).exit_code
    same = '# 1 "<code>"\n# 1 "./n.h" 1\n#define N 5\n# 2 "<code>" 2\nint main(void) { return N; }\n'
    assert 5 == attack(same, policy).exit_code
    assert 4 == attack(mine, policy).exit_code
    assert 5 == attack(same).exit_code


def test_kept_program_that_was_tampered_with_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed, cut, or the one of another text under its name: without its seal it is nothing."""
    import os
    import shutil

    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    for file in os.scandir(os.environ["RINGFENCE_CACHE"]):
        if file.is_file() and not file.name.startswith("made-"):
            os.link(file.path, cache / file.name)
    monkeypatch.setenv("RINGFENCE_CACHE", str(cache))
    one, other = "int main(void) { return 11; }", "int main(void) { return 12; }"
    assert 11 == attack(one).exit_code
    [first] = cache.glob("made-*.cwasm")
    assert 12 == attack(other).exit_code
    [second] = set(cache.glob("made-*.cwasm")) - {first}
    for tampered in (second.read_bytes(), first.read_bytes()[:-1], b"", b"\0" * 300):
        first.write_bytes(tampered)
        assert 11 == attack(one).exit_code
    shutil.copy(second, first)
    shutil.copy(second.with_suffix(".seal"), first.with_suffix(".seal"))
    assert 11 == attack(one).exit_code


@pytest.mark.parametrize("code", ENDLESS)
def test_endless_program_ends_at_its_deadline(code: str) -> None:
    """Whatever it is busy with, handlers and ends included."""
    result = attack(f"{TOP}int main(void) {{ {code} }}", wall=WALL)

    # Its input has an end, and it hears of no signal but its own.
    assert "wall" == result.limit, result
    assert result.usage.wall_seconds < WALL + late()
    alive()


def test_hog_of_memory_ends_at_its_limit() -> None:
    """By allocation, on the stack, and by data that it is linked with."""
    for code in (
        "for (;;) { volatile char *p = malloc(1 << 20); if (!p) abort(); p[5] = 1; }",
        "for (size_t n = 1;; n *= 2) { volatile char *p = calloc(n, 1); if (!p) abort(); p[0] = 1; }",
        "static volatile char much[100000000]; for (size_t n = 0; n < sizeof much; n += 4096) much[n] = 1;",
        "char much[100000000]; memset(much, 1, sizeof much); write(1, much + 50000000, 1);",
        "__builtin_wasm_memory_grow(0, 65000) == -1 ? abort() : abort();",
    ):
        result = attack(f"{TOP}int main(void) {{ {code} }}", memory="64MiB", wall=20)
        assert result.limit == "memory" or result.outcome == "trapped", (code, result)
        assert result.usage.memory_bytes <= 64 << 20
    alive()


def test_flood_of_output_ends_at_its_limit() -> None:
    """On both streams, at once and by little."""
    for code in (
        "for (;;) puts(text);",
        'for (;;) write(2, "x", 1);',
        "for (;;) fwrite(text, 1, sizeof text, stdout);",
    ):
        result = attack(f"{TOP}int main(void) {{ memset(text, 65, 1000); {code} }}", output="64KiB")
        assert "output" == result.limit, (code, result)
        assert result.usage.output_bytes <= 64 << 10
    alive()


def test_nothing_of_the_host_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables, files or descriptors."""
    monkeypatch.setenv("SECRET", "s3cr3t")
    (tmp_path / "secret").write_text("s3cr3t", encoding="utf-8")
    code = f"""
        int main(void) {{
            const char *paths[] = {{"{tmp_path}/secret", "/etc/passwd", "../../etc/passwd", "/proc/self/environ",
                                    "/dev/mem", "/usr/include/stdio.h", "/usr/include/wasm32-wasip1/stdio.h",
                                    "/made/object", "/source/<code>", "/source", "/usr"}};
            for (int at = 0; at < 11; at++) printf("%d", open(paths[at], O_RDONLY) >= 0);
            for (int fd = 3; fd < 100; fd++) if (read(fd, text, 1) >= 0 || write(fd, text, 1) >= 0) printf("%d", fd);
            printf("%d", environ && *environ);
            printf("%d%d", symlink("/etc/passwd", "/x"), mkdir("/x", 0777));
        }}
    """
    result = attack(TOP + code)

    assert "000000000000-1-1" == result.text, result
    alive()


def test_raw_pointers_reach_nothing_but_the_programs_own_memory() -> None:
    """Reads and writes at any address, calls of any number."""
    for code in (
        "for (unsigned at = 0;; at += 4096) *(volatile char *)at = 1;",
        "for (unsigned at = 1u << 31;; at += 65536) text[0] += *(volatile char *)at;",
        "for (int n = 0; n < 100000; n++) ((void (*)(int))n)(n);",
        "((int (*)(double, double))puts)(1, 2);",
        "void *again = __builtin_frame_address(0); memset(again, 0xff, 1 << 20);",
        "memset(0, 0xff, 1 << 30);",
        'free((void *)12345); free(text); realloc(text + 1, 1 << 20); printf("%s%n", (char *)-1, (int *)-1);',
    ):
        result = attack(f"{TOP}int main(void) {{ {code} }}", wall=5)
        assert result.outcome in {"trapped", "exited", "limited"}, (code, result)
        alive()
