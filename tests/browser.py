"""A real browser, without a window: Chromium of node's registry, spoken to over a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from packs.building import cache
from packs.building.steps import Steps
from packs.components import npm

if TYPE_CHECKING:
    from pathlib import Path

# Chromium 147 with the libraries of Linux that it needs, compressed.
PACKAGES = {
    "@sparticuz/chromium": (
        "147.0.0",
        "4ZKeAQQa8up2mt675qSitztLdbQrlf8BKdC5naeap+5Mv1OV1OlJdPoU+EJC/p5sQUJUQmN4r+q5+EhaaOUHpQ==",
    )
}
UNPACK = """
const fs = require("fs"), zlib = require("zlib");
const [from, to] = process.argv.slice(1);
for (const name of ["chromium", "al2023.tar"])
    fs.writeFileSync(`${to}/${name}`, zlib.brotliDecompressSync(fs.readFileSync(`${from}/${name}.br`)));
"""
# It runs as root in builds, and reads pages of ours only; what is tested is the page, not the browser's own sandbox.
FLAGS = ["--headless", "--no-sandbox", "--no-zygote", "--single-process", "--disable-dev-shm-usage", "--disable-gpu"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--no-first-run", "--no-proxy-server"]
DEADLINE_SECONDS = 240
# The page is there, and what it does by itself has had time.
LOADED = """new Promise(done => {
    const look = () => document.readyState == "complete" && location.pathname == "/page"
        ? setTimeout(() => done(true), 500) : setTimeout(look, 20);
    look();
})"""


def installed() -> Path:
    """Fetch it, unless that was done; give its folder."""
    steps = Steps("browser", cache.directory() / "browser.log")
    node = npm.node(steps)
    folder = npm.packages(node, PACKAGES, steps) / "node_modules" / "@sparticuz" / "chromium" / "bin"

    def make(place: Path) -> None:
        with steps.step("unpack the browser"):
            steps.run([node, "-e", UNPACK, folder, place], fix="try again")
            steps.run(["tar", "-xf", place / "al2023.tar", "-C", place], fix="try again")
            (place / "chromium").chmod(0o755)

    return cache.entry(f"browser-{cache.digest(repr(PACKAGES), UNPACK)}", make)


class Browser:
    """One page after the other, from a server that notes what it is asked for beside them."""

    def __init__(self, profile: Path) -> None:
        """Start it."""
        place = installed()
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        words = [str(place / "chromium"), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{read} 4>&{write}', *words],
            pass_fds=(read, write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"LD_LIBRARY_PATH": str(place / "lib"), "HOME": str(profile), "PATH": os.environ["PATH"]},
        )
        os.close(read)
        os.close(write)
        self._server = _Server()
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._rest = b""
        self._number = 0
        self._late = threading.Timer(DEADLINE_SECONDS, self._process.kill)
        self._late.daemon = True
        self._late.start()
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self) -> Self:
        """Hand it out."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._late.cancel()
        self._server.shutdown()
        self._server.server_close()
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def see(self, page: str, question: str) -> tuple[Any, list[str]]:
        """Open a page; give what this JavaScript comes to in it, and what was asked of its server beside the page."""
        self._server.page, self._server.asked = page, []
        self._ask("Page.navigate", url=f"{self.origin}/page")
        answer: dict[str, Any] = {}
        while answer.get("result", {}).get("value") is not True:
            with contextlib.suppress(_Failed):  # the page before is gone while it is asked
                answer = self._evaluate(LOADED)
        value = self._evaluate(question)["result"].get("value")
        return value, self._server.asked

    def _evaluate(self, source: str) -> dict[str, Any]:
        return self._ask("Runtime.evaluate", expression=source, awaitPromise=True, returnByValue=True)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        message |= {"sessionId": self._session} if hasattr(self, "_session") else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise _Failed(str(answer["error"]))
                return answer["result"]  # type: ignore[no-any-return]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]


class _Server(ThreadingHTTPServer):
    """Has one page, and notes what else is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = ""
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Give the page, or nothing."""
        found = self.path == "/page"
        if not found and self.path != "/favicon.ico":
            self.server.asked.append(self.path)
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.page.encode() if found else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Failed(Exception):
    """It could not do that."""
