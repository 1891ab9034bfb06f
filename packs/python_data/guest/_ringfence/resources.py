"""Data files of packages in the library, read through importlib.resources."""

import io
from importlib.resources.abc import Traversable, TraversableResources

from _ringfence.importer import PREFIX, files, inflated


class Entry(Traversable):
    """A file or folder inside the pack."""

    def __init__(self, path):
        self._path = path

    @property
    def name(self):
        return self._path.rpartition("/")[2]

    def is_file(self):
        return self._path in files

    def is_dir(self):
        return any(path.startswith(self._path + "/") for path in files)

    def iterdir(self):
        within = self._path + "/"
        names = {path.removeprefix(within).partition("/")[0] for path in files if path.startswith(within)}
        return (Entry(within + name) for name in sorted(names))

    def joinpath(self, *parts):
        steps = [step for part in parts for step in str(part).split("/") if step not in ("", ".")]
        return Entry("/".join([self._path, *steps]))

    def read_bytes(self):
        held = files.get(self._path)
        if held is None:
            raise FileNotFoundError(44, "No such file or directory", PREFIX + self._path)
        return inflated(*held)

    def open(self, mode="r", *args, **kwargs):
        stream = io.BytesIO(self.read_bytes())
        return stream if "b" in mode else io.TextIOWrapper(stream, *args, **kwargs)


class Reader(TraversableResources):
    """What a package's loader gives."""

    def __init__(self, folder):
        self._folder = folder

    def files(self):
        return Entry(self._folder)
