"""The server as it stands in a container: called by another name, its notes in a database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx
import psutil
import pytest

from harness.rig.process import child
from harness.rig.server import READY
from tests.ports import free_port
from tests.reference.calls import Answer, Caller
from tests.reference.database import PASSWORD, Database, database

pytestmark = pytest.mark.anyio

NAME = "reference.example"
VARIABLE = "SQUALL_DATABASE_URL"
ROOT = str(Path(__file__).resolve().parents[2])


@dataclass(frozen=True, kw_only=True)
class Named:
    """A server that answers to a name which nobody resolves, and how to speak to it."""

    port: int
    pid: int
    log: Path
    ready: str
    http: httpx.AsyncClient

    @property
    def here(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def caller(self, host: str) -> Caller:
        """A caller that addresses its requests to `host`."""
        made = Caller(http=self.http, url=f"{self.here}/mcp", token="", era="modern")
        made.extra = {"host": host}
        return made


@asynccontextmanager
async def named(folder: Path, *words: str, url: str = "") -> AsyncIterator[Named]:
    """The server under its name, open to everybody; `url` is its database's."""
    port, log = free_port(), folder / "reference.log"
    argv = [sys.executable, "-m", "harness.reference", "--port", str(port), "--no-auth"]
    argv += ["--url", f"http://{NAME}:8000", *words]
    async with (
        child(argv, env={**os.environ, VARIABLE: url}, ready=READY, log=log) as process,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        yield Named(port=port, pid=process.pid, log=log, ready=process.ready_line, http=http)


@pytest.fixture
def running() -> Iterator[Database]:
    """A PostgreSQL of the test's own, which it may stop."""
    with database() as cluster:
        yield cluster


async def test_a_named_server_answers_to_its_name_alone(tmp_path: Path) -> None:
    """Somebody's browser that was led here by another name is sent away."""
    with anyio.fail_after(30):
        async with named(tmp_path, "--ledger", str(tmp_path / "ledger.db")) as server:
            due = await (await server.caller(f"{NAME}:8000")).ask("tools/list", {})
            others = [f"127.0.0.1:{server.port}", f"{NAME}:8001", "evil.example", NAME]
            refused = [await (await server.caller(host)).ask("tools/list", {}) for host in others]
    assert due.status == 200
    assert [answer.status for answer in refused] == [421] * len(others)
    assert server.ready == f"{READY}http://{NAME}:8000/mcp"


async def test_an_unnamed_server_answers_this_machine_alone(tmp_path: Path) -> None:
    """As ever: by any loopback name, by no other."""
    argv = [sys.executable, "-m", "harness.reference", "--no-auth"]
    argv += ["--ledger", str(tmp_path / "ledger.db")]
    with anyio.fail_after(30):
        async with (
            child(argv, ready=READY, log=tmp_path / "log") as process,
            httpx.AsyncClient(timeout=20, trust_env=False) as http,
        ):
            url = process.ready_line.removeprefix(READY)
            statuses = []
            for host in ("localhost:1", "127.0.0.1:2", NAME):
                caller = Caller(http=http, url=url, token="", era="modern", extra={"host": host})
                statuses.append((await caller.ask("tools/list", {})).status)
    assert statuses == [200, 200, 421]


@pytest.mark.real
async def test_notes_of_a_server_with_a_database_are_in_it(
    tmp_path: Path, running: Database
) -> None:
    """Through the tool, twice with one key; the password is in no argument and no log."""
    note = {"key": "k", "text": "n1", "idempotency_key": "once"}
    with anyio.fail_after(30):
        async with named(tmp_path, "--database-variable", VARIABLE, url=running.url) as server:
            caller = await server.caller(f"{NAME}:8000")
            answers = [await caller.call("append_note", note) for _ in range(2)]
            health = await server.http.get(f"{server.here}/health")
            seen = " ".join(psutil.Process(server.pid).cmdline())
    assert answers[0].value == answers[1].value == {"key": "k", "text": "n1", "sequence": 1}
    assert running.ask("SELECT tool, key, client FROM executions") == [
        ("append_note", "n1", "anonymous")
    ]
    assert (health.status_code, health.text) == (200, "ready\n")
    assert PASSWORD not in seen + server.log.read_text(encoding="utf-8")


@pytest.mark.real
async def test_a_server_without_its_database_says_so_and_goes_on(
    tmp_path: Path, running: Database
) -> None:
    """A tool error and a 503 with the reason; what needs no database works; then all is well."""
    note = {"key": "k", "text": "n1", "idempotency_key": "once"}
    running.stop()
    with anyio.fail_after(40):
        async with named(tmp_path, "--database-variable", VARIABLE, url=running.url) as server:
            caller = await server.caller(f"{NAME}:8000")
            without = await caller.call("append_note", note)
            health = await server.http.get(f"{server.here}/health")
            found = await caller.call("search", {"query": "tea"})
            running.start()
            later = await repeat_until_done(caller, note)
    assert without.failed
    assert "nothing was written" in without.result["content"][0]["text"]
    assert health.status_code == 503
    assert "nothing was written" in health.text
    assert found.value["result"]
    assert later.value["text"] == "n1"
    assert running.ask("SELECT key FROM executions") == [("n1",)]
    assert PASSWORD not in server.log.read_text(encoding="utf-8")


async def repeat_until_done(caller: Caller, note: dict[str, str]) -> Answer:
    """Call again, as a client would, until the note is written."""
    while True:
        answer = await caller.call("append_note", note)
        if not answer.failed:
            return answer
        await anyio.sleep(0.05)


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["--database-variable", "NOWHERE"], {}, "environment variable NOWHERE"),
        (["--database-variable", VARIABLE], {VARIABLE: f"{PASSWORD}"}, "postgresql://"),
        (["--ledger", "l.db", "--url", "reference:8000"], {}, "http://HOST:PORT"),
        (["--ledger", "l.db", "--url", "http://h:8000/mcp"], {}, "http://HOST:PORT"),
        (["--ledger", "l.db", "--url", "http://h:port"], {}, "http://HOST:PORT"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(
    tmp_path: Path, words: list[str], environment: dict[str, str], said: str
) -> None:
    """Exit code 2, nothing served, and no password repeated."""
    argv = [sys.executable, "-m", "harness.reference", "--no-auth", *words]
    done = subprocess.run(
        argv,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert PASSWORD not in done.stderr


def test_a_missing_driver_is_named_with_what_installs_it(tmp_path: Path) -> None:
    """PostgreSQL is an extra; whoever asks for it without gets one sentence."""
    without = "import runpy, sys; sys.modules['psycopg'] = None; "
    words = ["x", "--no-auth", "--database-variable", VARIABLE]
    code = (
        f"{without}sys.argv = {words}; runpy.run_module('harness.reference', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ROOT, VARIABLE: "postgresql://squall@h/x"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2, done.stderr
    assert "mcp-squall[postgres]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
