"""The dependency's client with the flaws of the credentials that it shows there, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import anyio

from harness.flaws import Flaw, Flaws
from harness.reference.callers import Caller
from harness.reference.downstream import StoreError, errand, on_errand
from harness.reference.flawed_dependency import FlawedDownstream

PREPARED_S: Final = 0.004  # what a call does between learning who asks and asking for them


class CarelessDownstream(FlawedDownstream):
    """As its parent, but for the flaws that are switched on."""

    def __init__(self, url: str, *, flaws: Flaws) -> None:
        """Connect to nothing yet.

        Raises:
            UsageError: the URL is none.
        """
        super().__init__(url, flaws=flaws)
        self._user: Caller | None = None  # the flaw ambient-user: whoever was here last
        self._lost = False  # the flaw refresh-once: a renewal has failed

    async def _within(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        if Flaw.AMBIENT_USER not in self._flaws:
            return await super()._within(method, path, query=query, body=body)
        self._user, trace = errand().caller, errand().trace
        await anyio.sleep(PREPARED_S)
        with on_errand(self._user, trace):
            return await super()._within(method, path, query=query, body=body)

    async def _credential(self, end_s: float) -> dict[str, str]:
        if Flaw.TOKEN_PASSTHROUGH in self._flaws and errand().caller.bearer:
            return {"Authorization": errand().caller.bearer}
        if Flaw.REFRESH_STAMPEDE in self._flaws:
            await self._renew(end_s)
        return await super()._credential(end_s)

    async def _renew(self, end_s: float) -> None:
        if self._lost:
            raise StoreError("the store's token could not be renewed")
        renewed = False
        try:
            await super()._renew(end_s)
            renewed = True
        finally:
            self._lost = not renewed and Flaw.REFRESH_ONCE in self._flaws
