"""The pack `c`: source in C is compiled in a sandbox, and runs in one. `ringfence languages install c` fetches it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ringfence
from ringfence import Dir, Limits, LoadError, Policy, PolicyError, ProgramNotFound, Sandbox

if TYPE_CHECKING:
    from conftest import Command
    from ringfence import Result
    from ringfence._isolation import Isolation

pytest.importorskip("ringfence_language_c", reason="NOT TESTED: c is not installed (`ringfence languages install c`)")
pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("compiled_c")]

HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); }\n'
# What programs find in the C library, each with what it writes.
LIBRARY = {
    "long double": ("#include <stdio.h>", 'printf("%.2Lf", 1.5L);', "1.50"),
    "setjmp": (
        "#include <setjmp.h>\n#include <stdio.h>\njmp_buf at;",
        'volatile int n = setjmp(at); if (n < 3) longjmp(at, n + 1); printf("%d", n);',
        "3",
    ),
    "signal": (
        '#include <signal.h>\n#include <stdio.h>\nvoid caught(int n) { printf("caught %d", n); }',
        "signal(SIGINT, caught); raise(SIGINT);",
        "caught 2",
    ),
    "mmap": (
        "#include <stdio.h>\n#include <sys/mman.h>",
        "char *p = mmap(0, 9, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0); p[8] = 65; putchar(p[8]);",
        "A",
    ),
    "clock": ("#include <stdio.h>\n#include <time.h>", 'printf("%d", clock() >= 0 && time(0) > 1700000000);', "1"),
    "math": ("#include <math.h>\n#include <stdio.h>", 'printf("%.3f %.1f", sin(1), pow(2, 10));', "0.841 1024.0"),
    "complex": ("#include <complex.h>\n#include <stdio.h>", 'printf("%.1f", cimag(csqrt(-4)));', "2.0"),
    "atomics": ("#include <stdatomic.h>\n#include <stdio.h>", 'atomic_int n = 1; n++; printf("%d", n);', "2"),
    "qsort": (
        "#include <stdio.h>\n#include <stdlib.h>\nint by(const void *a, const void *b) { return *(char *)a - 'b'; }",
        'char s[] = "ca"; qsort(s, 2, 1, by); printf("%s", s);',
        "ac",
    ),
    "regex": (
        "#include <regex.h>\n#include <stdio.h>",
        'regex_t r; regcomp(&r, "^a+b$", REG_EXTENDED); printf("%d", regexec(&r, "aab", 0, 0, 0));',
        "0",
    ),
    "wide": ("#include <stdio.h>\n#include <wchar.h>", 'printf("%d", (int)wcslen(L"abc"));', "3"),
    "128 bits": ("#include <stdio.h>", '__int128 n = 1; n <<= 100; printf("%d", (int)(n >> 98));', "4"),
    "vectors": (
        "#include <stdio.h>\ntypedef int four __attribute__((vector_size(16)));",
        'four a = {1, 2, 3, 4}; a += a; printf("%d", a[3]);',
        "8",
    ),
}  # fmt: skip


def c(code: str, *args: str, input: bytes = b"", policy: Policy | None = None, flags: tuple[str, ...] = ()) -> Result:
    """Compile and run a text."""
    return ringfence.run(code=code, language="c", args=args, input=input, policy=policy, compiler_flags=flags)


def test_program_has_its_arguments_variables_and_input() -> None:
    """As any program does, and what it writes comes out on the stream it wrote to."""
    code = """
        #include <stdio.h>
        #include <stdlib.h>
        int main(int count, char **words) {
            char line[20];
            for (int at = 0; at < count; at++) printf("%s|", words[at]);
            printf("%s|%s", getenv("NAME"), fgets(line, 20, stdin));
            fputs("err", stderr);
            return 3;
        }
    """
    result = c(code, "a", "ü b", input="één".encode(), policy=Policy(env={"NAME": "value"}))

    assert "a.out|a|ü b|value|één" == result.stdout.decode()
    assert (b"err", 3) == (result.stderr, result.exit_code)


def test_command_runs_scripts_code_and_standard_input(ringfence: Command, tmp_path: Path) -> None:
    """By the end of a name, by a first line, by `-c`, and from a pipe."""
    (tmp_path / "hello.c").write_text(HELLO, encoding="utf-8")
    (tmp_path / "script").write_text("#!/usr/bin/tcc -run\n" + HELLO, encoding="utf-8")

    assert "hello\n" == ringfence("run", "hello.c", 1, 2).stdout
    assert "hello\n" == ringfence("run", "script").stdout
    assert 7 == ringfence("run", "--language", "c", "-c", "int main(int n, char **w) { return 5 + n; }", "x").exit_code
    assert "hello\n" == ringfence("run", "--language", "c", "-", input=HELLO.encode()).stdout
    assert 9 == ringfence("run", "--compiler-flag=-DN=9", "--language", "c", "-c", "int main() { return N; }").exit_code
    refused = ringfence("run", "--language", "c", "--", "-O2", "-c", "hello.c")
    assert (2, True) == (refused.exit_code, "write `ringfence run --compiler-flag=-O2 FILE`" in refused.stderr)


@pytest.mark.parametrize(
    ("code", "exit_code", "stdout"),
    [
        ("int main() {}", 0, ""),
        ("#include <stdlib.h>\nint main() { exit(4); }", 4, ""),
        ("#include <unistd.h>\nint main() { _exit(5); }", 5, ""),
        (
            '#include <stdlib.h>\n#include <stdio.h>\nvoid f() { puts("f"); }\nint main() { atexit(f); return 6; }',
            6,
            "f\n",
        ),
        ('#include <stdio.h>\n__attribute__((constructor)) void f() { puts("first"); }\nint main() { }', 0, "first\n"),
    ],
)  # fmt: skip
def test_program_ends_as_natively(code: str, exit_code: int, stdout: str) -> None:
    """By its exit code, after what is to run at the end."""
    result = c(code)

    assert (exit_code, stdout) == (result.exit_code, result.text)


@pytest.mark.parametrize(
    "code", ["abort();", "__builtin_trap();", "assert(1 == 2);", "int n = getpid() - getpid(); *(int *)-1 = 7 / n;"]
)
def test_program_that_fails_traps(code: str) -> None:
    """What is a signal natively is a trap."""
    assert (
        "trapped"
        == c(f"#include <assert.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main() {{ {code} }}").outcome
    )


@pytest.mark.parametrize("name", LIBRARY)
def test_library_is_there(name: str) -> None:
    """Nothing is granted, and no flag is needed."""
    top, code, said = LIBRARY[name]
    result = c(f"{top}\nint main(void) {{ {code} return 0; }}")

    assert (said, b"") == (result.text, result.stderr)


def test_text_that_is_not_c_is_told_as_a_compiler_does() -> None:
    """On standard error, with file, line and column, and exit code 1: as any language says it of its texts."""
    result = c("int main(void) {\n  return nothing;\n}\n")

    assert (1, b"") == (result.exit_code, result.stdout)
    assert result.stderr.startswith(b"<code>:2:10: error: use of undeclared identifier 'nothing'\n")
    assert b"undefined symbol: nowhere" in c("int nowhere(void);\nint main(void) { return nowhere(); }").stderr


def test_command_tells_a_script_by_the_name_that_was_written(ringfence: Command, tmp_path: Path) -> None:
    """One that is not below the current folder by its own name alone."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "bad.c").write_text("int main() { return x; }", encoding="utf-8")
    (tmp_path / "names.c").write_text("#include <stdio.h>\nint main() { puts(__FILE__); }", encoding="utf-8")
    ended = ringfence("run", "sub/bad.c")

    assert (1, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith("sub/bad.c:1:21: error: ")
    assert ringfence("run", tmp_path / "sub" / "bad.c").stderr.startswith("bad.c:1:21: error: ")
    assert "names.c\n" == ringfence("run", "names.c").stdout


def test_warnings_are_told_again_when_the_program_was_kept(ringfence: Command, tmp_path: Path) -> None:
    """Beside the program's own words, which a result holds alone."""
    code = '#include <stdio.h>\nint main() { printf("%s", 5 > 6 ? "a" : "b"); int unused = 1 / 0; }'
    (tmp_path / "w.c").write_text(code, encoding="utf-8")
    first, second = ringfence("run", "w.c"), ringfence("run", "w.c")
    sandbox = Sandbox(code=code, language="c")

    assert "w.c:2:" in first.stderr
    assert first == second
    assert "division by zero" in sandbox.diagnostics
    assert b"" == sandbox.run().stderr


def test_headers_beside_a_script_are_found_where_its_folder_is_granted(ringfence: Command, tmp_path: Path) -> None:
    """By the same names as natively; elsewhere they are not there."""
    (tmp_path / "sub" / "inc").mkdir(parents=True)
    (tmp_path / "sub" / "inc" / "x.h").write_text('#include "y.h"\n', encoding="utf-8")
    (tmp_path / "sub" / "inc" / "y.h").write_text("#define X 7\n", encoding="utf-8")
    (tmp_path / "sub" / "more.c").write_text("int more(void) { return 1; }\n", encoding="utf-8")
    code = '#include "inc/x.h"\n#include "more.c"\nint main(void) { return X + more(); }'
    (tmp_path / "sub" / "main.c").write_text(code, encoding="utf-8")
    refused = ringfence("run", "sub/main.c")

    assert 1 == refused.exit_code
    assert refused.stderr.startswith("sub/main.c:1:10: fatal error: 'inc/x.h' file not found\n")
    assert "--dir sub" in refused.stderr
    for granted in (".", "sub", tmp_path, "sub:/elsewhere:rw"):
        assert 8 == ringfence("run", "--dir", granted, "sub/main.c").exit_code, granted
    assert 8 == ringfence("run", "--dir", tmp_path, tmp_path / "sub" / "main.c").exit_code
    assert 7 == ringfence("run", "--dir", ".", "--compiler-flag=-Isub", "--language", "c", "-c",
                          "#include <inc/x.h>\nint main() { return X; }").exit_code  # fmt: skip
    (tmp_path / "sub" / "inc" / "y.h").write_text("#define X (\n", encoding="utf-8")
    assert "sub/inc/y.h" in ringfence("run", "--dir", ".", "sub/main.c").stderr


def test_program_of_several_sources(ringfence: Command, tmp_path: Path) -> None:
    """Each compiled by itself and linked; headers are handed in as they are, and the program sees none of them."""
    (tmp_path / "lib").mkdir()
    header = "int twice(int);\nint count(void);\n"
    (tmp_path / "lib" / "shop.h").write_text(header, encoding="utf-8")
    twice = '#include "shop.h"\nstatic int calls;\nint twice(int n) { calls++; return 2 * n; }\n'
    (tmp_path / "lib" / "shop.c").write_text(f"{twice}int count(void) {{ return calls; }}\n", encoding="utf-8")
    code = """#include <stdio.h>
        #include "lib/shop.h"
        static int calls = 5;
        int main(void) {
            printf("%d %d %d %d\\n", twice(3), twice(4), count(), calls);
            return fopen("lib/shop.h", "r") || fopen("/source/lib/shop.h", "r");
        }"""
    (tmp_path / "main.c").write_text(code, encoding="utf-8")
    both = ("--source", "lib/shop.c", "--source", "lib/shop.h")

    ended = ringfence("run", *both, "main.c", "an argument")
    assert ("6 8 2 5\n", 0) == (ended.stdout, ended.exit_code), ended
    assert "6 8 2 5\n" == ringfence("run", "--dir", "lib:/lib", "--source", "lib/shop.c", "main.c").stdout
    assert "6 8 2 5\n" == ringfence("run", *both, "--language", "c", "-", input=code.encode()).stdout
    (tmp_path / "lib" / "shop.h").write_text(header.replace("int twice", "long long twice"), encoding="utf-8")
    refused = ringfence("run", *both, "main.c")
    assert (1, "") == (refused.exit_code, refused.stdout)
    assert "lib/shop.c:3:5: error: conflicting types for 'twice'" in refused.stderr
    assert "undefined symbol: twice" in ringfence("run", "--source", "lib/shop.h", "main.c").stderr


def test_sources_are_named_once_and_belong_to_a_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file, what is twice in one place, and what no compiler takes is refused by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h").touch()
    main = "int main(void) { return 0; }"
    with pytest.raises(PolicyError, match="is a source twice"):
        Sandbox(code=main, language="c", sources=["a.h", "./a.h"])
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "main.c").write_text(main, encoding="utf-8")
    with pytest.raises(PolicyError, match="this lies outside"):
        Sandbox("in/main.c", sources=["a.h"], policy=Policy(dirs=[Dir("in", at="/in")]))
    with pytest.raises(ProgramNotFound, match="nowhere"):
        Sandbox(code=main, language="c", sources=["nowhere.c"])
    with pytest.raises(TypeError, match="sources is a list"):
        Sandbox(code=main, language="c", sources="a.h")
    with pytest.raises(PolicyError, match="nothing here is compiled"):
        ringfence.run(code="1", language="lua", sources=["a.h"])
    assert 7 == Sandbox(language="c", sources=["a.h"]).run(code='#include "a.h"\nint main() { return 7; }').exit_code


