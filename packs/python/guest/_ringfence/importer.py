"""The standard library out of the module's own data: no folder, no file, no grant."""

import marshal
import sys
from _frozen_importlib import ModuleSpec, _call_with_frames_removed

import _ringfence_host

# Written by library.py: length of the index, index, data.
_blob = _ringfence_host.blob()
_length = int.from_bytes(_blob[:4], "little")
# name -> (is a package, offset and length of its code, offset and length of its source, path)
modules, files = marshal.loads(_blob[4 : 4 + _length])
data = _blob[4 + _length :]


class StandardLibrary:
    """Finder and loader of the modules that came with the pack."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        entry = modules.get(name)
        if entry is None:
            return None
        spec = ModuleSpec(name, self, origin=entry[5], is_package=entry[0])
        spec.has_location = True
        if entry[0]:
            spec.submodule_search_locations = [entry[5].rpartition("/")[0]]
        return spec

    def create_module(self, spec):  # noqa: ARG002
        return None

    def exec_module(self, module):
        _call_with_frames_removed(exec, self.get_code(module.__spec__.name), module.__dict__)

    def get_code(self, name):
        entry = self._entry(name)
        return marshal.loads(data[entry[1] : entry[1] + entry[2]])

    def is_package(self, name):
        return self._entry(name)[0]

    def get_filename(self, name):
        return self._entry(name)[5]

    def get_source(self, name):
        return self._source(self._entry(name)).decode("utf-8", "replace")

    def get_data(self, path):
        for entry in modules.values():
            if entry[5] == path:
                return self._source(entry)
        held = files.get(path)
        if held is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        return bytes(data[held[0] : held[0] + held[1]])

    def get_resource_reader(self, name):
        from _ringfence.resources import Reader

        return Reader(self._entry(name)[5].rpartition("/")[0]) if self.is_package(name) else None

    def _entry(self, name):
        try:
            return modules[name]
        except KeyError:
            raise ImportError(name, name=name) from None

    def _source(self, entry):
        import zlib

        return zlib.decompress(data[entry[3] : entry[3] + entry[4]])


finder = StandardLibrary()


class Shortcut:
    """
    Finder in front of the path: a module of ours is not looked for where no grant is.

    A program's own module wins over one of ours, so the path comes first. But a look at a folder that was not granted
    is a refusal that the host reports, and here it would have nothing to do with the program.
    """

    def __init__(self):
        self.granted = None

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        entry = modules.get(name)
        if entry is None:
            return None
        if path is None and any(map(self.is_granted, sys.path)):
            return None
        if path is not None and list(path) != [entry[5].rpartition("/")[0].removesuffix("/" + name.rpartition(".")[2])]:
            return None
        return finder.find_spec(name)

    def is_granted(self, folder):
        if self.granted is None:
            try:
                self.granted = frozenset(os.listdir("/"))
            except OSError:
                self.granted = frozenset()
        top = os.path.join(os.getcwd(), folder).strip("/").partition("/")[0]
        return top in self.granted if top else bool(self.granted)


shortcut = Shortcut()
# What Python itself has imported before a program begins: no program's module takes its place.
START = frozenset({
    "__main__", "abc", "builtins", "codecs", "encodings", "genericpath", "io", "linecache", "marshal", "os", "posix",
    "posixpath", "site", "stat", "sys", "time", "types", "zipimport",
})  # fmt: skip
preloaded = frozenset()


def give_way():
    """Forget modules that were imported before the snapshot where a folder on the path has one of the same name."""
    for folder in sys.path:
        if not shortcut.is_granted(folder):
            continue
        try:
            entries = os.listdir(folder or ".")
        except OSError:  # an archive, or nothing
            continue
        for entry in entries:
            name, dot, suffix = entry.partition(".")
            if name not in preloaded or name in START or (dot and suffix != "py"):
                continue
            if dot or os.path.isfile(os.path.join(folder, name, "__init__.py")):
                for known in [known for known in sys.modules if known == name or known.startswith(name + ".")]:
                    del sys.modules[known]


def install():
    """Have it found: for now in front, for Python's own start needs it."""
    sys.meta_path.append(finder)


def step_back():
    """Put what is frozen behind the path: a program's own module of the same name wins, as on a disk."""
    global os, preloaded  # noqa: PLW0603
    import os

    preloaded = frozenset(sys.modules)
    path = sys.meta_path
    for each in list(path):
        if each is finder or getattr(each, "__name__", "") == "FrozenImporter":
            path.remove(each)
            path.append(each)
    path.insert(0, shortcut)


def know_lines():
    """Have tracebacks find the source of the standard library here: a look at the files would be refused, and told."""
    import linecache

    names = {entry[5]: name for name, entry in modules.items()}
    look = linecache.updatecache

    def updatecache(filename, module_globals=None):
        name = names.get(filename)
        if name is None:
            return [] if filename.startswith("<ringfence>") else look(filename, module_globals)
        source = finder.get_source(name)
        lines = source.splitlines(keepends=True)
        linecache.cache[filename] = (len(source), None, lines, filename)
        return lines

    linecache.updatecache = updatecache
