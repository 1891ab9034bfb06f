"""
The native side: policy, loading, enforcement.

Private: the Python modules around it are the interface. Bytes, numbers and frozen values cross; decisions do not.
Errors are the classes of `ringfence.errors`, each in three parts.
"""

import contextvars
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, final

__all__ = [
    "Changes",
    "Kill",
    "Plugin",
    "PluginFunction",
    "PluginGlobal",
    "PluginHandle",
    "PluginMemory",
    "PluginMethod",
    "PluginSnapshot",
    "PluginSource",
    "PluginStream",
    "Policy",
    "Program",
    "Result",
    "Sandbox",
    "Saved",
    "SavedPlugin",
    "Session",
    "Snapshot",
    "Tree",
    "cache_info",
    "cache_prune",
    "close_changes",
    "close_interpreter",
    "close_workers",
    "compile_child",
    "doctor",
    "is_compiled",
    "keep_made",
    "made",
    "policy_schema",
    "precompile",
    "set_compiler",
    "set_worker",
    "state_path",
    "wasi_adapter",
    "without_pool",
    "worker_child",
]

@final
class Policy:
    """A validated policy, frozen, with its directories already open."""

    def __new__(
        cls,
        document: str,
        base: str,
        trees: Sequence[Tree] = ...,
        unpack: Callable[[str, int, int], Tree] | None = None,
    ) -> Policy:
        """
        Read a policy from JSON text with the same keys as the file.

        Relative hosts are taken from `base`; `trees` are those the document names by their digests, and `unpack` makes
        one of a zip archive's path, under the limits `disk` and `files`.

        Raises PolicyError for an unknown key (naming the nearest right one),
        two grants at one guest path, one host tree granted both ways, a path that does not exist, and a grant that
        covers our own cache.
        """

    @staticmethod
    def from_toml(text: str, file: str, unpack: Callable[[str, int, int], Tree] | None = None) -> Policy:
        """Read a policy from TOML text; `file` is named in messages, relative hosts are taken from its directory."""

    def trees(self) -> list[tuple[str, Tree]]:
        """The trees that were handed in, by their digests."""

    def wider_than(self, other: Policy) -> list[str]:
        """Tell what it grants that the other one does not, by what both hold open."""

    def document(self) -> str:
        """The policy as JSON text: hosts absolute, every default filled in; equal policies have equal text."""

    def to_toml(self) -> str:
        """The policy as a file's text, hosts absolute."""

@final
class Tree:
    """Files in memory by their paths, sealed; equal trees have equal files."""

    def __new__(cls, entries: Sequence[tuple[str, bytes | None]], /) -> Tree:
        """
        Make one of paths with bytes, and of directories without.

        Raises PolicyError for a path that is absolute, climbs, or stands there twice.
        """

    @staticmethod
    def of_file(data: bytes, /) -> Tree:
        """Make one that is a single file."""

    def digest(self) -> str:
        """What tells it from others."""

    def entries(self) -> list[tuple[str, bytes | None]]:
        """What it was made of, directories on the way included; the path of a single file is empty."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def policy_schema() -> str:
    """The JSON schema of a policy, as text."""

@final
class Program:
    """A program whose bytes were read and checked, not yet compiled."""

    @property
    def name(self) -> str:
        """The path or name it was given; its last part is the guest's argument 0."""

    @property
    def kind(self) -> str:
        """A "module" or "component"."""

    @property
    def is_language(self) -> bool:
        """Whether it is a language pack: it runs source text."""

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, in hexadecimal."""

    @property
    def size(self) -> int:
        """Length of the bytes."""

    @staticmethod
    def from_file(
        path: str, language: str | None = None, sha256: str | None = None, component: bool = False
    ) -> Program:
        """
        Read a program. Raises ProgramNotFound, and LoadError for what is not one.

        `language` says that it is a language pack, and what it is called: its argument 0, "python" say. With its
        `sha256` it is read only when it has to be compiled, and then refused unless it has that digest; a pack is one
        core module unless it is said to be a `component`.
        """

    @staticmethod
    def from_bytes(data: bytes, name: str) -> Program:
        """Take a program that is already in memory."""

    def inspect(self) -> str:
        """What it imports and exports, as JSON text."""

    def wit(self, wasi: bool) -> str:
        """What a component imports and exports, in WIT; with WASI's own interfaces, or without."""

