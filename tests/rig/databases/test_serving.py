"""Real databases come up on a folder and a port of their own, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import psycopg
import pytest

from harness.errors import RigError
from harness.rig.databases import postgres, redis
from harness.rig.databases.database import Database, Kind
from harness.rig.databases.serving import serve
from harness.rig.process import is_running
from harness.running import leftovers
from harness.wal import CURRENT, Wal
from tests.command import ROOT
from tests.rig.databases.installed import need

pytestmark = [pytest.mark.anyio, pytest.mark.real, pytest.mark.timeout(90)]

BOTH = pytest.mark.parametrize("kind", ["postgres", "redis"])
UP_S = 60.0
HOLDER = """
import sys
from pathlib import Path
import anyio
from harness.rig.databases.serving import serve
from harness.wal import CURRENT, Wal
async def hold():
    with Wal.begin(Path(sys.argv[1]), "1a2b3c4d") as wal:
        CURRENT.set(wal)
        async with serve(sys.argv[2]) as database:
            print(database.pid, database.port, flush=True)
            await anyio.sleep_forever()
anyio.run(hold)
"""


def say(database: Database, words: bytes) -> bytes:
    """What Redis answers to one line; the password goes first."""
    password = database.url.rpartition("@")[0].rpartition(":")[2]
    with socket.create_connection((database.host, database.port), timeout=10) as line:
        line.sendall(f"AUTH {password}\r\n".encode() + words + b"\r\n")
        said = line.makefile("rb")
        assert said.readline() == b"+OK\r\n"
        return said.readline()


def accepts(port: int) -> bool:
    """Whether somebody listens on loopback."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


async def test_postgres_takes_its_password_and_as_many_connections_as_it_was_told() -> None:
    """What is written can be read again; the URL is all that it takes."""
    need("postgres")
    with anyio.fail_after(UP_S):
        async with serve("postgres", connections=17) as database:
            with psycopg.connect(database.url) as connection:
                connection.execute("CREATE TABLE kept AS SELECT 'ä' AS word")
                (row,) = connection.execute("SELECT word FROM kept").fetchall()
                (most,) = connection.execute("SHOW max_connections").fetchall()
            stranger = database.url.replace("squall:", "squall:not-")
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(stranger)
    assert row == ("ä",)
    assert most == ("17",)
    assert "PostgreSQL" in database.version


async def test_redis_takes_its_password_and_keeps_what_it_is_given() -> None:
    """Nobody else on the machine gets in."""
    need("redis")
    with anyio.fail_after(UP_S):
        async with serve("redis") as database:
            assert say(database, b"SET word kept") == b"+OK\r\n"
            assert say(database, b"GET word") == b"$4\r\n"
            with socket.create_connection((database.host, database.port), timeout=10) as line:
                line.sendall(b"GET word\r\n")
                assert line.makefile("rb").readline().startswith(b"-NOAUTH")


@BOTH
async def test_nothing_is_left_of_a_database_and_its_password_is_in_no_record(
    kind: Kind, tmp_path: Path
) -> None:
    """Not a process, a port or a folder, though a client was still there; and not the password."""
    need(kind)
    log = tmp_path / "logs" / "db.log"
    with Wal.begin(tmp_path, "1a2b3c4d") as wal, anyio.fail_after(UP_S):
        token = CURRENT.set(wal)
        try:
            async with serve(kind, log=log) as database:
                folder = anyio.Path(next(i.what["folder"] for i in wal.left if "folder" in i.what))
                assert await folder.is_dir()
                names = [str(intent.what.get("name")) for intent in wal.left]
                client = socket.create_connection((database.host, database.port), timeout=10)
        finally:
            CURRENT.reset(token)
        with client:
            assert not wal.left
    assert names[0] == "None"  # the folder, which is promised first and undone last
    assert names[-1] in {"postgres", "redis-server", "valkey-server"}
    assert database.origin is not None
    assert not is_running(database.origin)
    assert not accepts(database.port)
    assert not await folder.exists()
    password = database.url.rpartition("@")[0].rpartition(":")[2]
    assert password not in repr(database)
    for file in (log, tmp_path / "faults.wal"):
        assert password not in file.read_text(encoding="utf-8")


@BOTH
def test_what_a_killed_run_left_is_undone(kind: Kind, tmp_path: Path) -> None:
    """SIGKILL of squall ends the database; `squall recover` removes its folder."""
    need(kind)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path), kind],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline().split()[1])
        assert accepts(port)
        holder.send_signal(signal.SIGKILL)
    recovered = leftovers.recover(tmp_path)
    assert recovered.how == "whole"
    (folder,) = (one for one in recovered.told if one.intent.undo == "remove_folder")
    assert folder.words.endswith("was there; removed")
    assert not Path(folder.intent.what["folder"]).exists()
    assert not accepts(port)


@pytest.mark.parametrize(
    ("kind", "package"), [("postgres", "postgresql"), ("redis", "redis-server")]
)
async def test_a_database_that_is_not_installed_names_the_package(
    kind: Kind, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mend is one command."""
    monkeypatch.setattr(postgres, "find_programs", lambda: None)
    monkeypatch.setattr(redis, "PROGRAMS", ("no-such-redis",))
    with pytest.raises(RigError, match=f"apt-get install {package}$"):
        async with serve(kind):
            pytest.fail("there is none")