def test_header_that_changed_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is kept under all that was compiled."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.c").write_text('#include "n.h"\nint main(void) { return N; }', encoding="utf-8")
    policy = Policy(dirs=[Dir(".", at="/d")])
    for number in (3, 4, 3):
        (tmp_path / "n.h").write_text(f"#define N {number}\n", encoding="utf-8")
        assert number == ringfence.run("main.c", policy=policy).exit_code


def test_flags_are_those_of_a_compiler() -> None:
    """Of optimisation, names, warnings, standards and libraries; others are refused."""
    code = "int main(void) {\n#ifdef __OPTIMIZE__\nreturn 1 + N;\n#endif\nreturn N; }"
    old = "int main(void) { auto f = 1; for (int n = 0; n;); return f; }"

    assert (3, 2) == (c(code, flags=("-DN=2",)).exit_code, c(code, flags=("-DN=2", "-O0")).exit_code)
    assert 0 == c("#include <math.h>\nint main(int n, char **v) { return (int)sin(n - 1); }", flags=("-lm",)).exit_code
    assert b"error: variable declaration in for loop" in c(old, flags=("-std=c89", "-pedantic", "-Werror")).stderr
    assert "unused" in Sandbox(code="int main(void) { int n; }", language="c", compiler_flags=["-Wall"]).diagnostics
    for flag in ("-fpass-plugin=x", "x.c", "-o/x", "-Wl,-x", "-D", "@file", "-fplugin=x", "-include", "-l"):
        with pytest.raises(PolicyError, match="is not given"):
            c(code, flags=(flag,))
    with pytest.raises(TypeError, match="one text"):
        c(code, flags="-O0")  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="compiler flags"):
        ringfence.run(code="1", language="lua", compiler_flags=["-O0"])


