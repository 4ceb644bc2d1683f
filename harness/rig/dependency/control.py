"""Starts a dependency in its own process and drives it: programmes, and what they have hit."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from faults.levers import Programme
from harness.rig import orders
from harness.rig.dependency import CLIENT_VARIABLE, CONTROL_VARIABLE
from harness.rig.process import child

READY = "listening "
ANSWER_S = 5.0
CLIENT_ID = "target"


class Dependency:
    """A running dependency; `client` is `id:secret` of the credential that the target has."""

    def __init__(
        self, *, url: str, pid: int, ledger: Path, client: str, http: httpx.AsyncClient
    ) -> None:
        """`http` carries the control secret; `serve` makes one."""
        self.url = url
        self.pid = pid
        self.ledger = ledger
        self.client = client
        self._http = http

    @property
    def upstream(self) -> str:
        """Its host and port."""
        return urlsplit(self.url).netloc

    async def engage(self, label: str, programme: Programme) -> None:
        """Put a programme into force.

        Raises:
            RigError: the dependency does not answer.
        """
        await self._call("engage", {"label": label, "programme": asdict(programme)})

    async def disengage(self, label: str) -> None:
        """Take a programme out again; one that is gone already is no error.

        Raises:
            RigError: the dependency does not answer.
        """
        await self._call("disengage", {"label": label})

    async def hits(self, label: str) -> int:
        """How many requests a programme has hit so far.

        Raises:
            RigError: the dependency does not answer.
        """
        return int((await self._call("hits", {"label": label}))["hits"])

    async def programmes(self) -> tuple[str, ...]:
        """The labels of the programmes in force.

        Raises:
            RigError: the dependency does not answer.
        """
        return tuple((await self._call("programmes", {}))["labels"])

    async def know_callers(self, resource: str) -> None:
        """Tell it which audience the callers' own tokens have, which it must never see.

        Raises:
            RigError: the dependency does not answer.
        """
        await self._call("resource", {"resource": resource})

    async def _call(self, order: str, body: dict[str, Any]) -> dict[str, Any]:
        return await orders.give(self._http, "the dependency", self.url, order, body)


@asynccontextmanager
async def serve(
    *, ledger: Path, log: Path | None, ttl_s: float = 60.0, seed: int = 1
) -> AsyncIterator[Dependency]:
    """A dependency on a free loopback port for as long as the block lasts.

    Raises:
        RigError: it did not start.
    """
    control, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    client = f"{CLIENT_ID}:{secret}"
    argv = [sys.executable, "-m", "harness.rig.dependency", "--port", "0", "--stdin-lease"]
    argv += ["--ledger", str(ledger), "--ttl", f"{ttl_s:g}", "--seed", str(seed)]
    env = {**os.environ, CONTROL_VARIABLE: control, CLIENT_VARIABLE: client}
    async with (
        child(argv, env=env, ready=READY, log=log) as process,
        httpx.AsyncClient(
            headers={"Authorization": f"Bearer {control}"}, timeout=ANSWER_S, trust_env=False
        ) as http,
    ):
        yield Dependency(
            url=process.ready_line.removeprefix(READY),
            pid=process.pid,
            ledger=ledger,
            client=client,
            http=http,
        )
