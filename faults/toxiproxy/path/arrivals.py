"""Clients that have come but are not let in yet: what slow_accept does to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from faults.toxiproxy.path.stage import MS, Toxic

SLOW_ACCEPT = "slow_accept"


@dataclass(slots=True, kw_only=True)
class Arrival:
    """How a client came: who, when, and by which way."""

    client: str
    at_s: float  # on the monotonic clock
    way: tuple[str, str, str]  # the proxy's name, where it listened, and where it led
    delayed_by: tuple[str, ...] = ()  # the names of toxics that made it wait


class Arrivals:
    """Lets clients in, each once the toxics that hit it have had their delay.

    To a client this is a server whose queue is served slowly: the system has taken the connection,
    nothing is read, and nobody is dialled.
    """

    def __init__(self, hits: Callable[[int], list[Toxic]]) -> None:
        """Ask `hits` which toxics delay a connection of that number."""
        self._hits = hits
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Look again at everyone who waits: a toxic has come, changed or gone."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def admit(self, arrival: Arrival, number: int) -> None:
        """Return when the client may come in."""
        while True:
            changed = self._changed
            delays_ms = 0
            for toxic in self._hits(number):
                delays_ms += toxic.attributes["delay"]
                if toxic.name not in arrival.delayed_by:
                    arrival.delayed_by += (toxic.name,)
                    toxic.exposure.connections += 1
                    toxic.exposure.hits += 1
            left_s = arrival.at_s + delays_ms * MS - time.monotonic()
            if left_s <= 0:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await changed.wait()
