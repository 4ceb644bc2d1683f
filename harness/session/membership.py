"""Whom the target trusts now, and who we are there: shared by the sessions of an arm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
import httpx

from harness.clock import NS_PER_S
from harness.errors import SquallError
from harness.session.authority import Authority, discover
from harness.session.exchange import TokenError, bounded, unreachable
from harness.session.misfits import Misfits
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
        self.misfits = Misfits(self._misfit, now_ns)

    async def ask(self, form: dict[str, str]) -> tuple[int, bytes]:
        """Post a form to the token endpoint as who we are there; the status and the body.

        Raises:
            TokenError: it cannot be reached.
        """
        authority = self.authority
        url = authority.token_endpoint
        form, auth = self.registration.present(form, authority)
        form = {name: value for name, value in form.items() if value}
        try:
            async with self.http.stream("POST", url, data=form, auth=auth) as reply:
                return reply.status_code, await bounded(reply)
        except httpx.HTTPError as error:
            raise unreachable(url, error) from None

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

    async def _misfit(self, form: dict[str, str]) -> bytes:
        """What buys a token that does not fit: by the grant of clients, whatever the sessions'."""
        authority = self.authority
        form = {"resource": authority.resource, "scope": " ".join(authority.scopes)} | form
        status, body = await self.ask({"grant_type": "client_credentials", **form})
        return body if status == httpx.codes.OK else b""

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
