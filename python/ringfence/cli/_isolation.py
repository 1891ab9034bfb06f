"""The flag that says where guests run."""

from __future__ import annotations

from ._verbs import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def add_isolation(parser: argparse.ArgumentParser) -> None:
    """Add it."""
    kinds = ("wasm", "process", "worker")
    about = "run it in a child process, or in one behind a wall"
    parser.add_argument("--isolation", choices=kinds, default="wasm", help=about)


def check_workers(clients: int, languages: int) -> None:
    """Refuse to promise more sessions than there may be child processes."""
    from ringfence._isolation import MAX_WORKERS

    most = clients * languages
    if most <= MAX_WORKERS:
        return
    fewer = MAX_WORKERS // languages
    raise UsageError(
        f"{clients} clients cannot have their sessions in child processes",
        f"with {languages} languages that may be {most} processes, and {MAX_WORKERS} is the most",
        f"serve fewer clients: `--sessions {fewer}`" if fewer else "serve fewer languages: `--language NAME`",
    )