def test_sandbox_of_the_language_runs_any_number_of_sources() -> None:
    """And each as often as it is asked; without one it says so."""
    sandbox = Sandbox(language="c")

    assert [1, 2] == [sandbox.run(code=f"int main() {{ return {n}; }}").exit_code for n in (1, 2)]
    assert 3 == asyncio.run(sandbox.arun(code="int main() { return 3; }")).exit_code
    assert (1, b"cc: error: no source: give it as `code`, or a script\n") == (
        sandbox.run().exit_code, sandbox.run().stderr,
    )  # fmt: skip
    with sandbox.start(code=HELLO) as process:
        assert process.stdout is not None
        assert b"hello\n" == process.stdout.read()
    with pytest.raises(LoadError, match="cannot hold a session"):
        ringfence.Session("c")


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_program_is_compiled_and_runs_in_isolation(isolation: Isolation) -> None:
    """Both in a child process."""
    sandbox = Sandbox(code=HELLO, language="c", isolation=isolation)
    assert "hello\n" == sandbox.run().text
    assert b"error:" in ringfence.run(code="int", language="c", isolation=isolation).stderr


def test_files_are_read_and_written_under_a_grant(tmp_path: Path) -> None:
    """By stdio and by descriptors, folders listed and changed; what is not granted is not there."""
    (tmp_path / "in.txt").write_text("one", encoding="utf-8")
    code = """
        #include <dirent.h>
        #include <errno.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/stat.h>
        #include <unistd.h>
        int main(void) {
            char text[10] = "";
            FILE *from = fopen("/data/in.txt", "r"), *to = fopen("/data/out.txt", "w");
            fgets(text, 10, from);
            fprintf(to, "%s two", text);
            fclose(to);
            struct stat about;
            stat("/data/out.txt", &about);
            mkdir("/data/sub", 0755);
            rename("/data/in.txt", "/data/sub/moved.txt");
            int names = 0;
            DIR *folder = opendir("/data");
            while (readdir(folder)) names++;
            FILE *no = fopen("/etc/passwd", "r");
            printf("%d %d %s", (int)about.st_size, names, no ? "open" : strerror(errno));
        }
    """
    result = c(code, policy=Policy(dirs=[Dir(tmp_path, at="/data", mode="rw")]))

    assert ("7 4 No such file or directory", b"") == (result.text, result.stderr)
    assert "one two" == (tmp_path / "out.txt").read_text(encoding="utf-8")
    assert (tmp_path / "sub" / "moved.txt").exists()