@final
class Sandbox:
    """A program compiled and linked under a policy, ready to run any number of times, from any thread."""

    def __new__(
        cls,
        program: Program,
        policy: Policy,
        progress: Callable[[float], None] | None = None,
        imports: Sequence[tuple[str, str, Callable[..., object]]] | None = None,
        isolation: str = "wasm",
        tenant: str | None = None,
        reuse: str = "fresh",
        spares: int = 0,
    ) -> Sandbox:
        """
        Compile and link, or find it in the cache.

        `progress` is called ten times a second after the first second, with the seconds so far. `imports` are module,
        name and function: numbers in, numbers out, as the import's signature says. `isolation` is where it runs:
        "wasm" is this process, "process" a child process, "worker" one behind the second wall; children are shared by
        runs of one policy and tenant. `reuse` is "fresh" or "tenant": stores of runs that returned are rewound.
        `spares` are made ahead, each for one run.
        """

    def starts(self) -> tuple[int, int, int] | None:
        """How many runs began in a new store and in one that waited, and how many wait; None where none ever waits."""

    def snapshot(
        self,
        after: str,
        entry: str | None,
        args: Sequence[str],
        input: bytes | None,
        stdout: int | None,
        stderr: int | None,
        limits: str | None,
        kill: Kill | None,
        progress: Callable[[float], None] | None,
    ) -> tuple[Result, Sandbox | None]:
        """
        Call the export `after` once, and give a sandbox whose runs call `entry` in the memory that it left.

        None where it did not return; the result tells why. Raises LoadError for what cannot be captured.
        """

    def run(
        self,
        args: Sequence[str],
        input: bytes | None,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
        limits: str | None,
        kill: Kill | None,
        source: bytes | None = None,
    ) -> Result:
        """
        Run the program once, in a store of its own.

        `input` is what standard input holds, `stdin` a descriptor to read instead; with neither it is empty.
        `stdout` and `stderr` are descriptors to write to, None captures. `limits` is JSON text and may only narrow
        the policy's. `source` is the text that a language pack runs instead of the file that argument 1 names; any
        other program refuses it with LoadError. The interpreter is let go of; Ctrl-C is looked for every 50 ms, ends
        the guest and is raised.

        With imports the guest runs on a thread of its own. What one of them raises is raised here; one that is still
        at work when the run has to end is left to itself, with the warning CallbackAbandoned.
        """

@final
class Kill:
    """Ends the run it was given to within 100 ms, from any thread."""

    def __new__(cls) -> Kill: ...
    def kill(self) -> None:
        """End the run; harmless when it is over, and a run not yet begun will not begin."""

    def interrupt(self) -> None:
        """Ask a turn of a session to end, as Ctrl-C does; it is ended when it does not."""

    @property
    def killed(self) -> bool:
        """Whether `kill` was called."""

class _Functions(Protocol):
    """What a session calls: `ringfence._functions.Functions`."""

    def __call__(self, name: str, args: list[Any], kwargs: dict[str, Any], /) -> object: ...
    def start(self, number: int, name: str, args: list[Any], kwargs: dict[str, Any], /) -> tuple[bool, object]: ...
    def wait(self, seconds: float, /) -> list[tuple[int, bool, object]]: ...
    def cancel(self, number: int, /) -> None: ...
    def finish(self) -> None: ...

# Functions of a session as its `Session` takes them, and what is called.
_Given: TypeAlias = tuple[Sequence[tuple[str, str, str, bool]], _Functions]

@final
class Session:
    """One live instance of a language pack."""

    def __new__(
        cls,
        sandbox: Sandbox,
        functions: Sequence[tuple[str, str, str, bool]] | None = None,
        call: _Functions | None = None,
        kill: Kill | None = None,
    ) -> Session:
        """
        Open one of a sandbox whose program is a language pack.

        `functions` are name, signature, doc and whether it is awaited; `call` is called for each call, on another
        thread, and its methods begin and end calls that overlap. What it raises reaches the guest as name and message;
        what is no `Exception` ends the turn.
        """

    def eval(
        self, source: bytes, stdout: int | None, stderr: int | None, limits: str | None, kill: Kill | None
    ) -> tuple[Any, ...]:
        """Run a turn and give the fields of `Turn`, in their order. Raises SessionError when it cannot begin."""

    def fork(
        self, functions: Sequence[_Given | None], sandbox: Sandbox | None, allow_wider: bool, kill: Kill | None
    ) -> list[Session]:
        """
        Open as many sessions as there are entries, that go on from here; each entry is the functions of one.

        A `sandbox` of the same program gives the policy that they have; a wider one raises PolicyError unless allowed.
        """

    def snapshot(self, kill: Kill | None) -> Snapshot:
        """Take what it is now."""

    @property
    def poisoned(self) -> str | None:
        """Why no turn can run any more, if none can."""

    def close(self) -> None:
        """Free everything; a turn that is under way goes on, and is the last."""

