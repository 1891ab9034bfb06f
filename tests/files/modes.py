"""Where files of a guest can be: one place for each mode of a grant, and for each isolation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import ringfence
from files.wasi01 import Wasi01
from files.wasi02 import Wasi02

if TYPE_CHECKING:
    from pathlib import Path

    from files.acts import Script

STANDARDS: dict[str, type[Script]] = {"wasi01": Wasi01, "wasi02": Wasi02}
MODES = ("ro", "rw", "overlay", "memory", "tmp")
ON_HOST = frozenset({"ro", "rw", "overlay"})
# What has a layer, or a directory of its own, in the worker that runs the guest.
WORKER_MODES = ("rw", "overlay", "memory")

# A slot that only making a tree uses.
_MAKING = 60


class Place:
    """A directory of a guest: on the host where the mode has one there, made by the guest where it has not."""

    def __init__(self, mode: str, host: Path, isolation: Literal["wasm", "worker"] = "wasm") -> None:
        self.mode = mode
        self.host = host if mode in ON_HOST else None
        self.isolation = isolation

    def path(self, name: str) -> str:
        """Where the guest sees something, from its root."""
        return f"{'tmp' if self.mode == 'tmp' else 'at'}/{name}".rstrip("/")

    def policy(self, **more: Any) -> ringfence.Policy:
        """Write the policy."""
        if self.mode == "tmp":
            return ringfence.Policy(tmp=True, **more)
        if self.host is None:
            return ringfence.Policy(dirs=[ringfence.Dir.memory(at="/at")], **more)
        return ringfence.Policy(dirs=[ringfence.Dir(self.host, at="/at", mode=self.mode)], **more)  # type: ignore[arg-type]

    def sandbox(self, script: Script, **more: Any) -> ringfence.Sandbox:
        """Make a sandbox for a script."""
        return ringfence.Sandbox(script.guest(), policy=self.policy(**more), isolation=self.isolation)

    def mkdir(self, script: Script, name: str) -> None:
        """Make a directory."""
        if self.host is None:
            script.mkdir(self.path(name))
        else:
            (self.host / name).mkdir()

    def file(self, script: Script, name: str, data: bytes) -> None:
        """Make a file."""
        if self.host is None:
            script.open(_MAKING, self.path(name), write=True, create=True)
            script.write(_MAKING, 0, data)
            script.close(_MAKING)
        else:
            (self.host / name).write_bytes(data)

    def symlink(self, script: Script, name: str, target: str) -> None:
        """Make a symbolic link."""
        if self.host is None:
            script.symlink(target, self.path(name))
        else:
            (self.host / name).symlink_to(target)
