"""An index of packages in a folder, for tests that bring some in."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Shelf:
    """A folder that pip looks into, and into nothing else."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing on it."""
        self.folder = folder
        folder.mkdir()

    def wheel(
        self, name: str, version: str = "1.0", *, tag: str = "py3-none-any", needs: tuple[str, ...] = (), **files: str
    ) -> Path:
        """Put a wheel on it: of one module, or of these files, whose dots are written `__`."""
        about = f"{name}-{version}.dist-info"
        lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
        texts = {path.replace("__", "."): text for path, text in files.items()} or {
            f"{name}.py": f"VERSION = {version!r}\n"
        }
        return self.raw(
            f"{name}-{version}-{tag}.whl",
            {
                **texts,
                f"{about}/METADATA": "\n".join(["Metadata-Version: 2.1", *lines, ""]),
                f"{about}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
                f"{about}/RECORD": "",
            },
        )

    def raw(self, name: str, files: dict[str, str]) -> Path:
        """Put an archive on it under that name, with files under any."""
        path = self.folder / name
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in files.items():
                archive.writestr(member, text)
        return path

    def source(self, name: str, setup: str) -> Path:
        """Put a source archive on it, whose `setup.py` does this."""
        path = self.folder / f"{name}-1.0.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for member, text in (
                ("setup.py", setup),
                ("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"),
            ):
                info = tarfile.TarInfo(f"{name}-1.0/{member}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        return path