def test_what_is_absent_is_an_error_and_never_a_silence() -> None:
    """Processes are refused by the linker or the headers, threads and sockets by what they give."""
    for code in ("fork()", 'system("ls")', 'popen("ls", "r")', "pipe((int[2]){0})", 'execl("/bin/ls", "ls", 0)'):
        result = c(
            f"#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\nint main() {{ return (int){code}; }}"
        )
        assert (1, b"") == (result.exit_code, result.stdout), code
        assert b"error" in result.stderr, code
    thread = "void *f(void *p) { return p; }\nint main() { pthread_t t; return pthread_create(&t, 0, f, 0) == 0; }"
    assert 0 == c(f"#include <pthread.h>\n{thread}").exit_code


BOMB = "#define M0 int;\n" + "".join(f"#define M{n} M{n - 1} M{n - 1}\n" for n in range(1, 40)) + "M39\n"


def test_compiler_ends_at_its_limit_and_with_its_caller(tmp_path: Path) -> None:
    """By the limit `compile`, which is no fault of the program's; and by Ctrl-C, at once."""
    (tmp_path / "bomb.c").write_text(BOMB, encoding="utf-8")
    with pytest.raises(LoadError, match="longer than the limit `compile` of 1 s"):
        Sandbox(tmp_path / "bomb.c", policy=Policy(limits=Limits(compile=1)))
    hears = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    script = f"{hears}; from ringfence.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, "run", "--compile", "100s", "bomb.c"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # It has begun when it has used a second of time.
        while used_seconds(process.pid) < 1:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        assert (b"", b"") == process.communicate(timeout=60)
    assert 130 == process.returncode
    assert time.monotonic() - began < 5


