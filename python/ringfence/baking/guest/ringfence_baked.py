"""The program that a baked script becomes: what it imports is imported here, once; the script runs each time."""

import ast
import builtins
import gc
import importlib.abc
import importlib.machinery
import importlib.metadata
import importlib.resources.abc
import importlib.util
import io
import linecache
import marshal
import os
import sys
import traceback
import types

from componentize_py_types import Err
from wit_world.imports import environment

try:
    from wit_world.imports import exit as _ending
except ImportError:  # it was baked without exit codes
    _ending = None

_LEFT_OUT = {"test", "idlelib", "tkinter", "turtledemo", "ensurepip", "site-packages", "turtle.py", "venv", "curses"}
_LEFT_OUT |= {"__pycache__", "__phello__", "__hello__.py", "pydoc_data", "lib2to3"}
_HERE = os.path.dirname(__file__)
_MOST_CODE = 255


class _Library(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Modules as compiled code, and what lies beside them, in memory: no directory is there when the program runs."""

    def __init__(self):
        self.modules = {}
        self.files = {}

    def add(self, root, prefix="", data=False):
        for name in sorted(os.listdir(root)):
            path = f"{root}/{name}"
            if name in _LEFT_OUT or name.startswith("config-"):
                continue
            if name.endswith(".py") and "." not in name[:-3]:
                is_package = name == "__init__.py"
                module = prefix[:-1] if is_package else prefix + name[:-3]
                with open(path, "rb") as file:
                    source = file.read()
                try:
                    code = compile(source, path, "exec", dont_inherit=True)
                except (SyntaxError, ValueError):
                    continue
                if module:
                    self.modules[module] = (is_package, marshal.dumps(code), path)
                    # Without an entry, a traceback would look for the file.
                    lines = source.decode("utf-8", "replace").splitlines(True) if data else []
                    linecache.cache[path] = (len(source), None, lines, path)
            elif os.path.isdir(path):
                self.add(path, f"{prefix}{name}.", data)
            elif data:
                with open(path, "rb") as file:
                    self.files[path] = file.read()

    def find_spec(self, name, path=None, target=None):
        found = self.modules.get(name)
        if found is None:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=found[2], is_package=found[0])
        spec.has_location = True
        if found[0]:
            spec.submodule_search_locations = [os.path.dirname(found[2])]
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(self.modules[module.__spec__.name][1]), module.__dict__)

    def get_code(self, name):
        return marshal.loads(self.modules[name][1])

    def get_source(self, name):
        return None

    def is_package(self, name):
        return self.modules[name][0]

    def get_data(self, path):
        try:
            return self.files[os.path.normpath(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    def get_resource_reader(self, name):
        return _Reader(self, os.path.dirname(self.modules[name][2]))

    def find_distributions(self, context=importlib.metadata.DistributionFinder.Context()):
        wanted = context.name and importlib.metadata.Prepared(context.name).normalized
        for path in self.files:
            folder, _, name = path.rpartition("/")
            if name == "METADATA" and folder.endswith(".dist-info"):
                known = os.path.basename(folder).partition("-")[0].lower()
                if wanted in (None, known):
                    yield _Distribution(self, folder)


class _Reader(importlib.resources.abc.TraversableResources):
    def __init__(self, library, folder):
        self.library, self.folder = library, folder

    def files(self):
        return _Resource(self.library, self.folder)


class _Resource(importlib.resources.abc.Traversable):
    """A file that lay beside a module, or a folder of them."""

    def __init__(self, library, path):
        self.library, self.path = library, path

    @property
    def name(self):
        return os.path.basename(self.path)

    def is_file(self):
        return self.path in self.library.files

    def is_dir(self):
        return any(path.startswith(f"{self.path}/") for path in self.library.files)

    def iterdir(self):
        start = f"{self.path}/"
        names = {path[len(start) :].partition("/")[0] for path in self.library.files if path.startswith(start)}
        return (_Resource(self.library, start + name) for name in sorted(names))

    def joinpath(self, *parts):
        return _Resource(self.library, os.path.normpath("/".join((self.path, *map(str, parts)))))

    def open(self, mode="r", *args, **kwargs):
        file = io.BytesIO(self.library.get_data(self.path))
        return file if "b" in mode else io.TextIOWrapper(file, *args, **kwargs)


class _Distribution(importlib.metadata.Distribution):
    def __init__(self, library, folder):
        self.library, self.folder = library, folder

    def read_text(self, filename):
        data = self.library.files.get(f"{self.folder}/{filename}")
        return None if data is None else data.decode("utf-8", "replace")

    def locate_file(self, path):
        return f"{os.path.dirname(self.folder)}/{path}"


def _asyncio_without_sockets():
    from asyncio import selector_events

    loop = selector_events.BaseSelectorEventLoop
    # They are for being woken by other threads, and there are none.

    def made(self):
        self._ssock = self._csock = None

    def closed(self):
        pass

    loop._make_self_pipe, loop._close_self_pipe = made, closed


def _imported(tree):
    """Name what a script imports whenever it runs: not what it imports in functions."""
    pending = [(node, True) for node in tree.body]
    for node, certain in pending:
        if isinstance(node, ast.Import):
            yield from ((alias.name, certain) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, certain
            yield from ((f"{node.module}.{alias.name}", False) for alias in node.names)
        elif isinstance(node, ast.Try | ast.With):
            pending += [(below, False) for below in node.body]


def _without_ours(trace):
    if trace is None:
        return None
    below = _without_ours(trace.tb_next)
    if trace.tb_frame.f_code.co_filename == __file__:
        return below
    trace.tb_next = below
    return trace


with open(f"{_HERE}/script", "rb") as _file:
    _source = _file.read()
with open(f"{_HERE}/name", encoding="utf-8") as _file:
    _name = _file.read()
_tree = ast.parse(_source, _name)
_code = compile(_tree, _name, "exec", dont_inherit=True)
linecache.cache[_name] = (len(_source), None, importlib.util.decode_source(_source).splitlines(True), _name)
_library = _Library()
_library.add("/python")
for _root in [path for path in sys.path if path not in ("/python", "/world", "/bundled") and os.path.isdir(path)]:
    if not os.path.exists(f"{_root}/ringfence_baked.py"):
        _library.add(_root, data=True)
sys.meta_path.insert(0, _library)
for _module, _certain in _imported(_tree):
    try:
        __import__(_module)
    except ModuleNotFoundError as _error:
        if _certain and _error.name == _module.partition(".")[0]:
            raise  # it would end every run, in its first lines
    except Exception:  # the script meets it when it runs
        pass
_asyncio_without_sockets()
for _module in ("atexit", "encodings.idna", "encodings.latin_1", "encodings.ascii", "encodings.utf_8_sig", "zoneinfo"):
    __import__(_module)
gc.collect()
gc.freeze()


class Run:
    def run(self):
        os.environ.clear()
        os.environ.update(environment.get_environment())
        args = environment.get_arguments()
        sys.argv = [args[0] if args else _name, *args[1:]]
        sys.path[:] = []
        if "random" in sys.modules:
            sys.modules["random"].seed()
        main = types.ModuleType("__main__")
        main.__builtins__, main.__file__ = builtins, _name
        sys.modules["__main__"] = main
        code = 0
        try:
            exec(_code, main.__dict__)
        except SystemExit as end:
            code = end.code
            if code is not None and not isinstance(code, int):
                print(code, file=sys.stderr)
                code = 1
        except BaseException as error:
            traceback.print_exception(type(error), error, _without_ours(error.__traceback__))
            code = 1
        sys.modules["atexit"]._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                code = code or 1
        if code and _ending:
            _ending.exit_with_code(code if 0 < code <= _MOST_CODE else _MOST_CODE)
        if code:
            raise Err(None)
