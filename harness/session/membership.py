"""Whom the target trusts now, and who we are there: shared by the sessions of an arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
import httpx

from harness.clock import NS_PER_S
from harness.errors import SquallError
from harness.session.authority import Authority, discover
from harness.session.exchange import TokenError
from harness.session.registration import Grant, Registration, identify

LOOK_AGAIN_NS: Final = NS_PER_S  # however many sessions are refused, discovery is asked once


class Membership:
    """An authorization server and our registration there; follows the target to another one.

    A registration belongs to the issuer that gave it and is never shown to another.
    """

    def __init__(
        self,
        authority: Authority,
        registration: Registration,
        *,
        http: httpx.AsyncClient,
        now_ns: Callable[[], int],
        target_url: str = "",
        grant: Grant = "client_credentials",
        registers: bool = False,
    ) -> None:
        """Without `target_url` the issuer stays; if squall `registers`, it may do so elsewhere."""
        self.authority = authority
        self.registration = registration
        self.http = http
        self._now_ns = now_ns
        self._target_url = target_url
        self._grant: Grant = grant
        self._registers = registers
        self._looked_ns = -LOOK_AGAIN_NS
        self._looking = anyio.Lock()

    async def look_again(self, challenge: str) -> None:
        """See whom the target trusts after it has refused a token.

        What cannot be read changes nothing.

        Raises:
            TokenError: it trusts another issuer now, where we are nobody.
        """
        if not self._target_url:
            return
        async with self._looking:
            if self._now_ns() - self._looked_ns < LOOK_AGAIN_NS:
                return
            self._looked_ns = self._now_ns()
            try:
                found = await discover(self.http, self._target_url, challenge)
            except SquallError:
                return
            if found.issuer != self.authority.issuer:
                await self._move(found)

    async def _move(self, found: Authority) -> None:
        registration = self.registration
        if registration.issuer:
            if not self._registers:
                self._looked_ns = -LOOK_AGAIN_NS
                raise TokenError(
                    f"the target trusts {found.issuer} now, and the client that squall was "
                    f"given belongs to {registration.issuer}; give one of the new issuer"
                )
            registration = await identify(self.http, found, document="", grant=self._grant)
        elif not found.takes_documents:
            registration = await identify(
                self.http, found, document=registration.client_id, grant=self._grant
            )
        self.authority, self.registration = found, registration
