"""A real PostgreSQL for tests: its own folder, no port at all, ended with the test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import psycopg
import pytest
from psycopg.rows import TupleRow

from harness.rig.databases.postgres import find_programs

PASSWORD: Final = "never-to-be-read-in-a-log"
UP_S: Final = 20.0
OWNER: Final = "postgres"  # PostgreSQL refuses to run as root


class Database:
    """One cluster; `url` reaches it through a socket in its folder."""

    def __init__(self, folder: Path, programs: Path) -> None:
        """Make an empty cluster; nothing runs yet."""
        self._folder = folder
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://squall:{PASSWORD}@/postgres?host={folder}"
        secret = folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        if os.geteuid() == 0:
            owner = pwd.getpwnam(OWNER)
            for place in (folder, secret):
                os.chown(place, owner.pw_uid, owner.pw_gid)
        subprocess.run(
            [
                *self._argv("initdb"),
                *("-D", str(folder / "cluster"), "-U", "squall", "--encoding=UTF8", "--locale=C"),
                *("--auth=scram-sha-256", "--pwfile", str(secret), "--no-sync"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=UP_S * 3,
            cwd=folder,
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._argv("postgres"),
                    *("-D", str(self._folder / "cluster"), "-k", str(self._folder)),
                    *("-c", "listen_addresses=", "-c", "fsync=off"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=self._folder,
            )
        until = time.monotonic() + UP_S
        while time.monotonic() < until:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.02)  # it says nothing when it is up; asking is the only way
            else:
                return
        raise AssertionError((self._folder / "log").read_text(encoding="utf-8"))

    def stop(self, *, how: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts every connection, SIGQUIT lets nobody finish."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(UP_S)
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes what it is sent, and answers nothing, for as long as the block lasts."""
        assert self._process is not None
        leader = psutil.Process(self._process.pid)
        every = [leader, *leader.children(recursive=True)]
        for each in every:
            each.suspend()
        try:
            yield
        finally:
            for each in reversed(every):
                each.resume()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, committed."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    async def connection(self) -> psycopg.AsyncConnection[TupleRow]:
        """A connection of the test's own, in which nothing is committed by itself."""
        return await psycopg.AsyncConnection.connect(self.url)

    def _argv(self, program: str) -> list[str]:
        """A program as its owner, which ends when we do, however that happens."""
        leave = [f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"]
        became = leave if os.geteuid() == 0 else []
        return ["setpriv", "--pdeathsig=QUIT", *became, str(self._programs / program)]


@contextmanager
def database() -> Iterator[Database]:
    """A cluster that runs; a loud skip where there is no PostgreSQL."""
    programs = find_programs()
    if programs is None or shutil.which("setpriv") is None:
        pytest.skip("NO POSTGRESQL: install Debian's package postgresql, or put initdb on the path")
    # Not below pytest's own folder, which only its owner may enter; and short, for a socket's path.
    with tempfile.TemporaryDirectory(prefix="squall-") as name:
        running = Database(Path(name), programs)
        running.start()
        try:
            yield running
        finally:
            running.stop(how=signal.SIGQUIT)
