"""The two servers under test, and an upstream that echoes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

ROOT = Path(__file__).parents[3]
REAL = os.environ.get("SQUALL_TOXIPROXY_SERVER") or shutil.which("toxiproxy-server")


LAST_WORDS = 2000  # characters of what a dead server said


class NotStartedError(Exception):
    """A server said something else than where it listens."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running Toxiproxy."""

    kind: str  # "ours" or "original"
    api: httpx.Client
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> tuple[str, int]:
        """Where the API listens."""
        return self.api.base_url.host, self.api.base_url.port or 80

    @contextmanager
    def another(self, *extra: str) -> Iterator[Server]:
        """A fresh server of the same kind, which may be killed or spoilt."""
        if self.kind == "ours":
            server = start_ours(*extra)
        else:
            assert REAL is not None
            server = start_original(REAL, *extra)
        try:
            yield server
        finally:
            end(server)

    def clear(self) -> None:
        """Remove every proxy."""
        for name in self.api.get("/proxies").json():
            self.api.delete(f"/proxies/{quote(name, safe='')}")

    def proxy(self, upstream: str, name: str = "p") -> tuple[str, int]:
        """Make a proxy; gives where it listens."""
        body = {"name": name, "upstream": upstream, "listen": "127.0.0.1:0"}
        answer = self.api.post("/proxies", json=body)
        assert answer.status_code == 201, answer.text
        host, _, port = answer.json()["listen"].rpartition(":")
        return host, int(port)

    def toxic(
        self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int
    ) -> None:
        """Put a toxic on proxy p, under its default name."""
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        answer = self.api.post("/proxies/p/toxics", json=body)
        assert answer.status_code == 200, answer.text

    def remove(self, name: str) -> None:
        """Take a toxic off proxy p."""
        assert self.api.delete(f"/proxies/p/toxics/{name}").status_code == 204


def start_ours(*extra: str) -> Server:
    """Our server on a free port; it ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.toxiproxy", "--port", "0", "--stdin-lease", *extra],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    line = process.stdout.readline().decode().split()
    if line[:1] != ["listening"]:
        process.stdin.close()
        process.stdout.close()
        raise NotStartedError(f"our server ended with {process.wait(10)}")
    api = httpx.Client(base_url=f"http://{line[1]}", trust_env=False, timeout=10)
    return Server(kind="ours", api=api, process=process)


def start_original(path: str, *extra: str, log: Path | None = None) -> Server:
    """The original on a port that was free a moment ago; what it says goes to the log, if any."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (log or Path(os.devnull)).open("wb") as said:
        process = subprocess.Popen([path, "-port", str(port), *extra], stdout=said, stderr=said)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.02)
    api = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=10)
    return Server(kind="original", api=api, process=process)


def end(server: Server) -> None:
    """Terminate and reap."""
    server.api.close()
    server.process.terminate()
    try:
        server.process.wait(5)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait(5)
    for pipe in (server.process.stdin, server.process.stdout):
        if pipe is not None:
            pipe.close()


@pytest.fixture(scope="session")
def our_process() -> Iterator[Server]:
    """One server of ours for the whole session."""
    server = start_ours("--seed", "7")
    yield server
    end(server)


class Originals:
    """The original server for the whole session: another in its place when it has died."""

    def __init__(self, path: str, folder: Path) -> None:
        """Start the first; each keeps a log of its own in the folder."""
        self._path = path
        self._folder = folder
        self._started = 0
        self._server = self._start()

    def _start(self) -> Server:
        self._started += 1
        return start_original(self._path, log=self._log)

    @property
    def _log(self) -> Path:
        return self._folder / f"original-{self._started}.log"

    def alive(self) -> Server:
        """The server, empty; a fresh one if the last one died between two tests."""
        if self._server.process.poll() is not None:
            end(self._server)
            self._server = self._start()
        self._server.clear()
        return self._server

    def last_words(self) -> str | None:
        """What it said when it died; None while it lives."""
        if self._server.process.poll() is None:
            return None
        said = self._log.read_text(encoding="utf-8", errors="replace")
        begin = max(said.find("panic:"), said.find("fatal error:"))
        return said[begin:][:LAST_WORDS] if begin >= 0 else said[-LAST_WORDS:]

    def end(self) -> None:
        """Terminate the one that is there."""
        end(self._server)


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Originals]:
    """One original server for the whole session, where there is one."""
    if REAL is None:
        pytest.skip("NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary")
    kept = Originals(REAL, tmp_path_factory.mktemp("original"))
    yield kept
    kept.end()


@pytest.fixture
def ours(our_process: Server) -> Iterator[Server]:
    """Our server, empty."""
    our_process.clear()
    yield our_process
    our_process.clear()


@pytest.fixture
def original(originals: Originals) -> Iterator[Server]:
    """The original, empty; a test in which it dies fails with its last words, and no other."""
    server = originals.alive()
    yield server
    words = originals.last_words()
    if words is not None:
        pytest.fail(f"the original died, and this was the last it said:\n{words}", pytrace=False)
    server.clear()


@pytest.fixture(params=["ours", pytest.param("original", marks=pytest.mark.real)])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server in turn."""
    found: Server = request.getfixturevalue(request.param)
    return found


class Upstream:
    """Echoes on a thread per connection; closes after `bye`, and sends without end at `flood`."""

    def __init__(self) -> None:
        """Listen on a free port and echo."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                self.accepted.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            while data := client.recv(65536):
                if data == b"flood":
                    self._flood(client)
                client.sendall(data)
                if data.endswith(b"bye"):
                    return

    def _flood(self, client: socket.socket) -> None:
        """Send for as long as anybody takes it."""
        while True:
            client.sendall(b"x" * 65536)

    def close(self) -> None:
        """Stop accepting and end every connection."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for client in self.accepted:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """An echoing upstream."""
    server = Upstream()
    yield server
    server.close()
