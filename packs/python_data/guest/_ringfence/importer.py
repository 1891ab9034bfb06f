"""The library out of the module's own data: the archive that came with it, without a folder, a file or a grant."""

import marshal
import sys
import zlib
from importlib.machinery import ModuleSpec

import _ringfence_host

PREFIX = "/usr/local/lib/python315.zip/"
HEADER_BYTES = 16
# Written by index.py: length of the index, index, archive.
_blob = _ringfence_host.blob()
_length = int.from_bytes(_blob[:4], "little")
# name -> (is a package, offset and length of its compressed code, path); path -> (offset, length);
# name -> path, of packages that are a folder only
modules, files, folders = marshal.loads(_blob[4 : 4 + _length])
data = _blob[4 + _length :]


def inflated(at, length):
    """Give a file of the archive."""
    return zlib.decompress(data[at : at + length], -15)


class Library:
    """Finder and loader of the modules that came with the pack."""

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        if name in folders:
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [PREFIX + folders[name]]
            return spec
        entry = modules.get(name)
        if entry is None:
            return None
        spec = ModuleSpec(name, self, origin=PREFIX + entry[3], is_package=entry[0])
        spec.has_location = True
        if entry[0]:
            spec.submodule_search_locations = [spec.origin.rpartition("/")[0]]
        return spec

    def create_module(self, spec):  # noqa: ARG002
        return None

    def exec_module(self, module):
        exec(self.get_code(module.__spec__.name), module.__dict__)

    def get_code(self, name):
        entry = self._entry(name)
        return marshal.loads(inflated(entry[1], entry[2])[HEADER_BYTES:])

    def is_package(self, name):
        return self._entry(name)[0]

    def get_filename(self, name):
        return PREFIX + self._entry(name)[3]

    def get_source(self, name):
        self._entry(name)

    def get_data(self, path):
        held = files.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if held is None:
            raise FileNotFoundError(44, "No such file or directory", path)
        return inflated(*held)

    def get_resource_reader(self, name):
        from _ringfence.resources import Reader

        return Reader(self._entry(name)[3].rpartition("/")[0]) if self.is_package(name) else None

    def _entry(self, name):
        try:
            return modules[name]
        except KeyError:
            raise ImportError(name, name=name) from None


finder = Library()


class Shortcut:
    """Finder in front of the path: a module of ours is not looked for where no grant is."""

    def __init__(self):
        self.granted = None

    def find_spec(self, name, path=None, target=None):  # noqa: ARG002
        if name not in modules and name not in folders:
            return None
        if path is None and any(map(self.is_granted, sys.path)):
            return None
        if path is not None and not any(each.startswith(PREFIX) for each in path):
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


def give_way():
    """A program's own modules win over those that are not imported yet; those that are stay."""


def step_back():
    """Put what is in the archive behind the path, and have nothing look for the archive any more."""
    global os  # noqa: PLW0603
    import os

    sys.meta_path[:] = [shortcut, *(each for each in sys.meta_path if type(each).__name__ != "Boot"), finder]
    sys.path[:] = []
    sys.path_importer_cache.clear()
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is not None and type(spec.loader).__name__ in ("zipimporter", "Boot"):
            spec.loader = finder
            if hasattr(module, "__loader__"):
                module.__loader__ = finder
        del name


def know_lines():
    """There are no sources here: a look for them would be refused, and told."""
    import linecache

    look = linecache.updatecache

    def updatecache(filename, module_globals=None):
        if filename.startswith((PREFIX, "<ringfence>")):
            return []
        return look(filename, module_globals)

    linecache.updatecache = updatecache
