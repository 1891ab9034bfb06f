"""From requirements to exactly which wheels: pure ones, for the guest's Python and not for the host's."""

from __future__ import annotations

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion

from ringfence._text import quote
from ringfence._value import Value
from ringfence.errors import HostError, LoadError

from ._pip import Unresolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from ._pip import Pip
    from ._requirement import Asked

# Their wheels have a compiled part that the package can do without, and no pure wheel beside them: that part is left
# out. Each is tested.
STRIPPED = frozenset({"markupsafe", "pyyaml"})

# What python-data has inside.
_DATA = frozenset({"numpy", "pandas", "scipy"})

# What pip says of a network that fails it.
_UNREACHED = ("ConnectionError", "Could not fetch URL", "onnection broken", "timed out")

# Each round adds what the guest needs and the host would not; a chain of more such packages is unheard of.
_ROUNDS = 5


class Wheel(Value):
    """
    A wheel of the index.

    Attributes:
        name: of the package, as the index writes it in addresses.
        version: of the package.
        sha256: the digest that the index has.
    """

    __slots__ = ("name", "version", "sha256")
    name: str
    version: str
    sha256: str

    def __init__(self, name: str, version: str, sha256: str) -> None:
        self._fill(name=name, version=version, sha256=sha256)

    @property
    def line(self) -> str:
        """What a locked file of requirements has for it."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def resolve(requirements: Sequence[Asked], version: str, pip: Pip) -> list[Wheel]:
    """
    Choose the wheels, in the order of their names.

    Args:
        requirements: what is asked for.
        version: of the guest's Python, such as "3.13.5".
        pip: asks the index.

    Raises:
        LoadError: there is no such package, they do not go together, one has only a compiled form, or the index has
            another wheel than its digest says.
        HostError: the index cannot be asked.
    """
    guest = environment(version)
    pins = _pins(requirements, guest)
    asked = [_without_marker(one) for one in requirements if _holds(one, guest, {""})]
    for _ in range(_ROUNDS):
        found = _asked(asked, pip) if asked else {}
        needed, missing = _needed(asked, found, guest)
        if not missing:
            _check_pinned(needed, pins)
            return [_checked(_wheel(found[name], pip), pins) for name in sorted(needed)]
        asked += missing
    raise LoadError(
        "the packages cannot be brought in",
        "what they need depends on the version of Python again and again",
        "name the packages that are missing yourself",
    )


def environment(version: str) -> dict[str, str]:
    """Give what markers are asked about, as the guest's Python answers."""
    return {
        "implementation_name": "cpython",
        "implementation_version": version,
        "os_name": "posix",
        "platform_machine": "wasm32",
        "platform_python_implementation": "CPython",
        "platform_release": "0.0.0",
        "platform_system": "wasi",
        "platform_version": "0.0.0",
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": "wasi",
    }


def _holds(requirement: Requirement, guest: dict[str, str], extras: Iterable[str]) -> bool:
    """Tell whether the guest's Python needs it, with one of these extras."""
    marker = requirement.marker
    try:
        return marker is None or any(marker.evaluate({**guest, "extra": extra}) for extra in extras)
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion) as error:
        why = f"its marker compares what cannot be compared: {quote(str(error), 100)}"
        raise _unreadable(requirement.name, str(requirement), why) from error


def _without_marker(requirement: Requirement) -> Requirement:
    """Hide from pip what it would ask about the host."""
    bare = Requirement(str(requirement))
    bare.marker = None
    return bare


def _asked(requirements: Sequence[Requirement], pip: Pip) -> dict[str, Mapping[str, Any]]:
    try:
        installs = pip.resolve([str(one) for one in requirements])
    except Unresolved as error:
        names = ", ".join(f"`{one}`" for one in requirements)
        told, why = str(error), error.why()
        if any(sign in told for sign in _UNREACHED):
            raise HostError(
                f"the package index cannot be reached for {names}",
                why,
                "look at the network; `pip config debug` shows which index is set",
            ) from error
        raise LoadError(
            f"{names} cannot be brought in",
            f"there are no wheels that go together for Python in the sandbox: {why}",
            "look at the name and the versions; what has only a source archive is built first: `pip wheel NAME`, "
            "unpacked into a folder of yours, and granted with `--dir`",
        ) from error
    return {canonicalize_name(one["metadata"]["name"]): one for one in installs}


