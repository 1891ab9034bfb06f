# What is made here are plugins, by the parts that they are made of.
# ruff: noqa: SLF001
"""What a plugin was at one moment: `PluginSnapshot`, to fork plugins from."""

from __future__ import annotations

from ._plugin_imports import spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._engine import core
    from ._plugin import Plugin
    from ._policy import Policy
    from ._program import Program


class PluginSnapshot:
    """
    What a plugin was between two calls. Plugins are forked from it as often as one likes; none sees another.

    It holds memory and globals of a core module: no file, no descriptor, and no secret's value. Secrets are read again
    for each fork. It is in this process only, and is freed with its last reference.
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
        if allow_wider and policy is None:
            raise ValueError("allow_wider without policy: there is nothing that could be wider\nhint: give policy too")
        of, native = self._of, self._native
        if of._profile is not None and count > 1:
            # What is measured is measured for each fork alone.
            return [self.fork(policy=policy, allow_wider=allow_wider, imports=imports) for _ in range(count)]
        if policy is not None or imports is not None or of._profile is not None:
            of, native = _continuing(of, native, policy, imports, allow_wider=allow_wider)
        return [_plugin(of, each) for each in native.fork(count)]

    def __repr__(self) -> str:
        return f"<PluginSnapshot {self.program.name!r}>"


def without_instance(plugin: Plugin) -> Plugin:
    """Give what forks of a plugin are made like: its instance may be gone long before a snapshot of it is."""
    of = object.__new__(type(plugin))
    of.__dict__.update({name: value for name, value in plugin.__dict__.items() if name not in {"_native", "exports"}})
    return of


def _continuing(
    of: Plugin,
    native: core.PluginSnapshot,
    policy: Policy | None,
    imports: Mapping[str, object] | None,
    *,
    allow_wider: bool,
) -> tuple[Plugin, core.PluginSnapshot]:
    """Load the program again, for forks with another policy and other functions."""
    under = object.__new__(type(of))
    under._from = native, allow_wider
    words = {**of._words, "imports": spare(of._words["imports"] or {}) if imports is None else imports}
    under._begin_as(of, of.program, policy=of.policy if policy is None else policy, progress=None, **words)
    native, _ = under._from
    under._from = None
    return under, native


def _plugin(of: Plugin, native: core.Plugin) -> Plugin:
    fork = object.__new__(type(of))
    fork.__dict__.update(of.__dict__)
    fork._open(native)
    return fork
