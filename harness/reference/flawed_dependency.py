"""Flawed ways with a dependency, one switch each: how it is asked, and what is made of it."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import anyio
import httpx

from harness.flaws import Flaw, Flaws
from harness.reference.documents import Row
from harness.reference.downstream import (
    BUDGET_S,
    Downstream,
    FailedAttemptError,
    StoreError,
    UnknownOutcomeError,
    errand,
)
from harness.reference.notes import Note
from harness.reference.remote import PAGES_MAX, RemoteDocuments, RemoteNotes

STORM: Final = 20  # more attempts, for one read
WRITES_AGAIN: Final = 2
CACHED_S: Final = 60.0


class FlawedDownstream(Downstream):
    """A client of the dependency with some of its flaws switched on."""

    def __init__(self, url: str, *, flaws: Flaws) -> None:
        """Connect to nothing yet.

        Raises:
            UsageError: the URL is none.
        """
        super().__init__(url)
        self._flaws = flaws
        self._gone = anyio.Event()

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[None]:
        """no-breaker, retry-storm, retries-writes: nobody counts the failures."""
        try:
            if self._flaws & {Flaw.NO_BREAKER, Flaw.RETRY_STORM, Flaw.RETRIES_WRITES}:
                yield
                return
            async with super()._attempt():
                yield
        except FailedAttemptError:
            self._gone.set()
            raise

    async def read(self, path: str, query: Mapping[str, str]) -> dict[str, Any]:
        """retry-storm: again and again, at once."""
        if Flaw.RETRY_STORM in self._flaws:
            for _ in range(STORM):
                with suppress(FailedAttemptError):
                    return await self._once("GET", path, errand(), query, None)
        return await super().read(path, query)

    async def write(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """retries-writes: as new ones, without the key that would keep them single."""
        for _ in range(WRITES_AGAIN if Flaw.RETRIES_WRITES in self._flaws else 0):
            try:
                return await super().write(method, path, body)
            except UnknownOutcomeError:
                body = {name: value for name, value in body.items() if name != "idempotency_key"}
        return await super().write(method, path, body)

    async def _send(self, method: str, path: str, *, end_s: float, **what: Any) -> httpx.Response:
        """no-downstream-deadline, sleeps-on-retry-after: as long as it takes."""
        if Flaw.NO_DOWNSTREAM_DEADLINE in self._flaws:
            end_s, what["timeout"] = math.inf, None
        reply = await super()._send(method, path, end_s=end_s, **what)
        while Flaw.SLEEPS_ON_RETRY_AFTER in self._flaws and "retry-after" in reply.headers:
            await anyio.sleep(float(reply.headers["retry-after"]))
            reply = await super()._send(method, path, end_s=math.inf, **what)
        return reply

    async def reconnect(self) -> None:
        """tight-reconnect: look for a dependency that is gone, without a pause."""
        while Flaw.TIGHT_RECONNECT in self._flaws:
            await self._gone.wait()
            self._gone = anyio.Event()
            back, place = False, self._http.base_url
            # Over a connection of its own: it would else wait for a free one, which is a pause.
            async with httpx.AsyncClient(base_url=place, timeout=BUDGET_S, trust_env=False) as own:
                while not back:
                    with suppress(httpx.HTTPError):
                        back = (await own.get("/rows/doc-0")).is_success


class FlawedDocuments(RemoteDocuments):
    """Documents at the dependency, taken as they come."""

    def __init__(self, downstream: Downstream, *, flaws: Flaws) -> None:
        """Ask this one; whoever made it closes it."""
        super().__init__(downstream)
        self._flaws = flaws

    async def _search(self, asked: dict[str, str]) -> list[Row]:
        """schema-lies: nobody looks at them; partial-as-full: nor at how many there are."""
        if not self._flaws & {Flaw.SCHEMA_LIES, Flaw.PARTIAL_AS_FULL}:
            return await super()._search(asked)
        found: list[Row] = []
        for _ in range(PAGES_MAX):
            page = await self._downstream.read("/rows", asked)
            found += page["rows"]
            if page["next"] is None:
                break
            asked = {**asked, "cursor": page["next"]}
        complete = len(found) == page["total"] or Flaw.PARTIAL_AS_FULL in self._flaws
        if not found or not complete:
            raise StoreError("the store's answer is not complete")
        return found


class FlawedNotes(RemoteNotes):
    """Notes at the dependency, remembered for too long."""

    def __init__(self, downstream: Downstream, *, flaws: Flaws) -> None:
        """Ask this one; whoever made it closes it."""
        super().__init__(downstream)
        self._cached_s = CACHED_S if Flaw.STALE_CACHE in flaws else 0.0
        self._read_before: dict[tuple[str, int], tuple[float, list[Note]]] = {}

    async def read(self, key: str, limit: int) -> list[Note]:
        """stale-cache: what was read before is as good."""
        at_s, notes = self._read_before.get((key, limit), (-math.inf, []))
        if time.monotonic() - at_s >= self._cached_s:
            at_s, notes = time.monotonic(), await super().read(key, limit)
            self._read_before[key, limit] = at_s, notes
        return notes
