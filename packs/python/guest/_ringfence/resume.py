"""The beginning of a run: what must not be the same in two runs of one snapshot."""

import logging
import os
import random
import sys
import tempfile
import time

import _ringfence_host

from _ringfence import functions, importer


def reseed():
    """Make `random` differ; 32 bytes are enough, and touch less memory than `seed()` does."""
    random.seed(int.from_bytes(os.urandom(32)))


def resume():
    """Begin a fresh run: variables, search path, random numbers, the functions of the host."""
    environment = os.environ._data
    environment.clear()
    for each in _ringfence_host.variables():
        name, _, value = each.partition(b"=")
        environment[name] = value
    reseed()
    logging._startTime = time.time_ns()
    path = environment.get(b"PYTHONPATH")
    sys.path[:] = [each for each in os.fsdecode(path).split(":") if each] if path else []
    importer.shortcut.granted = None
    functions.offer()


def resume_copy():
    """Go on in the copy of a live session: it keeps its variables and its search path."""
    importer.shortcut.granted = None
    reseed()
    tempfile._name_sequence = None  # its numbers are its own, and made anew for another process only


def buffer_lines():
    """Have a session's output come out by lines: it is watched."""
    sys.stdout.reconfigure(line_buffering=True)
