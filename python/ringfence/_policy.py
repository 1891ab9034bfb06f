"""What a guest may do: `Policy`, `Dir`, `Limits`. Frozen; the native side validates, these give it a face."""

from __future__ import annotations

import os

from ._dir import Dir
from ._engine import core
from ._unzip import unpack
from ._value import Value
from .errors import PolicyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal, Self, TypedDict, Unpack

    from ._network import Net, Secret

    class LimitsFields(TypedDict, total=False):
        """What `Limits` takes."""

        wall: float | str | None
        cpu: float | str | None
        fuel: int | None
        memory: int | str | None
        output: int | str | None
        host_bytes: int | str | None
        open_files: int | None
        disk: int | str | None
        files: int | None
        connections: int | None
        net_bytes: int | str | None
        compile: float | str | None

    class PolicyFields(TypedDict, total=False):
        """What `Policy` takes."""

        dirs: Iterable[Dir]
        tmp: bool
        env: Mapping[str, str]
        inherit_env: Iterable[str]
        net: Net
        secrets: Iterable[Secret]
        clock: Literal["coarse", "precise"]
        random: Literal["real"] | int
        wasi: Literal["0.2", "0.3"]
        on_denied: Literal["continue", "stop"]
        limits: Limits


class Limits(Value):
    """
    What a guest may use up, each a total over the run.

    Reaching wall, cpu, fuel, output, host_bytes or net_bytes ends the run as "limited". Growth past memory is refused,
    and a run that dies of that is "limited"; one more than open_files, files or connections, or a byte more than disk,
    is an error for the guest; a program that takes longer than compile is not loaded.

    Numbers are seconds or bytes, text carries its unit. What is left out stays as it is: the default in a policy, the
    policy's own in a call, where a limit may only narrow.

    Attributes:
        wall: time on the clock, waiting included; seconds, or text such as "500ms". 30 s unless given.
        cpu: processor time. Off unless given.
        fuel: instructions, counted the same way in every run. Off unless given.
        memory: linear memories, tables and garbage-collected heaps together, checked at every growth; bytes, or
            "256MiB". 256 MiB unless given.
        output: stdout and stderr together; what was written up to there is kept. 16 MiB unless given.
        host_bytes: memory the host may hold for the guest. 64 MiB unless given.
        open_files: files and directories open at one time. 64 unless given.
        disk: bytes it may add to the host's disk, in all it may write to; a file counts with its length, and what it
            removes gives its part back. 256 MiB unless given.
        files: files, directories and links it may add there. 10,000 unless given.
        connections: network connections and sockets open at one time. 64 unless given.
        net_bytes: bytes sent and received over the network together. 256 MiB unless given.
        compile: time to compile the program, on a clock of its own; a language may take ten times as long. 60 s unless
            given.

    Raises:
        PolicyError: a value is not an amount of its unit.
    """

    __slots__ = (
        "wall",
        "cpu",
        "fuel",
        "memory",
        "output",
        "host_bytes",
        "open_files",
        "disk",
        "files",
        "connections",
        "net_bytes",
        "compile",
    )
    wall: float | None
    cpu: float | None
    fuel: int | None
    memory: int | None
    output: int | None
    host_bytes: int | None
    open_files: int | None
    disk: int | None
    files: int | None
    connections: int | None
    net_bytes: int | None
    compile: float | None

    def __init__(
        self,
        *,
        wall: float | str | None = None,
        cpu: float | str | None = None,
        fuel: int | None = None,
        memory: int | str | None = None,
        output: int | str | None = None,
        host_bytes: int | str | None = None,
        open_files: int | None = None,
        disk: int | str | None = None,
        files: int | None = None,
        connections: int | None = None,
        net_bytes: int | str | None = None,
        compile: float | str | None = None,
    ) -> None:
        self._fill(
            wall=wall,
            cpu=cpu,
            fuel=fuel,
            memory=memory,
            output=output,
            host_bytes=host_bytes,
            open_files=open_files,
            disk=disk,
            files=files,
            connections=connections,
            net_bytes=net_bytes,
            compile=compile,
        )
        given = self._given()
        if given:
            import json

            understood = json.loads(_native({"limits": given}, []).document())["limits"]
            self._fill(**{name: understood[name] for name in given})

    def replace(self, **changes: Unpack[LimitsFields]) -> Limits:
        """Make the same limits but for these."""
        fields: dict[str, Any] = {**self._fields(), **changes}
        return Limits(**fields)

    def _given(self) -> dict[str, object]:
        return {name: value for name, value in self._fields().items() if value is not None}

    def _json(self) -> str:
        import json

        return json.dumps(self._given())


