"""From a script to a program: what goes in is copied to a folder, and a child process makes the component there."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ringfence._text import quote
from ringfence._value import Value
from ringfence.errors import HostError, LoadError, ProgramNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    Progress = Callable[[float], None]

TOOL = "componentize-py==0.25.1"
_GUEST = Path(__file__).parent / "guest"
# What a program asks of its runtime: the worlds of guest/wit.
_WORLD, _WITH_EXIT_CODES = "program", "program-with-exit-codes"
_MAX_SCRIPT_BYTES = 16 << 20
_DEADLINE_SECONDS = 600.0
_STEP_SECONDS = 0.1
# Left out of folders that are included, beside what begins with a dot.
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.so", "*.pyd")


class Baked(Value):
    """
    A program that was made of a script.

    Attributes:
        path: where it is.
        bytes: how large.
    """

    __slots__ = ("path", "bytes")
    path: str
    bytes: int

    def __init__(self, path: str, bytes: int) -> None:  # noqa: A002
        self._fill(path=path, bytes=bytes)


def bake(
    script: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    packages: str | None = None,
    include: Iterable[str | os.PathLike[str]] = (),
    isolation: Literal["process", "worker"] = "worker",
    exit_codes: bool = False,
    progress: Progress | None = None,
) -> Baked:
    """
    Make a component of a script in Python: a command for any runtime of WASI 0.2.

    Args:
        script: the script.
        output: where the program is written, whole or not at all.
        packages: a folder with packages, unpacked.
        include: modules and folders of packages that the script imports and that are taken as they are.
        isolation: "worker": the child process reads and writes the folder of copies only, and reaches no network.
            "process": it is a child process, with the rights of this one.
        exit_codes: it ends with the code that the script ends with, and not with 0 or 1 only: that came with WASI
            0.2.12, and a runtime that is older starts no such program.
        progress: called with the seconds so far; an exception in it ends that.

    Raises:
        ProgramNotFound: there is no such script.
        LoadError: componentize-py is not installed, or refuses the script.
        HostError: the machine cannot keep the child process apart, or it failed.
    """
    path = Path(script)
    if importlib.util.find_spec("componentize_py") is None:
        why = "componentize-py makes programs of scripts, and is not installed"
        raise LoadError("nothing can be baked", why, f"pip install {TOOL}")
    source = _source(path)
    _check_language(path)
    target = _target(path, Path(output))
    with tempfile.TemporaryDirectory(prefix="ringfence-bake-") as made:
        stage = Path(made)
        _fill(stage, path.name, source)
        _fill_site(f"`{quote(path.name)}` cannot be baked", stage / "site", packages, include)
        _run(stage, path.name, isolation, world=_WITH_EXIT_CODES if exit_codes else _WORLD, progress=progress)
        component = stage / "out.wasm"
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            shutil.copyfile(component, partial)
            partial.replace(target)
        except OSError as error:
            why = error.strerror or str(error)
            raise HostError(f"`{quote(str(target))}` cannot be written", why, "write it somewhere else") from error
        finally:
            partial.unlink(missing_ok=True)
    return Baked(os.fspath(output), target.stat().st_size)


def _target(script: Path, output: Path) -> Path:
    """Refuse what must not be replaced by a program, before minutes are spent on one."""
    what, why, fix = f"`{quote(str(output))}` cannot be written", "", "write it somewhere else"
    if str(output) == "-":
        why, fix = "a program is a file: it is compiled once, and known again", "name a file: `-o program.wasm`"
    elif not output.parent.is_dir():
        why, fix = f"there is no folder `{quote(str(output.parent))}`", "make it first"
    elif output.exists() and not output.is_file():
        why = "there is something else than a file"
    elif output.exists() and output.samefile(script):
        why = "it is the script itself"
    if why:
        raise LoadError(what, why, fix)
    # Where a link leads, and not in the place of the link.
    return output.resolve() if output.is_symlink() else output


def _source(script: Path) -> bytes:
    """Read the script, if it is one."""
    what = f"`{quote(str(script))}` cannot be baked"
    try:
        with script.open("rb") as file:
            source = file.read(_MAX_SCRIPT_BYTES + 1)
    except FileNotFoundError as error:
        raise ProgramNotFound(what, "there is no such script", "check its path") from error
    except OSError as error:
        raise LoadError(what, error.strerror or str(error), "give the path of a script in Python") from error
    if len(source) > _MAX_SCRIPT_BYTES:
        raise LoadError(what, f"it is longer than {_MAX_SCRIPT_BYTES >> 20} MiB", "grant data to it as a file")
    if source.startswith(b"\0asm"):
        raise LoadError(what, "it is a WebAssembly program already", "run it: `ringfence run`")
    return source


def _check_language(script: Path) -> None:
    """Refuse what is in another language by its name's end: it would become a program that fails."""
    from ringfence.languages._find import claimed, ours

    suffix = script.suffix.lower()
    names = sorted({pack.language for pack in claimed(suffix)} or {ours(suffix) or "python"}) if suffix else ["python"]
    if all(name.partition("-")[0] != "python" for name in names):
        what, named = f"`{quote(str(script))}` cannot be baked", " or ".join(f"`{name}`" for name in names)
        why = f"its name ends as scripts in {named} do, and only Python is baked"
        raise LoadError(
            what, why, f"run it: `ringfence run {shlex.quote(str(script))}`; a script in Python ends in `.py`"
        )


