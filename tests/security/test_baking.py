"""Attacks from what a baked script imports, if it is out of WebAssembly: what its process reaches."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CONFINED = """
import os, socket, subprocess, sys
from pathlib import Path
from ringfence.baking._worker import confine
outside, other = Path(sys.argv[1]), int(sys.argv[2])
confine(Path.cwd())
def tried(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__
    return "done"
def connect():
    with socket.create_connection(("127.0.0.1", other), timeout=5):
        pass
print(tried(lambda: Path("inside").write_text("x")), Path("inside").read_text())
print(tried(outside.read_text), tried(lambda: outside.write_text("x")), tried(lambda: os.listdir("/")))
print(tried(lambda: Path("link").symlink_to(outside) or Path("link").read_text()))
print(tried(lambda: subprocess.run(["/bin/true"])), tried(connect))
print(tried(lambda: os.rename(outside, "stolen")), tried(lambda: os.link(outside, "stolen")))
"""


def test_attack_process_that_bakes_reaches_its_folder_only(tmp_path: Path) -> None:
    """No file outside, not by a link either; no program is started, nobody is connected to."""
    import socket

    inside, outside = tmp_path / "stage", tmp_path / "secret"
    inside.mkdir()
    outside.write_text("s3cr3t")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        tried = subprocess.run(
            [sys.executable, "-c", CONFINED, str(outside), port],
            cwd=inside,
            capture_output=True,
            text=True,
            check=False,
        )

    lines = tried.stdout.splitlines()
    assert ["done x", "PermissionError PermissionError PermissionError", "PermissionError"] == lines[:3], tried.stderr
    assert "PermissionError" == lines[3].split()[0]
    assert "done" != lines[3].split()[1]
    assert not {"done"} & set(lines[4].split())
    assert "s3cr3t" == outside.read_text()


def test_attack_process_with_threads_is_not_believed_to_be_confined(tmp_path: Path) -> None:
    """A thread that was there before keeps its rights: that is refused."""
    code = (
        "import threading, pathlib\nfrom ringfence.baking._worker import confine\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\nconfine(pathlib.Path.cwd())"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "OSError: there are threads already" in ended.stderr