class Policy:
    """
    What a guest may do. The default grants nothing.

    - no files: each directory or file is granted, to read unless `mode="rw"`
    - no variables: each is set, or handed on by its name
    - a clock in steps of a millisecond, random numbers as good as the host's
    - no network: hosts and ports, requests and secrets are granted one by one, see `Net` and `Secret`
    - no processes, no threads: there is nothing to grant them with
    - limits on everything it can use up, see `Limits`

    A policy holds its directories open from the moment it is made: a link swapped later changes nothing.
    Equal policies compare and hash equal. Pickled, it opens its directories again where it is loaded.

    Args:
        dirs: the directories and files it sees.
        tmp: a private, empty, writable `/tmp`, gone after the run.
        env: variables set for it.
        inherit_env: variables handed on from our own environment, by name.
        net: what it may reach over the network.
        secrets: values it may send to one origin each, and never sees.
        clock: "coarse", or "precise": as fine as the host's, fine enough to time a cache.
        random: "real", or a seed that makes every run draw the same numbers.
        wasi: the highest WASI level a component may use; "0.3" is experimental.
        on_denied: "continue" gives the guest an error number and counts; "stop" ends the run as "denied".
        limits: what it may use up.

    Raises:
        PolicyError: it contradicts itself, or grants what does not exist or must not be granted.
    """

    __slots__ = ("_document", "_linked", "_native")
    _native: core.Policy
    _document: dict[str, Any]
    # Languages that were linked under it, by their names, for `run`; gone with the policy, whose directories they hold.
    _linked: dict[str, tuple[object, core.Sandbox]]

    def __init__(
        self,
        *,
        dirs: Iterable[Dir] = (),
        tmp: bool = False,
        env: Mapping[str, str] | None = None,
        inherit_env: Iterable[str] = (),
        net: Net | None = None,
        secrets: Iterable[Secret] = (),
        clock: Literal["coarse", "precise"] = "coarse",
        random: Literal["real"] | int = "real",
        wasi: Literal["0.2", "0.3"] = "0.2",
        on_denied: Literal["continue", "stop"] = "continue",
        limits: Limits | None = None,
    ) -> None:
        entries = list(dirs)
        document = {
            "dirs": [_dir_fields(entry) for entry in entries],
            "tmp": tmp,
            "env": dict(env or {}),
            "inherit_env": _names(inherit_env),
            "net": net._given() if net else {},  # noqa: SLF001
            "secrets": [secret._fields() for secret in secrets],
            "clock": clock,
            "random": random,
            "wasi": wasi,
            "on_denied": on_denied,
            "limits": limits._given() if limits else {},  # noqa: SLF001
        }
        given = {name: value for name, value in document.items() if value != _DEFAULTS[name]}
        trees = [entry.tree for entry in entries if entry.tree]
        object.__setattr__(self, "_native", _native(given, trees))
        object.__setattr__(self, "_linked", {})

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Self:
        """
        Read a policy file.

        Relative hosts are taken from where the file is. No file is ever read unless it is named.

        Raises:
            PolicyError: as for a policy made in Python; names the line, and the nearest right key for a wrong one.
        """
        file = os.fspath(path)
        try:
            with open(file, encoding="utf-8") as source:  # noqa: PTH123 - pathlib costs 4 ms to import
                text = source.read()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise PolicyError(f"cannot read the policy `{file}`", why, "name a policy file") from error
        return cls._of(core.Policy.from_toml(text, file, unpack))

    @classmethod
    def _of(cls, native: core.Policy) -> Self:
        policy = cls.__new__(cls)
        object.__setattr__(policy, "_native", native)
        object.__setattr__(policy, "_linked", {})
        return policy

    @staticmethod
    def schema() -> str:
        """Get the JSON schema of a policy file, as text."""
        return core.policy_schema()

    def to_toml(self) -> str:
        """Write the policy as a file's text, hosts absolute."""
        return self._native.to_toml()

    def replace(self, **changes: Unpack[PolicyFields]) -> Policy:
        """Make the same policy but for these; it opens its directories anew."""
        fields: dict[str, Any] = {**{name: getattr(self, name) for name in _DEFAULTS}, **changes}
        return Policy(**fields)

    def wider_than(self, other: Policy, /) -> tuple[str, ...]:
        """
        Tell what this policy grants that `other` does not, one text each; none where it is as narrow, or narrower.

        Directories are compared by where they are on the host now that they are open, whatever the guest's paths. A
        grant by name is within one by `*.`, an address within its range, and a path within the one above it; what can
        be told only by asking a server is not told, and counts as wider.
        """
        return tuple(self._native.wider_than(other._native))

    @property
    def dirs(self) -> tuple[Dir, ...]:
        """The directories and files it sees; hosts absolute."""
        trees = dict(self._native.trees())
        return tuple(Dir._of(entry, trees) for entry in self._read()["dirs"])  # noqa: SLF001

    @property
    def tmp(self) -> bool:
        """Whether it has a private `/tmp`."""
        return bool(self._read()["tmp"])

    @property
    def env(self) -> dict[str, str]:
        """The variables set for it."""
        return dict(self._read()["env"])

    @property
    def inherit_env(self) -> tuple[str, ...]:
        """The variables handed on, by name."""
        return tuple(self._read()["inherit_env"])

    @property
    def net(self) -> Net:
        """What it may reach over the network."""
        from ._network import Net

        return Net(**self._read()["net"])

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The values it may send and never sees."""
        from ._network import Secret

        return tuple(Secret(**entry) for entry in self._read()["secrets"])

    @property
    def clock(self) -> Literal["coarse", "precise"]:
        """How fine its clocks are."""
        clock: Literal["coarse", "precise"] = self._read()["clock"]
        return clock

    @property
    def random(self) -> Literal["real"] | int:
        """Where its random numbers come from."""
        random: Literal["real"] | int = self._read()["random"]
        return random

    @property
    def wasi(self) -> Literal["0.2", "0.3"]:
        """The highest WASI level a component may use."""
        wasi: Literal["0.2", "0.3"] = self._read()["wasi"]
        return wasi

    @property
    def on_denied(self) -> Literal["continue", "stop"]:
        """What happens when it asks for more."""
        on_denied: Literal["continue", "stop"] = self._read()["on_denied"]
        return on_denied

    @property
    def limits(self) -> Limits:
        """What it may use up, every default filled in."""
        return Limits(**self._read()["limits"])

    def _read(self) -> dict[str, Any]:
        try:
            return self._document
        except AttributeError:
            import json

            object.__setattr__(self, "_document", json.loads(self._native.document()))
            return self._document

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Policy is frozen: make another with `policy.replace({name}=…)`")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"Policy is frozen: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        return self._read() == other._read() if isinstance(other, Policy) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._native.document())

    def __repr__(self) -> str:
        return f"Policy({', '.join(f'{name}={getattr(self, name)!r}' for name in _DEFAULTS)})"

    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (self._native.document(), [tree for _, tree in self._native.trees()])


# What says nothing in a document: the native side knows the same defaults.
_DEFAULTS: dict[str, object] = {
    "dirs": [],
    "tmp": False,
    "env": {},
    "inherit_env": [],
    "net": {},
    "secrets": [],
    "clock": "coarse",
    "random": "real",
    "wasi": "0.2",
    "on_denied": "continue",
    "limits": {},
}


def check_policy(policy: object) -> None:
    """
    Check that something is a policy, or None.

    Raises:
        TypeError: it is neither.
    """
    if policy is not None and not isinstance(policy, Policy):
        fix = '`policy=Policy(limits=Limits(wall="5s"))`, or `Policy.from_file(…)` for one that is written down'
        raise TypeError(f"`policy` is a Policy, and cannot be {policy!r:.60}\nhint: {fix}")


def check_wider(policy: Policy | None, *, allow_wider: bool) -> None:
    """
    Refuse leave to be wider where there is nothing that could be.

    Raises:
        ValueError: there is no policy.
    """
    check_policy(policy)
    if allow_wider and policy is None:
        raise ValueError("allow_wider without policy: there is nothing that could be wider\nhint: give policy too")


def reopened(document: str) -> Policy:
    """Make the policy of a document that was written on this machine or another; trees in memory are not in it."""
    return _revive(document, [])


def _revive(document: str, trees: list[core.Tree]) -> Policy:
    return Policy._of(core.Policy(document, "/", trees, unpack))  # noqa: SLF001


def _native(document: dict[str, object], trees: list[core.Tree]) -> core.Policy:
    if not document:  # the policy of a first run, which then does without the millisecond that json costs
        return core.Policy("{}", "/")
    import json

    try:
        text = json.dumps(document, default=_refuse, allow_nan=False, ensure_ascii=False)
        text.encode()
    except PolicyError:
        raise
    except ValueError as error:
        raise PolicyError(
            "the policy cannot be written down", str(error), "give finite numbers, and text that is UTF-8"
        ) from error
    return core.Policy(text, os.getcwd(), trees, unpack)  # noqa: PTH109


def _refuse(value: object) -> object:
    raise PolicyError(
        f"a policy cannot hold {value!r}",
        f"it is plain data, and this is a {type(value).__name__}",
        "give text, a number, or true or false",
    )


def _dir_fields(entry: Dir) -> dict[str, object]:
    if not isinstance(entry, Dir):
        raise PolicyError(f"{entry!r} is not a grant", "dirs is a list of Dir", f"write `Dir({entry!r})`")
    fields = {name: getattr(entry, name) for name in ("host", "zip", "at", "mode")}
    fields["tree"] = entry.tree and entry.tree.digest()
    return {name: value for name, value in fields.items() if value is not None}


def _names(names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise PolicyError(f"{names!r} is not a list of names", "it is one text", f"write `inherit_env=[{names!r}]`")
    return list(names)
