"""What is done once, before the snapshot: imports, small repairs for a world without threads, warm code."""

import sys

import _ringfence_host

from _ringfence import importer

MODULES = """
abc argparse array ast asyncio base64 bisect calendar cmath codecs collections collections.abc concurrent.futures
configparser contextlib contextvars copy copyreg csv dataclasses datetime decimal difflib email.message email.parser
enum errno fnmatch fractions functools gc getopt glob gzip hashlib heapq hmac html html.parser http http.client
http.cookies importlib.metadata importlib.resources importlib.util inspect io ipaddress itertools json keyword
linecache locale logging math mimetypes numbers operator os pathlib pickle pkgutil platform pprint queue random re
reprlib runpy secrets select selectors shlex shutil signal socket sqlite3 ssl stat statistics string struct subprocess
sys sysconfig tempfile textwrap threading time timeit tokenize tomllib traceback types typing unicodedata unittest
urllib.parse urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo bz2 lzma
encodings.idna encodings.latin_1 encodings.ascii encodings.cp1252 encodings.utf_16 encodings.utf_8_sig
encodings.raw_unicode_escape encodings.unicode_escape
""".split()  # noqa: SIM905
WARM = """
import json, re, datetime, traceback
x = json.dumps({'a': [1, 2.5, None, 'x']}); y = json.loads(x)
re.findall(r'\\d+', 'a1b22')
datetime.datetime(2026, 1, 1).isoformat()
class A:
    def f(self): return f'{x!r:>10}'
A().f()
try: 1 / 0
except ZeroDivisionError as error: traceback.format_exception(error)
"""


def preload():
    """Give the three exceptions of `rf_interrupt`, in the order of its kinds."""
    names_without_network()
    for name in MODULES:
        __import__(name)
    importer.step_back()
    importer.know_lines()
    builtins_of_site()
    asyncio_without_threads()
    asyncio_with_calls()
    platform_without_executable()
    exec(WARM, {})
    return interrupts()


def builtins_of_site():
    """Define `exit`, `quit`, `help` and the like: `site` does it where it runs, and here it does not."""
    import site

    _ringfence_host.configure({"no_site": 0, "no_user_site": 0})
    site.setquit()
    site.setcopyright()
    site.sethelper()


def asyncio_without_threads():
    """Let event loops begin: their self-pipe, a pair of sockets, only serves to be woken by other threads."""
    from asyncio.selector_events import BaseSelectorEventLoop as Loop

    make, close = Loop._make_self_pipe, Loop._close_self_pipe

    def _make_self_pipe(self):
        try:
            make(self)
        except (OSError, AttributeError):
            self._ssock = self._csock = None

    def _close_self_pipe(self):
        if self._ssock is not None:
            close(self)

    Loop._make_self_pipe, Loop._close_self_pipe = _make_self_pipe, _close_self_pipe


def asyncio_with_calls():
    """Let event loops wait for calls of the host's functions that are under way."""
    from asyncio.selector_events import BaseSelectorEventLoop as Loop

    from _ringfence.functions import Selector

    begin = Loop.__init__

    def __init__(self, selector=None):  # noqa: N807
        begin(self, Selector() if selector is None else selector)

    Loop.__init__ = __init__


def names_without_network():
    """Give `_socket` what it lacks: names are looked up by the host, and sockets are ours."""
    import _socket
    import socket

    from _ringfence import network

    def look_up(name):
        def function(host, *args, **kwargs):
            raise error(code, message)

        function.__name__ = function.__qualname__ = name
        function.__module__ = "socket"
        return function

    error = getattr(_socket, "gaierror", OSError)
    code, message = getattr(_socket, "EAI_AGAIN", -3), "Temporary failure in name resolution"
    for name in ("gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"):
        if not hasattr(_socket, name):
            setattr(_socket, name, look_up(name))
            if not hasattr(socket, name):
                setattr(socket, name, getattr(_socket, name))
    if not hasattr(socket, "gethostname"):
        socket.gethostname = lambda: "localhost"
    network.install()


def platform_without_executable():
    """Have `platform` know no C library: it would look into the file of the interpreter, which is not there."""
    import platform

    look = platform.libc_ver

    def libc_ver(executable=None, lib="", version="", chunksize=16384):
        return look(executable, lib, version, chunksize) if executable else (lib, version)

    platform.libc_ver = libc_ver


def interrupts():
    """Make the exceptions that a host may have raised; they say whose they are."""

    def kind(base, message):
        def __init__(self):  # noqa: N807
            base.__init__(self, message)

        return type(base.__name__, (base,), {"__module__": "builtins", "__init__": __init__})

    return (
        kind(TimeoutError, "the time for this is over"),
        KeyboardInterrupt,
        kind(MemoryError, "the memory for this is used up"),
    )


def forget(main, cells):
    """Undo what warming left behind."""
    import linecache
    import os
    import random

    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    cells.clear()
    linecache.cache.clear()
    sys.argv = [""]
    sys.orig_argv = []
    sys.path.clear()
    os.environ._data.clear()
    importer.shortcut.granted = None
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        if hasattr(sys, name):
            delattr(sys, name)
    random.seed(0)
    sys.stdout.reconfigure(line_buffering=False)
