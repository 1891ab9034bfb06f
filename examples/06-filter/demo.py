#!/usr/bin/env python3
# ruff: noqa: T201
"""
A filter of a stranger brightens a picture: its memory goes in as it is, from numpy where that is, or from Python alone.

Any broken promise makes the exit code 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stage import GREEN, RED, paint, title, told

from ringfence import LimitReached, Limits, Plugin, Policy, RingfenceError

FILTER = Path(__file__).parent / "filter.wat"
POLICY = Policy(limits=Limits(wall="10s", memory="16MiB"))
WIDTH, HEIGHT = 640, 480


def picture() -> object:
    """Make one of three colours: of numpy, or a view of bytes."""
    try:
        import numpy as np
    except ImportError:
        return memoryview(bytes(at % 256 for at in range(WIDTH * HEIGHT * 3)))
    return (np.arange(WIDTH * HEIGHT * 3) % 256).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)


def main() -> int:
    """Brighten it, and hold the filter to its policy."""
    title("a filter of others")
    broken: list[str] = []

    def hold(promise: str, kept: bool) -> None:
        print(paint(f"  as promised: {promise}", GREEN) if kept else paint(f"  NOT AS PROMISED: {promise}", RED))
        if not kept:
            broken.append(promise)

    given = picture()
    before = bytes(memoryview(given).cast("B")) if isinstance(given, memoryview) else given.tobytes()  # type: ignore[attr-defined]
    with Plugin(FILTER, policy=POLICY, profile=True) as plugin:
        after = plugin.brighten(given, by=40)
        hold("every pixel is brighter, and none than white", after == bytes(min(one + 40, 255) for one in before))
        hold("the picture itself is as it was", before[:256] == bytes(range(256)))
        (row,) = plugin.profile()
        print(f"  {row.sent_bytes} bytes in, {row.received_bytes} out, {row.wall_seconds * 1000:.1f} ms")
        hold("it was copied once each way", row.sent_bytes - 9 == row.received_bytes - 8 == len(before))
        try:
            plugin.brighten(bytes(64 << 20), 1)
        except LimitReached as error:
            print(f"  {error.what}: {error.why}")
        except RingfenceError as error:
            print(f"  {error}")
        hold("a picture that is too large for its memory ends it, and not us", plugin.poisoned is not None)
        plugin.restart()
        hold("it begins anew", plugin.brighten(b"\x00\xff", 1) == b"\x01\xff")
    return told(broken)


if __name__ == "__main__":
    sys.exit(main())