def used_seconds(process: int) -> float:
    """Tell how long it has computed."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_command_says_warnings_escaped(ringfence: Command, tmp_path: Path) -> None:
    """The source chose what is in them: no control character of it reaches a terminal."""
    (tmp_path / "w.c").write_text('#pragma message("\\033[2J \x1b[2J")\nint main(void) { return 3; }', encoding="utf-8")
    ended = ringfence("run", "w.c")

    assert (3, "") == (ended.exit_code, ended.stdout)
    assert "w.c:1:9: warning: " in ended.stderr
    assert "\x1b" not in ended.stderr


@pytest.mark.parametrize("isolation", ["process", "worker"])
def test_program_writes_to_streams_that_are_handed_on(isolation: Isolation, tmp_path: Path) -> None:
    """A C library asks whether its streams are terminals before it writes."""
    with (tmp_path / "out").open("wb") as out:
        result = Sandbox(code=HELLO, language="c", isolation=isolation).run(stdout=out)

    assert ("exited", "hello\n") == (result.outcome, (tmp_path / "out").read_text(encoding="utf-8"))


def test_limits_end_a_run_under_their_names() -> None:
    """Time, memory, output and fuel."""
    for code, limits, name in (
        ("for (volatile int n = 0;; n++);", Limits(wall="300ms"), "wall"),
        ("for (volatile char *p; (p = malloc(1 << 20)); p[5] = 1); abort();", Limits(memory="64MiB"), "memory"),
        ('for (;;) puts("x");', Limits(output="64KiB"), "output"),
        ("for (volatile int n = 0;; n++);", Limits(fuel=50_000_000), "fuel"),
    ):  # fmt: skip
        top = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
        result = c(f"{top}int main(void) {{ {code} }}", policy=Policy(limits=limits))
        assert ("limited", name) == (result.outcome, result.limit), result


def test_stack_is_as_large_as_natively() -> None:
    """Eight megabytes; what goes past it traps, and never writes over data."""
    code = "int deep(int n) { volatile char room[4096]; room[0] = n; return n ? deep(n - 1) + room[0] * 0 : 7; }\n"

    assert 7 == c(f"{code}int main(void) {{ return deep(1500); }}", flags=("-O0",)).exit_code
    assert "trapped" == c(f"{code}int main(void) {{ return deep(100000); }}", flags=("-O0",)).outcome
