"""Seconds and bytes for people to read, in the same words a policy takes."""

from __future__ import annotations


def seconds(value: float) -> str:
    """
    Write a length of time.

    >>> seconds(0.5), seconds(90)
    ('500ms', '90s')
    """
    return f"{value * 1000:.3g}ms" if value < 1 else f"{value:.6g}s"


def size(value: int) -> str:
    """
    Write an amount of memory, exactly if a whole number of some unit tells it.

    >>> size(268435456), size(1500)
    ('256MiB', '1500B')
    """
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return f"{value}B"


def about(value: int) -> str:
    """
    Write an amount of memory to three digits, for reports.

    >>> about(1500), about(20)
    ('1.46 KiB', '20 B')
    """
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value} B"


def to_size(text: str) -> int:
    """
    Read an amount of memory as a policy writes it.

    >>> to_size("64KiB")
    65536
    """
    number = text.rstrip("BKMGi")
    factor = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}.get(text[len(number) :])
    if factor is None or not number.isdecimal():
        raise ValueError(f"{text!r} is not an amount of memory")
    return int(number) * factor
