"""`ringfence languages`."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import pty
import shutil
import subprocess
import sys
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Command


@pytest.mark.usefixtures("shout")
def test_list_has_versions_licences_and_sizes(ringfence: Command) -> None:
    """One line for each, with where it comes from."""
    ended = ringfence("languages")
    head, *lines = ended.stdout.splitlines()
    [line] = [line for line in lines if line.startswith("shout ")]

    assert (0, "") == (ended.exit_code, ended.stderr)
    assert ["language", "version", "pack", "size", "from", "licence"] == head.split()
    assert "SHOUT 1  1.0.0  3." in " ".join(line.split()).replace("SHOUT 1 1.0.0", "SHOUT 1  1.0.0 ")
    assert line.endswith("Apache-2.0")


def test_list_as_json(ringfence: Command, shout: Path) -> None:
    """With digests and files, for machines."""
    document = json.loads(ringfence("languages", "--json").stdout)
    [found] = [entry for entry in document["languages"] if entry["language"] == "shout"]

    assert [] == document["problems"]
    assert ("1.0.0", "1", "Apache-2.0", [".shout"]) == (
        found["version"],
        found["language_version"],
        found["licence"],
        found["suffixes"],
    )
    assert str(shout / "shout.wat") == found["file"]


def test_nothing_installed_names_the_command(ringfence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is no error."""
    monkeypatch.setattr("sys.path", [])
    from ringfence.cli import main

    del ringfence
    assert 0 == main(["languages"])


