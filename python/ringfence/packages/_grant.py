"""The policy of a guest that has packages: it reads them, and finds them when it imports."""

from __future__ import annotations

from ringfence._dir import Dir
from ringfence.errors import LoadError, PolicyError

from ._store import AT, bring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ringfence._policy import Policy
    from ringfence.languages import Pack

_PATH = "PYTHONPATH"


def granted(
    policy: Policy, packages: Iterable[str], pack: Pack | None, progress: Callable[[float], None] | None = None
) -> Policy:
    """
    Add packages to a policy: a directory to read, and the variable that leads there.

    Args:
        policy: what the guest may do otherwise.
        packages: names of the index, see `bring`.
        pack: the Python that they are for; None where there is none.
        progress: called while they are brought in.

    Raises:
        PolicyError: the policy grants something else where they would lie.
        LoadError: they cannot be brought in.
    """
    if pack is None:
        what = "a WebAssembly program takes no packages"
        raise LoadError(what, "they are for source in Python", "leave packages out: it has what it needs inside")
    if any((grant.at or "").rstrip("/") == AT for grant in policy.dirs):
        what = f"the policy grants something at `{AT}`"
        raise PolicyError(what, "the packages lie there", "grant it at another path")
    if _PATH in policy.inherit_env:
        what = f"the policy hands `{_PATH}` on"
        raise PolicyError(what, "the packages are found by it", "set it instead, in `env`; they are found after it")
    kept = bring(packages, pack, progress)
    env = policy.env
    path = f"{env[_PATH]}:{AT}" if env.get(_PATH) else AT
    return policy.replace(dirs=[*policy.dirs, Dir(kept.folder, at=AT)], env={**env, _PATH: path})
