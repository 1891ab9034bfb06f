"""What a run was refused, as events of the logger `ringfence.audit`."""

from __future__ import annotations

import sys

from ._text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def audit(
    program: str, outcome: str, limit: str | None, wall_seconds: float, denials: Sequence[tuple[str, str, int, float]]
) -> None:
    """
    Log one event of level INFO for each denial of a finished run or turn, and one for the limit that it reached.

    The fields of an event are attributes of its record: `event` is "denied" or "limited", `program` and `outcome` are
    the run's. "denied" has those of `Denial`, with `first_time` as well, the first time in seconds since 1970;
    "limited" has `limit`. Text of the guest's is escaped and cut, and a run has at most 101 events.
    """
    # Who did not import it does not listen, and does not pay for the import.
    logging = sys.modules.get("logging")
    if logging is None:
        return
    logger = logging.getLogger("ringfence.audit")
    if not logger.isEnabledFor(logging.INFO):
        return
    import time

    began = time.time() - wall_seconds
    run = {"program": quote(program), "outcome": outcome}
    for kind, what, count, first in denials:
        fields = {"event": "denied", "kind": kind, "what": quote(what), "count": count, **run}
        fields |= {"first_seconds": first, "first_time": began + first}
        times = "once" if count == 1 else f"{count} times"
        text = "%s was refused %s of %s %s"
        logger.info(text, run["program"], kind, fields["what"], times, extra=fields)
    if limit is not None:
        fields = {"event": "limited", "limit": limit, **run}
        logger.info("%s was stopped at its %s limit", run["program"], limit, extra=fields)
