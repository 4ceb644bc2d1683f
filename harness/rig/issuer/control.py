"""Starts an issuer in its own process and drives it: clients, lifetimes, revocation, counters."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from pydantic import TypeAdapter

from faults.levers import RefreshManner
from harness.errors import RigError
from harness.rig import orders
from harness.rig.issuer import CONTROL_VARIABLE
from harness.rig.issuer.mishaps import Manners, OutageManner
from harness.rig.issuer.statistics import Statistics
from harness.rig.process import child

READY = "listening "
ANSWER_S = 5.0
SEEN_S = 0.2  # an issuer that answers later than that is slow enough

_STATISTICS: TypeAdapter[Statistics] = TypeAdapter(Statistics)
_MANNERS: TypeAdapter[Manners] = TypeAdapter(Manners)


class Issuer:
    """A running issuer; `url` is the issuer identifier that tokens and metadata name."""

    def __init__(self, *, url: str, pid: int, http: httpx.AsyncClient) -> None:
        """`http` carries the control secret; `serve` makes one."""
        self.url = url
        self.pid = pid
        self._http = http

    async def register(
        self, *, client_id: str, group: str, scopes: str, ttl_s: float, odd: bool = False
    ) -> str:
        """Register a client whose tokens live `ttl_s` seconds; returns its secret.

        `scopes` are separated by blanks. `ttl_s` holds for the whole group. A client that is
        already known gets a new secret. An `odd` one may ask for tokens that are no good.

        Raises:
            RigError: the issuer does not answer or is full.
        """
        order = {"client_id": client_id, "group": group, "scopes": scopes, "ttl_s": ttl_s}
        order |= {"odd": odd}
        answer = await self._call("clients", order)
        return str(answer["client_secret"])

    async def set_ttl(self, group: str, ttl_s: float) -> None:
        """From now on tokens of `group` live `ttl_s` seconds; those that exist keep their expiry.

        Raises:
            RigError: the issuer does not answer.
        """
        await self._call("ttl", {"group": group, "ttl_s": ttl_s})

    async def revoke_all(self, group: str) -> int:
        """Revoke every token of `group`; how many access tokens were still good.

        Refresh tokens go with them, so a client has to ask for a new grant.

        Raises:
            RigError: the issuer does not answer.
        """
        return int((await self._call("revoke", {"group": group}))["revoked"])

    async def rotate(self, *, keep_s: float | None, fresh_s: float = 0.0) -> None:
        """Sign the struck group's tokens with a new key; the old is published `keep_s` longer.

        None rotates nothing: it withdraws what is still published of old keys. The key set says
        that it may be kept for `fresh_s` from now on, in whole seconds; 0: for as long as usual.

        Raises:
            RigError: the issuer does not answer.
        """
        await self._call("rotate", {"keep_s": keep_s, "fresh_s": fresh_s})

    async def set_outage(self, manner: OutageManner | None, *, delay_s: float = 0.0) -> None:
        """Let every endpoint fail, or answer `delay_s` late; None ends the outage.

        That it is in force is seen for oneself, which the issuer counts as the first it has hit.

        Raises:
            RigError: the issuer does not answer.
        """
        await self._call("outage", {"manner": manner or "", "delay_s": delay_s})
        if manner is not None:
            await self._see_it_away()

    async def set_refreshing(
        self, group: str, manner: RefreshManner | None, *, leeway_s: float = 0.0
    ) -> None:
        """Let the refreshes of `group` go wrong; None ends that.

        For `leeway_s` after it was spent, a refresh token may be shown again without harm.

        Raises:
            RigError: the issuer does not answer.
        """
        order = {"group": group, "manner": manner or "", "leeway_s": leeway_s}
        await self._call("refreshing", order)

    async def statistics(self) -> Statistics:
        """Every counter as it stands now.

        Raises:
            RigError: the issuer does not answer.
        """
        return _STATISTICS.validate_python(await self._call("statistics", None))

    async def manners(self) -> Manners:
        """How it answers now, by its own word; and it has been asked something as a target asks.

        Raises:
            RigError: it does not answer, or not as a target needs.
        """
        url = f"{self.url}/.well-known/oauth-authorization-server"
        try:
            (await self._http.get(url)).raise_for_status()
        except httpx.HTTPError as error:
            raise RigError(
                f"expected the issuer at {self.url} to answer, got {error or type(error).__name__}"
            ) from error
        return _MANNERS.validate_python(await self._call("manners", None))

    async def _see_it_away(self) -> None:
        try:
            reply = await self._http.get(f"{self.url}/jwks", timeout=SEEN_S)
        except httpx.TimeoutException:
            return
        except httpx.HTTPError as error:
            raise RigError(f"{self.url} could not be asked: {type(error).__name__}") from error
        if reply.is_success:
            raise RigError(f"expected the issuer at {self.url} to be away, and it answered")

    async def _call(self, order: str, body: dict[str, Any] | None) -> dict[str, Any]:
        return await orders.give(self._http, "the issuer", self.url, order, body)


@asynccontextmanager
async def serve(*, log_dir: Path | None) -> AsyncIterator[Issuer]:
    """An issuer on a free loopback port for as long as the block lasts.

    Raises:
        RigError: it did not start.
    """
    control = secrets.token_urlsafe(32)
    argv = (sys.executable, "-m", "harness.rig.issuer", "--port", "0", "--stdin-lease")
    log = log_dir / "issuer.log" if log_dir is not None else None
    env = {**os.environ, CONTROL_VARIABLE: control}
    async with (
        child(argv, env=env, ready=READY, log=log) as process,
        httpx.AsyncClient(
            headers={"Authorization": f"Bearer {control}"}, timeout=ANSWER_S, trust_env=False
        ) as http,
    ):
        yield Issuer(url=process.ready_line.removeprefix(READY), pid=process.pid, http=http)