@final
class Snapshot:
    """What a session was between two turns."""

    def fork(
        self, functions: Sequence[_Given | None], sandbox: Sandbox | None, allow_wider: bool, kill: Kill | None
    ) -> list[Session]:
        """Open as many sessions as there are entries, that go on from there; as `Session.fork`."""

    def save(self, path: str, key: bytes | None, language: str, pack: str, note: str) -> None:
        """
        Write it to a file, whole or not at all.

        `key` is the caller's, or None for that of this installation; `language` and `pack` are told to whoever loads it
        without the pack, and `note` is handed back.
        """

@final
class Saved:
    """A file of a snapshot that was proven."""

    def __new__(cls, path: str, key: bytes | None) -> Saved:
        """Read it; raises SnapshotError, by its kind, for what is not as it was written with this key."""

    @property
    def file_bytes(self) -> int:
        """How long the file is."""

    def facts(self) -> str:
        """What it tells of itself, as JSON."""

    def check_program(self, digest: str) -> None:
        """Raise SnapshotMismatch for a program that is not the one that it was saved with."""

    def open(self, sandbox: Sandbox, allow_wider: bool) -> Snapshot:
        """Make a snapshot for forks under the sandbox's policy; a wider one raises PolicyError unless allowed."""

def state_path() -> str | None:
    """Where what lasts of this user's is kept; None where the environment names no home."""

# What a plugin is opened with: classes of its types; functions that it imports, None for a trap; for each function that
# it exports its name, those of its parameters, and the class of its error; whether its caller's thread calls yours; and
# what waits for a coroutine that one of yours gave.
_Opening: TypeAlias = tuple[
    Any, Sequence[Callable[..., Any] | None], Sequence[tuple[str, Sequence[str], object]], bool, Callable[[Any], Any]
]
# Of an interface: its name, its functions with parameters, result and signature, and its types.
_Interface: TypeAlias = tuple[str, list[tuple[str, list[tuple[str, int]], int | None, str]], list[tuple[str, int]]]

@final
class PluginSource:
    """A plugin's code, before any of it runs; opened once."""

    def __new__(
        cls,
        program: Program,
        policy: Policy,
        progress: Callable[[float], None] | None = None,
        extism: tuple[Any, ...] | None = None,
        lasting: bool = True,
        isolation: str = "wasm",
        tenant: str | None = None,
    ) -> PluginSource:
        """
        Load it, to have its instances where the isolation says; if it is `lasting`, so that they can be captured.

        Raises LoadError for what is no component, for types that are not supported, and for what does not cross.
        """

    def types(self) -> list[tuple[Any, ...]]:
        """Its types by their numbers: a kind, and its parts."""

    def names(self) -> list[tuple[str, str] | None]:
        """What its types are called by the interfaces that define them, and those; None without a name."""

    def resources(self) -> list[tuple[str, str, bool]]:
        """Its resources by their numbers: interface, name, and whether the host makes them."""

    def exports(self) -> list[_Interface]:
        """Interfaces that it exports; the functions at its root are in one without a name."""

    def imports(self) -> list[_Interface]:
        """Interfaces that it imports, without those of WASI."""

    def others(self) -> tuple[list[str], list[str], list[tuple[str, str]]]:
        """What else a core module exports: memories, globals, and what is no use, with the reason."""

    def open(self, given: _Opening, pool: tuple[int, bool] | None = None) -> Plugin:
        """Link it and make an instance; or a `pool` of so many, each for one call alone where that is True."""

    def continuing(self, given: _Opening, begun: PluginSnapshot | SavedPlugin, allow_wider: bool) -> PluginSnapshot:
        """Make a snapshot whose forks are of this source, as `open` makes plugins; `allow_wider` of the policy."""

    def pool_from(self, given: _Opening, begun: PluginSnapshot, allow_wider: bool, pool: tuple[int, bool]) -> Plugin:
        """Make a pool, as `open` does, whose instances go on from a snapshot."""

@final
class PluginSnapshot:
    """What a plugin was between two calls."""

    def fork(self, count: int) -> list[Plugin]:
        """Open plugins that go on from here."""

    def save(self, path: str, key: bytes | None) -> None:
        """Write it to a file, whole or not at all; with the caller's key, or that of this installation."""

@final
class SavedPlugin:
    """A file of a snapshot of a plugin that was proven."""

    def __new__(cls, path: str, key: bytes | None) -> SavedPlugin:
        """Read it; raises SnapshotError, by its kind, for what is not as it was written with this key."""

    def facts(self) -> str:
        """What it tells of itself, as JSON."""

    def check_program(self, digest: str) -> None:
        """Raise SnapshotMismatch for a program that is not the one that it was saved with."""