def test_check_compares_every_digest(ringfence: Command, shout: Path) -> None:
    """A damaged pack is named with the command that mends it, and the others are still shown."""
    assert 0 == ringfence("languages", "check", "shout").exit_code
    module = (shout / "shout.wat").read_text(encoding="utf-8")
    (shout / "shout.wat").write_text(module.replace("SHOUT:", "shout:"), encoding="utf-8")
    ended = ringfence("languages", "check", "shout")

    assert (1, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith(f"error: the language pack `{shout}/shout.wat` cannot be used: its bytes have ")
    assert ended.stderr.endswith("hint: install it again: `ringfence languages install shout`\n")
    assert 0 == ringfence("languages").exit_code


def test_broken_pack_does_not_hide_the_others(ringfence: Command, shout: Path) -> None:
    """It is told on stderr, and the exit code says that something is wrong."""
    text = (shout / "pack.toml").read_text(encoding="utf-8")
    (shout / "pack.toml").write_text(text.replace("abi = 1", "abi = 9"), encoding="utf-8")
    ended = ringfence("languages")

    assert 1 == ended.exit_code
    assert "it speaks the guest ABI 9, and this Ringfence speaks 1" in ended.stderr


def test_install_builds_shows_and_compiles(ringfence: Command, shout: Path, tmp_path: Path) -> None:
    """From a checkout; in a pipe nothing is said but the language, on stdout."""
    metadata = shout.parent / "ringfence_language_shout-1.0.0.dist-info"
    metadata.rename(tmp_path / "hidden")
    assert 2 == ringfence("run", "--language", "shout", "-c", "x").exit_code
    (tmp_path / "tools").mkdir()
    (tmp_path / "packs" / "shout").mkdir(parents=True)
    (tmp_path / "packs" / "shout" / "pack.toml").touch()
    build = f"import os; print('building'); os.rename({str(tmp_path / 'hidden')!r}, {str(metadata)!r})"
    (tmp_path / "tools" / "packs.py").write_text(build, encoding="utf-8")

    ended = ringfence("languages", "install", "shout", "--from", ".")

    assert (0, "") == (ended.exit_code, ended.stderr)
    assert "SHOUT 1" in ended.stdout
    assert "X" == ringfence("run", "--language", "shout", "-c", "x").stdout


@pytest.fixture
def wheels(shout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the language as a wheel in a folder, installed nowhere; what pip installs goes to a place of its own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    metadata = {
        "METADATA": "Metadata-Version: 2.1\nName: ringfence-language-shout\nVersion: 1.0.0\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": "[ringfence.languages]\nshout = ringfence_language_shout\n",
    }
    files = {
        f"ringfence_language_shout/{file.name}": file.read_text("utf-8") for file in shout.iterdir() if file.is_file()
    }
    files |= {f"ringfence_language_shout-1.0.0.dist-info/{name}": text for name, text in metadata.items()}
    record = "ringfence_language_shout-1.0.0.dist-info/RECORD"
    with zipfile.ZipFile(folder / "ringfence_language_shout-1.0.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(record, "".join(f"{name},,\n" for name in [*files, record]))
    shutil.rmtree(shout.parent)
    shout.parent.mkdir()
    monkeypatch.setenv("PIP_TARGET", str(shout.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return folder


@pytest.fixture
def index(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve that folder as a package index, the only one that pip knows."""

    class Index(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/simple/ringfence-language-shout/":
                links = "".join(f'<a href="/{wheel.name}">{wheel.name}</a>' for wheel in wheels.iterdir())
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(f"<html><body>{links}</body></html>".encode())
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Index, directory=str(wheels)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("index")
def test_install_takes_the_wheel_from_the_package_index(ringfence: Command) -> None:
    """By the real pip, in silence; the language can be used at once."""
    assert 2 == ringfence("run", "--language", "shout", "-c", "x").exit_code
    ended = ringfence("languages", "install", "shout", "--json")

    assert (0, "") == (ended.exit_code, ended.stderr)
    [language] = json.loads(ended.stdout)["languages"]
    assert ("shout", "1.0.0") == (language["language"], language["version"])
    assert "X" == ringfence("run", "--language", "shout", "-c", "x").stdout


@pytest.mark.usefixtures("index")
def test_install_of_what_the_index_does_not_have_says_what_pip_said(ringfence: Command) -> None:
    """With the command that failed, and the one that mends it."""
    ended = ringfence("languages", "install", "whisper")

    assert (125, "") == (ended.exit_code, ended.stdout)
    assert ended.stderr.startswith(f"$ {sys.executable} -P -m pip install ")
    assert "No matching distribution found for ringfence-language-whisper" in ended.stderr
    assert "hint: mend that and try again" in ended.stderr
    assert "`ringfence languages install whisper --from FOLDER`" in ended.stderr


def test_install_from_a_folder_of_wheels_mends_a_damaged_pack(
    ringfence: Command, wheels: Path, shout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same version again, without asking an index."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    assert 0 == ringfence("languages", "install", "shout", "--from", wheels).exit_code
    (shout / "shout.wat").write_text("(module)", encoding="utf-8")
    assert 1 == ringfence("languages", "check", "shout").exit_code
    monkeypatch.setenv("PIP_UPGRADE", "1")

    assert 0 == ringfence("languages", "install", "shout", "--from", wheels).exit_code
    assert 0 == ringfence("languages", "check", "shout").exit_code


@pytest.mark.usefixtures("index")
def test_install_on_a_terminal_shows_what_it_does(wheels: Path) -> None:
    """The command and what that prints, as they come."""
    del wheels
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ringfence", "languages", "install", "shout"]
    done = subprocess.run(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 65536):
            shown += piece
    os.close(ours)

    assert 0 == done.returncode, shown
    assert b"$ " in shown
    assert b"Successfully installed ringfence-language-shout-1.0.0" in shown
    assert b"SHOUT 1" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("install",), "no language was named"),
        (("install", "--x"), "did you mean"),
        (("install", "a b"), "is no name of a language"),
        (("install", "shout", "--from", "no-such-folder"), "there is no such folder"),
        (("--from", "."), "`--from` was given: `languages list` installs nothing"),
        (("list", "shout"), "the list is one of all"),
        (("check", "whisper"), "there is no language `whisper`"),
        (("remove",), "invalid choice"),
    ],
)
def test_wrong_words_are_refused(ringfence: Command, words: tuple[str, ...], says: str) -> None:
    """Each with its reason and a hint, and nothing on stdout."""
    ended = ringfence("languages", *words)

    assert ended.exit_code in {1, 2}
    assert "" == ended.stdout
    assert says in ended.stderr or "unrecognized" in ended.stderr
    assert "\nhint: " in ended.stderr
