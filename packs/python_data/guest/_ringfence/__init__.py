"""What the driver calls: the boot code of the pack. Most of it is the Python pack's."""

from _ringfence.driver import begin, eval, flush, resume, resume_copy, run  # noqa: A004 - the driver's name for it

__all__ = ["begin", "eval", "flush", "resume", "resume_copy", "run"]
