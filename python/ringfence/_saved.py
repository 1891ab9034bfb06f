"""Snapshots in files: what one tells of itself, and what it is loaded with."""

from __future__ import annotations

import os

from ._engine import core
from ._policy import Limits, Policy
from ._program import Program, pack_program
from ._text import quote
from .errors import LoadError, PolicyError, SnapshotMismatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._isolation import Isolation

    Path = str | os.PathLike[str]


class SavedFile:
    """
    A file of a snapshot that was proven to be as it was written.

    Attributes:
        native: the native side's part.
        facts: what it tells of itself.
        language: the language, as it was named.
    """

    __slots__ = ("_note", "_path", "facts", "language", "native")

    def __init__(self, path: Path, key: bytes | None) -> None:
        import json

        self._path = os.fspath(path)
        self.native = core.Saved(self._path, key)
        self.facts: dict[str, Any] = json.loads(self.native.facts())
        self.language: str = self.facts["language"]
        self._note: dict[str, Any] = json.loads(self.facts["note"])

    def program(self, language: str | Program | None) -> Program:
        """
        Find the program that it is memory of.

        Raises:
            LoadError: its language is not installed.
            SnapshotMismatch: what is there is another one.
        """
        program = language if isinstance(language, Program) else self._installed(language)
        self.native.check_program(program.digest)
        return program

    def _installed(self, language: str | None) -> Program:
        from .languages import find

        if language is None and not self._note["installed"]:
            raise SnapshotMismatch(
                f"the snapshot `{quote(self._path)}` cannot go on here",
                f"it is memory of a program that was given as such: {quote(self.facts['pack'])}",
                "give it again: `Snapshot.load(path, language=program)`",
            )
        pack = find(language or self.language)
        pack.check_sessions()
        return pack_program(pack)

    def policy(self) -> Policy:
        """
        Open what it was granted, here.

        Raises:
            PolicyError: that cannot be had here.
        """
        return saved_policy(self.facts["policy"], self._path)

    def turn(self) -> Limits | None:
        """Give the limits of each turn that its session had."""
        turn = self._note["turn"]
        return None if turn is None else Limits(**turn)

    def isolation(self) -> Isolation:
        """Give where its session was."""
        isolation: Isolation = self._note.get("isolation", "wasm")
        return isolation


def saved_policy(document: str, path: str) -> Policy:
    """
    Open what a snapshot was granted that is at this path, here.

    Raises:
        PolicyError: that cannot be had here.
    """
    from ._policy import reopened

    try:
        return reopened(document)
    except PolicyError as error:
        raise PolicyError(
            f"the policy that `{quote(path)}` was saved under cannot be had here",
            f"{error.what}: {error.why}",
            "give one that can: `Snapshot.load(path, policy=…)`",
        ) from error


def described(program: Program, language: str, turn: Limits | None, isolation: Isolation) -> tuple[str, str, str]:
    """Describe a snapshot for its file: its language, its pack for people, and what is read back by `SavedFile`."""
    import json

    pack, installed = f"`{program.name}`", False
    try:
        from .languages import find

        found = find(language)
        if pack_program(found) is program:
            pack, installed = f"{found.title} (pack {found.name} {found.version})", True
    except LoadError:
        pass
    given = None if turn is None else {name: value for name, value in turn._fields().items() if value is not None}
    return language, pack, json.dumps({"installed": installed, "turn": given, "isolation": isolation})
