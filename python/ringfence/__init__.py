"""
Run any WASI program under one policy.

>>> import ringfence
>>> policy = ringfence.Policy(dirs=[ringfence.Dir("data")], limits=ringfence.Limits(wall="5s"))
>>> result = ringfence.run("tool.wasm", ["/data/input.csv"], policy=policy)
>>> result.check().text

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._changes import Change, ChangedFiles, Changes
    from ._dir import Dir
    from ._executor import SandboxFuture, SandboxPoolExecutor
    from ._functions import Call
    from ._imports import CallbackAbandoned
    from ._network import Net, Secret
    from ._plugin import Plugin, PluginUsage
    from ._plugin_async import APlugin
    from ._plugin_pool import PluginPool
    from ._plugin_profile import FunctionProfile
    from ._plugin_snapshot import PluginSnapshot
    from ._plugin_streams import PluginFuture, PluginStream
    from ._plugin_values import Err, Ok, Some
    from ._policy import Limits, Policy
    from ._process import Process
    from ._program import Export, Import, Program
    from ._result import Denial, Result, Usage
    from ._run import arun, run
    from ._sandbox import Sandbox
    from ._sandboxed import Sandboxed
    from ._session import Session
    from ._snapshot import Snapshot
    from ._turn import Turn, TurnError, TurnUsage
    from .errors import (
        Busy,
        Cancelled,
        Conflict,
        Crashed,
        Denied,
        GuestError,
        GuestExited,
        GuestRaised,
        HostError,
        LimitReached,
        LoadError,
        PluginError,
        PolicyError,
        ProgramNotFound,
        ResultError,
        RingfenceError,
        SessionError,
        SnapshotError,
        SnapshotForeign,
        SnapshotMismatch,
        SnapshotNewer,
        SnapshotNotFound,
        Trapped,
        WallReached,
    )

__all__ = [
    "APlugin",
    "Busy",
    "Call",
    "CallbackAbandoned",
    "Cancelled",
    "Change",
    "ChangedFiles",
    "Changes",
    "Conflict",
    "Crashed",
    "Denial",
    "Denied",
    "Dir",
    "Err",
    "Export",
    "FunctionProfile",
    "GuestError",
    "GuestExited",
    "GuestRaised",
    "HostError",
    "Import",
    "LimitReached",
    "Limits",
    "LoadError",
    "Net",
    "Ok",
    "Plugin",
    "PluginError",
    "PluginFuture",
    "PluginPool",
    "PluginSnapshot",
    "PluginStream",
    "PluginUsage",
    "Policy",
    "PolicyError",
    "Process",
    "Program",
    "ProgramNotFound",
    "Result",
    "ResultError",
    "RingfenceError",
    "Sandbox",
    "SandboxFuture",
    "SandboxPoolExecutor",
    "Sandboxed",
    "Secret",
    "Session",
    "SessionError",
    "Snapshot",
    "SnapshotError",
    "SnapshotForeign",
    "SnapshotMismatch",
    "SnapshotNewer",
    "SnapshotNotFound",
    "Some",
    "Trapped",
    "Turn",
    "TurnError",
    "TurnUsage",
    "Usage",
    "WallReached",
    "arun",
    "run",
]

_HOMES = {
    "APlugin": "_plugin_async",
    "Call": "_functions",
    "CallbackAbandoned": "_imports",
    "Change": "_changes",
    "ChangedFiles": "_changes",
    "Changes": "_changes",
    "Denial": "_result",
    "Dir": "_dir",
    "Err": "_plugin_values",
    "Export": "_program",
    "FunctionProfile": "_plugin_profile",
    "Import": "_program",
    "Limits": "_policy",
    "Net": "_network",
    "Ok": "_plugin_values",
    "Plugin": "_plugin",
    "PluginFuture": "_plugin_streams",
    "PluginPool": "_plugin_pool",
    "PluginSnapshot": "_plugin_snapshot",
    "PluginStream": "_plugin_streams",
    "PluginUsage": "_plugin",
    "Policy": "_policy",
    "Process": "_process",
    "Program": "_program",
    "Result": "_result",
    "Sandbox": "_sandbox",
    "SandboxFuture": "_executor",
    "SandboxPoolExecutor": "_executor",
    "Sandboxed": "_sandboxed",
    "Secret": "_network",
    "Session": "_session",
    "Snapshot": "_snapshot",
    "Some": "_plugin_values",
    "Turn": "_turn",
    "TurnError": "_turn",
    "TurnUsage": "_turn",
    "Usage": "_result",
    "arun": "_run",
    "run": "_run",
}


if not TYPE_CHECKING:  # or every wrong name would be an object to a type checker

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
        globals()[name] = value
        return value


def load_ipython_extension(shell: object) -> None:
    """Give a notebook the cell magic `%%ringfence`: what `%load_ext ringfence` calls."""
    from importlib import import_module  # by its name: a room of the house does not stand below the others

    import_module(f"{__name__}._jupyter").load(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