def _fill(stage: Path, name: str, source: bytes) -> None:
    """Copy the script, and what makes a program of it."""
    for folder in ("temporary", "empty/lib/python3/site-packages"):
        stage.joinpath(folder).mkdir(parents=True)
    shutil.copytree(_GUEST / "wit", stage / "wit")
    application = stage / "application"
    application.mkdir()
    shutil.copyfile(_GUEST / "ringfence_baked.py", application / "ringfence_baked.py")
    (application / "script").write_bytes(source)
    (application / "name").write_text(name, encoding="utf-8")


def _fill_site(what: str, site: Path, packages: str | None, include: Iterable[str | os.PathLike[str]]) -> None:
    """Copy what the script imports."""
    if packages is None:
        site.mkdir()
    else:
        shutil.copytree(packages, site, ignore=_LEFT_OUT)
    for each in map(Path, include):
        if not each.name or each.name == "..":
            why = f"`{quote(str(each))}` is no module, and no folder that is a package"
            raise LoadError(what, why, "name it as the script imports it: `--include ../shop`")
        into = site / each.name
        try:
            if into.exists():
                raise LoadError(what, f"`{quote(each.name)}` was given twice", "leave one of them out")
            if each.is_dir():
                shutil.copytree(each, into, ignore=_LEFT_OUT)
            else:
                shutil.copyfile(each, into)
        except OSError as error:
            why = f"`{quote(str(each))}` cannot be read"
            raise LoadError(what, why, "give the path of a module, or of a folder that is a package") from error


def _run(stage: Path, name: str, isolation: str, *, world: str, progress: Progress | None) -> None:
    """Have a child process make the component."""
    command = [sys.executable, "-I", "-m", "ringfence.baking._worker", isolation, world]
    environment = {"VIRTUAL_ENV": str(stage / "empty"), "TMPDIR": str(stage / "temporary"), "PATH": "", "HOME": "/"}
    started = time.monotonic()
    with (stage / "said").open("wb") as said:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            cwd=stage,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    code = child.wait(_STEP_SECONDS)
                    break
                elapsed = time.monotonic() - started
                if elapsed > _DEADLINE_SECONDS:
                    why = f"it took longer than {_DEADLINE_SECONDS:.0f} s"
                    raise LoadError(f"`{quote(name)}` cannot be baked", why, "import less at the top of it")
                if progress is not None and elapsed > 1:
                    progress(elapsed)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    text = (stage / "said").read_bytes()[-(1 << 20) :].decode("utf-8", "replace")
    if code == _WALL:
        why = "the kernel keeps no process apart from files (Landlock): it is too old, or that is switched off"
        raise HostError("nothing can be baked here", why, "trust the script with your rights: `--isolation process`")
    if code or not (stage / "out.wasm").is_file():
        raise _refused(f"`{quote(name)}` cannot be baked", text)


# What the worker exits with where it cannot be kept apart.
_WALL = 71


def _refused(what: str, text: str) -> LoadError:
    """Find the guest's own error in what the tool says: the last line of a traceback."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if line.partition(":")[0].endswith(("Error", "Exception", "Interrupt", "Exit"))]
    why = [*lines, *named][-1] if lines else "it did not say why"
    fix = "mend what is named, and bake again"
    if why == "AssertionError:":  # in these words, and no others, the tool tells that the interpreter is gone
        why = "it is ended by what it imports, by `sys.exit` perhaps"
    if missing := re.fullmatch(r"ModuleNotFoundError: No module named '(\w+)'", why):
        fix = f"bring it in: `--with {missing[1]}` from the index, or `--include {missing[1]}.py` as it is"
    return LoadError(what, quote(why, 300), fix)