@final
class Plugin:
    """The live instances of a component: one, or a pool."""

    def functions(self) -> list[PluginFunction]:
        """Every function that it exports, in their order."""

    def memories(self) -> list[PluginMemory]:
        """Every memory that it exports, in their order."""

    def globals(self) -> list[PluginGlobal]:
        """Every global that it exports and that is a number, in their order."""

    @property
    def poisoned(self) -> str | None:
        """Why it cannot be called any more, if it cannot."""

    def usage(self) -> tuple[int, int, float, float, int | None, int | None, int]:
        """Calls, calls of the host, seconds in all and of the last, fuel in all and of the last, most memory."""

    def snapshot(self) -> PluginSnapshot:
        """Take what it is between two calls; raises PluginError where it cannot be captured."""

    def restart(self) -> None:
        """Begin anew with a new instance."""

    def close(self) -> None:
        """Free everything; a call that is under way goes on, and is the last."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""

    def retire(self, after: Sequence[PluginFunction | None]) -> None:
        """Have calls of its functions go to these, and close it after the last that has begun."""

@final
class PluginFunction:
    """A function that a plugin exports."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it. Raises TypeError and ValueError, naming the place, for values that are not of its types."""

    def result(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it, and give `Ok(…)` or `Err(…)` instead of raising an error that is its result."""

    def awaited(
        self, kill: Kill, context: contextvars.Context, whole: bool, args: tuple[object, ...], kwargs: dict[str, object]
    ) -> Any:  # noqa: ANN401 - values of any type
        """Call it for somebody who may give up; functions of the host are run in the context. `whole` is `result`."""

    @property
    def __name__(self) -> str:
        """What the component calls it."""

    @property
    def signature(self) -> str:
        """What it takes and gives, in WIT."""

    @property
    def __signature__(self) -> inspect.Signature:
        """Its parameters and what it gives, in Python's types."""

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        """The same for `typing.get_type_hints`."""

    @property
    def Error(self) -> Any:  # noqa: ANN401, N802 - a class of exceptions
        """The class of what is raised for an error that is its result."""

@final
class PluginMemory:
    """A memory that a plugin exports. No part of it is handed out, only copies."""

    @property
    def size(self) -> int:
        """Bytes that it has."""

    def read(self, at: int, length: int) -> bytes:
        """Give a copy of `length` bytes at `at`. Raises IndexError where they are not all inside."""

    def write(self, at: int, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes to `at`. Raises IndexError where they are not all inside, and then changes nothing."""

    def grow(self, pages: int) -> int:
        """Make it longer by so many pages of 65,536 bytes; give the bytes before. Raises MemoryError if it may not."""

@final
class PluginGlobal:
    """A number that a plugin exports."""

    @property
    def value(self) -> int | float:
        """What it is. Raises TypeError where a constant is set."""

    @value.setter
    def value(self, to: float, /) -> None: ...

@final
class PluginHandle:
    """What an object of a resource's class holds."""

    def drop(self) -> None:
        """Let go of it: at once where the plugin is free, otherwise before its next call."""

    def let_go(self) -> None:
        """Let go of it before the plugin's next call."""

    @property
    def gone(self) -> str | None:
        """Why it cannot be used any more, or None while it can."""

@final
class PluginStream:
    """What an object for a stream or a future of a plugin's holds."""

    def pull(self, kill: Kill | None = None, context: contextvars.Context | None = None) -> Any:  # noqa: ANN401 - values of any type
        """Give the next values in a row, bytes, an array or a list; None where there are no more."""

@final
class PluginMethod:
    """A method of a plugin's resource, of one object or, in its class, of none."""

    def __new__(cls, function: PluginFunction) -> PluginMethod:
        """Make one for a class."""

    def __get__(self, of: object, kind: object = ..., /) -> PluginMethod:
        """Give the method of that object."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it, as a function is called."""

    def result(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - values of any type
        """Call it, and give `Ok(…)` or `Err(…)` instead of raising an error that is its result."""

    @property
    def __name__(self) -> str:
        """What the component calls it."""

    @property
    def signature(self) -> str:
        """What it takes and gives, in WIT."""

    @property
    def __signature__(self) -> inspect.Signature:
        """As of a function, without the object where it has one."""

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        """The same for `typing.get_type_hints`."""

    @property
    def Error(self) -> Any:  # noqa: ANN401, N802 - a class of exceptions
        """The class of what is raised for an error that is its result."""

@final
class Changes:
    """What a run changed in private layers, with the bytes, or the list alone."""

    def __new__(
        cls, changes: Sequence[tuple[str, str, str, int | None, int | None]] | tuple[str, str, str], /
    ) -> Changes:
        """Make them again from their `list`, without the bytes; or from the parts of why they are not known."""

    def list(self) -> list[tuple[str, str, str, int | None, int | None]]:
        """Path, act, kind, size before and after, sorted by path."""

    def read(self, path: str) -> bytes:
        """What the run left in a file that it added or modified."""

    def target(self, path: str) -> str | None:
        """What a link names that the run added or modified."""

    def read_before(self, path: str) -> bytes:
        """What the host has in a file that was modified or deleted."""

    def apply(self, only: Sequence[str] | None, overwrite: bool) -> int:
        """Write changes to the host; how many names that were. Raises Conflict, PolicyError or HostError."""

def close_changes() -> None:
    """Remove what private layers have on the disk; called when the interpreter ends."""

@final
class Result:
    """How a run ended, frozen."""

    def __new__(
        cls,
        outcome: str,
        exit_code: int | None,
        stdout: bytes,
        stderr: bytes,
        limit: str | None,
        trap: str | None,
        backtrace: str | None,
        truncated: bool,
        usage: tuple[float, float, int, int, int | None],
        denials: Sequence[tuple[str, str, int, float]],
        changes: Changes | None = None,
        /,
    ) -> Result:
        """Make a result again from its `state`."""

    @property
    def outcome(self) -> str:
        """One of "exited", "trapped", "limited", "denied", "cancelled" or "crashed"."""

    @property
    def exit_code(self) -> int | None:
        """Of a guest that exited, otherwise None."""

    @property
    def stdout(self) -> bytes:
        """What was captured of standard output."""

    @property
    def stderr(self) -> bytes:
        """What was captured of standard error."""

    @property
    def noted(self) -> bool:
        """Whether there is anything for a log: something that was refused, or a limit that was reached."""

    @property
    def limit(self) -> str | None:
        """The limit that ended the run, by its name in the policy."""

    @property
    def trap(self) -> str | None:
        """What the guest could not go on from, escaped."""

    @property
    def backtrace(self) -> str | None:
        """Where, escaped."""

    @property
    def truncated(self) -> bool:
        """Whether output was cut at its limit."""

    @property
    def usage(self) -> tuple[float, float, int, int, int | None]:
        """Seconds on the clock, of processor; bytes of memory at most, of output; fuel if it was counted."""

    @property
    def denials(self) -> list[tuple[str, str, int, float]]:
        """Kind, what, how often, and the second of the first time."""

    @property
    def changes(self) -> Changes | None:
        """What it changed in private layers; None where it had none."""

    def state(self) -> tuple[Any, ...]:
        """What `Result(*state)` makes this result from again."""

def precompile(program: Program, policy: Policy, progress: Callable[[float], None] | None = None) -> bool:
    """Compile into the cache without running; whether it was there already."""

def compile_child() -> int:
    """What the compiling child process runs; its exit code."""

def set_compiler(command: list[str]) -> None:
    """Say how to start the compiling child process."""

def is_compiled(program: Program) -> bool:
    """Tell whether the first run of a language finds its code compiled."""

def cache_info() -> str:
    """Where the cache is, how much it holds and whether it is private, as JSON text."""

def made(key: str) -> bytes | None:
    """
    What a compiler of the language packs made, kept under the SHA-256 of all that it was given, in hexadecimal.

    None where there is nothing, or nothing that the seal of this user's cache proves.
    """

def keep_made(key: str, data: bytes) -> None:
    """Keep what it made; where there is no cache it is made again the next time."""

def cache_prune(keep_bytes: int) -> str:
    """Remove what was not used for longest until at most `keep_bytes` are left; what was removed, as JSON text."""

def wasi_adapter() -> bytes:
    """Wasmtime's adapter, a module: with it a module that asks for WASI 0.1 becomes a component that asks for 0.2."""

def close_interpreter() -> None:
    """Let no guest's thread into the interpreter any more: what is done when it begins to exit."""

def doctor() -> str:
    """What this machine has and lacks, as JSON text: a list of name, value, ok and fix."""

def without_pool() -> None:
    """Leave the pool out of engines made from now on: making it costs 3 ms, too much for one program run once."""

def worker_child() -> int:
    """What a worker process runs; its exit code."""

def set_worker(command: list[str]) -> None:
    """Say how to start a worker process."""

def close_workers() -> None:
    """End the workers that run nothing, and wait until they are gone."""
