"""What is said when a build cannot go on."""

from __future__ import annotations


class Failure(Exception):
    """
    A build that cannot go on.

    Attributes:
        what: what failed.
        why: why, in the words of the tool where there are any.
        fix: what to do, a command where there is one.
    """

    def __init__(self, what: str, why: str, fix: str) -> None:
        super().__init__(f"{what}: {why}\nhint: {fix}")
        self.what, self.why, self.fix = what, why, fix
