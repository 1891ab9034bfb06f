# What is made here are plugins, by the parts that they are made of.
# ruff: noqa: SLF001
"""What a plugin was at one moment: `PluginSnapshot`, to fork plugins from."""

from __future__ import annotations

import os

from ._engine import core
from ._plugin_imports import spare
from ._policy import check_wider
from ._program import to_program
from ._saved import saved_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    from ._plugin import Plugin
    from ._plugin_async import APlugin
    from ._plugin_pool import PluginPool
    from ._policy import Policy
    from ._program import Program


class PluginSnapshot:
    """
    What a plugin was between two calls. Plugins are forked from it as often as one likes; none sees another.

    It holds memory and globals of a core module: no file, no descriptor, and no secret's value. Secrets are read again
    for each fork. It is in this process only until it is saved, and is freed with its last reference.
    """

    __slots__ = ("_native", "_of")

    def __init__(self, native: core.PluginSnapshot, of: Plugin, /) -> None:
        self._native, self._of = native, of

    @property
    def program(self) -> Program:
        """What its plugin was loaded from."""
        return self._of.program

    def fork(
        self, *, policy: Policy | None = None, allow_wider: bool = False, imports: Mapping[str, object] | None = None
    ) -> Plugin:
        """
        Open a plugin that goes on from here.

        Args:
            policy: what it may do instead of what the plugin might; no wider, see `Policy.wider_than`.
            allow_wider: let `policy` grant more.
            imports: objects instead of those of the plugin that it was, as for `Plugin`.

        Raises:
            PolicyError: `policy` is wider than that of the plugin; says in what.
            LoadError: what it imports is not given as it should be.
            PluginError: the snapshot is of another process.
        """
        return self.fork_many(1, policy=policy, allow_wider=allow_wider, imports=imports)[0]

    def fork_many(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
    ) -> list[Plugin]:
        """Open `count` plugins that go on from here, as `fork` does."""
        if count < 0:
            raise ValueError(f"{count} forks cannot be made\nhint: give how many, 0 or more")
        check_wider(policy, allow_wider=allow_wider)
        of, native = self._of, self._native
        if of._profile is not None and count > 1:
            # What is measured is measured for each fork alone.
            return [self.fork(policy=policy, allow_wider=allow_wider, imports=imports) for _ in range(count)]
        if policy is not None or imports is not None or of._profile is not None or of._forked is not None:
            under = object.__new__(of._forked or type(of))
            native = self._continued(under, policy, imports, allow_wider=allow_wider)
            of = under
        return [of._with(each) for each in native.fork(count)]

    async def afork(
        self,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
        instances: int = 1,
        fresh: Literal["call"] | None = None,
    ) -> APlugin:
        """
        Open a plugin that goes on from here and whose functions are awaited.

        Args:
            policy: as for `fork`.
            allow_wider: as for `fork`.
            imports: as for `fork`; each may be an `async def`, as for `APlugin`.
            instances: how many calls may be under way at one time; with more than one they are a pool, as of `pool`.
            fresh: as for `pool`.

        Raises:
            PolicyError: as `fork`.
            LoadError: as `fork`.
            PluginError: as `fork`.
        """
        from ringfence import APlugin

        given = {"policy": policy, "allow_wider": allow_wider, "imports": imports}
        [fork] = await APlugin._forks(self, 1, instances=instances, fresh=fresh, **given)
        return fork

    async def afork_many(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
    ) -> list[APlugin]:
        """Open `count` plugins that go on from here and whose functions are awaited, as `afork` does."""
        from ringfence import APlugin

        return await APlugin._forks(self, count, policy=policy, allow_wider=allow_wider, imports=imports)

    def pool(
        self,
        count: int,
        *,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
        fresh: Literal["call"] | None = None,
    ) -> PluginPool:
        """
        Open a pool, each instance of which goes on from here whenever it begins.

        Args:
            count: as for `PluginPool`.
            policy: as for `fork`.
            allow_wider: as for `fork`.
            imports: as for `fork`; called from as many threads at once.
            fresh: "call" makes every call in a fork of its own, which finds what is here and nothing of another call.

        Raises:
            PolicyError: as `fork`.
            LoadError: as `fork`.
            PluginError: as `fork`.
            ValueError: there cannot be so many instances.
        """
        from ringfence import PluginPool

        pool = object.__new__(PluginPool)
        pool._of_so_many(count, fresh)
        self._continued(pool, policy, imports, allow_wider=allow_wider, profile=False)
        return pool

    def save(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """
        Write it to a file, from which it can be loaded again: here, in another process, or on another machine.

        The file holds what the plugin's memory holds, in the clear, and its policy; never a secret's value, its
        program, or native code. Only you may read it (0600). It is there whole or not at all, whatever ends this
        process.

        Args:
            path: where; a file that is there already is replaced.
            key: what authenticates it, 32 random bytes or more, for another machine or user that has them too; without
                one, a key of this user on this machine, made on first use.

        Raises:
            HostError: it cannot be written; what was there is as it was.
            PolicyError: `key` is too short.
            PluginError: the snapshot is of another process, or of a plugin for Extism.
        """
        self._native.save(os.fspath(path), key)

    async def asave(self, path: str | os.PathLike[str], *, key: bytes | None = None) -> None:
        """Write it to a file while the event loop goes on; as `save`."""
        from ._running import on_thread

        await on_thread(lambda _: self.save(path, key=key))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        program: str | os.PathLike[str] | bytes | Program,
        *,
        key: bytes | None = None,
        policy: Policy | None = None,
        allow_wider: bool = False,
        imports: Mapping[str, object] | None = None,
        inline: bool = False,
        stub: bool = False,
        profile: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> PluginSnapshot:
        """
        Read a snapshot that was saved.

        Nothing of the file is looked at before all of it was proven to be as it was written with the key. Whoever has
        the key decides what it holds, its policy included: give `policy` where that is not you.

        Args:
            path: the file.
            program: the program that it was saved with.
            key: what it was saved with; without one, the key of this user on this machine.
            policy: what its forks may do: nothing that the policy that it was saved under does not grant. Without one
                they have that policy, whose directories are opened again here.
            allow_wider: let `policy` grant more.
            imports: as for `Plugin`.
            inline: as for `Plugin`.
            stub: as for `Plugin`.
            profile: as for `Plugin`.
            progress: as for `Plugin`.

        Raises:
            SnapshotNotFound: there is no such file.
            SnapshotForeign: it was saved with another key.
            SnapshotNewer: it has a format that only a newer Ringfence reads.
            SnapshotMismatch: it is memory of another program, or of a session.
            SnapshotError: it is no saved snapshot, or is not as it was written.
            PolicyError: `policy` is wider than the one that it was saved under, or that cannot be had here.
            LoadError: what it imports is not given as it should be.
        """
        # What makes plugins is above this module, and asked for by its public name.
        from ringfence import Plugin

        words = {"imports": imports, "inline": inline, "stub": stub, "profile": profile, "progress": progress}
        return loaded(object.__new__(Plugin), path, program, key, policy, allow_wider=allow_wider, **words)

    @classmethod
    async def aload(
        cls,
        path: str | os.PathLike[str],
        program: str | os.PathLike[str] | bytes | Program,
        **words: Any,  # noqa: ANN401 - as for `load`
    ) -> PluginSnapshot:
        """Read a snapshot that was saved while the event loop goes on; as `load`."""
        from ._running import on_thread

        return await on_thread(lambda _: cls.load(path, program, **words))

    def _continued(
        self,
        under: Plugin,
        policy: Policy | None,
        imports: Mapping[str, object] | None,
        *,
        allow_wider: bool,
        **other: Any,  # noqa: ANN401 - as for `Plugin`
    ) -> core.PluginSnapshot:
        """Load the program again, for a pool, or for forks with another policy or other functions, or awaited ones."""
        check_wider(policy, allow_wider=allow_wider)
        of = self._of
        words = {**of._words, **other}
        words["imports"] = spare(of._words["imports"] or {}) if imports is None else imports
        under._from = self._native, allow_wider
        return _begun(under, of.program, policy=of.policy if policy is None else policy, **words)

    def __repr__(self) -> str:
        return f"<PluginSnapshot {self.program.name!r}>"


def loaded(
    of: Plugin,
    path: str | os.PathLike[str],
    program: str | os.PathLike[str] | bytes | Program,
    key: bytes | None,
    policy: Policy | None,
    *,
    allow_wider: bool,
    **words: Any,  # noqa: ANN401 - as for `Plugin`
) -> PluginSnapshot:
    """Read a snapshot whose forks are like a plugin that has yet to be loaded."""
    import json

    check_wider(policy, allow_wider=allow_wider)
    saved = core.SavedPlugin(os.fspath(path), key)
    program = to_program(program)
    saved.check_program(program.digest)
    if policy is None:
        policy = saved_policy(json.loads(saved.facts())["policy"], os.fspath(path))
    of._from = saved, allow_wider
    return PluginSnapshot(_begun(of, program, policy=policy, **words), of)


def without_instance(plugin: Plugin) -> Plugin:
    """Give what forks of a plugin are made like: its instance may be gone long before a snapshot of it is."""
    own = {"_native", "exports", "_call"}
    of = object.__new__(type(plugin))
    of.__dict__.update({name: value for name, value in plugin.__dict__.items() if name not in own})
    return of


def _begun(of: Plugin, program: Program, **words: Any) -> core.PluginSnapshot:  # noqa: ANN401 - as for `Plugin`
    """Load a plugin for what it goes on from, and take the snapshot of that for it; a pool has kept its own."""
    from ringfence import Plugin

    Plugin.__init__(of, program, **words)
    native, of._from = of._from, None
    return native[0] if native else None  # type: ignore[return-value]