def _needed(
    asked: Iterable[Requirement], found: Mapping[str, Mapping[str, Any]], guest: dict[str, str]
) -> tuple[set[str], list[Requirement]]:
    """Follow what needs what, with the guest's answers: the names, and what pip did not see that they need."""
    names: dict[str, set[str]] = {}
    missing: list[Requirement] = []
    left = [(canonicalize_name(one.name), set(one.extras), one) for one in asked]
    while left:
        name, extras, requirement = left.pop()
        if name not in found:
            missing.append(_without_marker(requirement))
            continue
        new = extras - names.get(name, set())
        if name in names and not new:
            continue
        names[name] = names.get(name, set()) | extras
        for text in found[name]["metadata"].get("requires_dist", ()):
            need = _need(name, text)
            if _holds(need, guest, {"", *names[name]}):
                left.append((canonicalize_name(need.name), set(need.extras), need))
    return set(names), missing


def _need(name: str, text: str) -> Requirement:
    """Read what a package says that it needs."""
    try:
        need = Requirement(text)
    except InvalidRequirement as error:
        raise _unreadable(name, text, "it is not written as requirements are") from error
    if need.url is not None:  # pip has not seen it, or it would have refused it
        raise _unreadable(name, text, "it is an address, not a name")
    return need


def _unreadable(name: str, text: str, why: str) -> LoadError:
    what = f"`{quote(name, 60)}` cannot be brought in"
    return LoadError(what, f"of its requirement `{quote(text, 100)}`: {why}", "take another version of it")


def _wheel(install: Mapping[str, Any], pip: Pip) -> Wheel:
    name, version = canonicalize_name(install["metadata"]["name"]), install["metadata"]["version"]
    if not _is_pure(install) and name not in STRIPPED:
        try:
            [install] = pip.resolve([f"{name}=={version}"], pure=True, closed=True)
        except Unresolved as error:
            inside = name in _DATA
            raise LoadError(
                f"`{name}` {version} cannot be brought in",
                "it has a compiled part, for processors and systems that a sandbox is not",
                'python-data has it inside: `ringfence languages install python-data`, then language="python-data"'
                if inside
                else f"look for a package that is Python alone; an older `{name}` may be: add `{name}<{version}`",
            ) from error
    digest = install["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
    if not isinstance(digest, str):
        why = "the index has no digest of it, so nobody could tell what arrives"
        raise LoadError(f"`{name}` {version} cannot be brought in", why, "use an index that has digests")
    return Wheel(name, version, digest)


def _pins(requirements: Sequence[Asked], guest: dict[str, str]) -> dict[str, frozenset[str]] | None:
    """Give the digests that each may have; None where nobody asked for any."""
    if not any(one.digests for one in requirements):
        return None
    pins: dict[str, frozenset[str]] = {}
    for one in requirements:
        if one.digests and _holds(one, guest, {""}):
            name = canonicalize_name(one.name)
            pins[name] = pins.get(name, one.digests) & one.digests
    return pins


def _check_pinned(needed: Iterable[str], pins: Mapping[str, frozenset[str]] | None) -> None:
    """Refuse a list that is pinned in part, as pip does: the rest of it could be anything."""
    if pins is None or not (loose := sorted(name for name in needed if name not in pins)):
        return
    names = ", ".join(f"`{name}`" for name in loose)
    raise LoadError(
        f"{names} cannot be brought in",
        "there is no digest for it, and where one package has a digest, all have: what they need too",
        "let `uv pip compile --generate-hashes` write the list, which has them all; or leave all digests out",
    )


def _checked(wheel: Wheel, pins: Mapping[str, frozenset[str]] | None) -> Wheel:
    if pins is None or wheel.sha256 in pins[wheel.name]:
        return wheel
    raise LoadError(
        f"`{wheel.name}` {wheel.version} cannot be brought in",
        f"the index has a wheel with the digest sha256:{wheel.sha256}, and that is none of those asked for",
        "find out who changed it: the index, or the list; then let `uv pip compile --generate-hashes` write it anew",
    )


def _is_pure(install: Mapping[str, Any]) -> bool:
    file = install["download_info"]["url"].partition("#")[0].rpartition("/")[2]
    _, _, _, tags = parse_wheel_filename(file.replace("%2B", "+"))
    return all(tag.abi == "none" and tag.platform == "any" for tag in tags)
