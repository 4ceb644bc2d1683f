"""One proxy as faults see it, in the words that they know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from faults import levers
from faults.levers import FaultError
from harness.errors import RigError
from harness.rig.toxiproxy.proxy import Proxy


@contextmanager
def as_fault() -> Iterator[None]:
    """Say what the rig could not do in the words that faults know."""
    try:
        yield
    except RigError as error:
        raise FaultError(str(error)) from error


class Network:
    """A proxy that faults pull on: the treated arm's, or one in front of a dependency."""

    def __init__(self, proxy: Proxy) -> None:
        """Pull on this proxy."""
        self._proxy = proxy
        self._before = 0  # connections closed by going down earlier: another fault's doing

    async def add_toxic(
        self,
        name: str,
        *,
        type: str,  # noqa: A002  the proxy's own word
        stream: Literal["upstream", "downstream"],
        attributes: Mapping[str, int],
    ) -> None:
        """Put a toxic on every connection."""
        with as_fault():
            await self._proxy.add_toxic(name, type=type, stream=stream, attributes=attributes)

    async def remove_toxic(self, name: str) -> None:
        """Take it off again."""
        with as_fault():
            await self._proxy.remove_toxic(name)

    async def set_enabled(self, enabled: bool) -> None:
        """Close the listener and every connection, or open it again."""
        with as_fault():
            if not enabled:
                self._before = (await self._proxy.exposure(None)).hits
            await self._proxy.set_enabled(enabled)

    async def exposure(self, toxic: str | None) -> levers.Exposure:
        """Count the connections hit; a server that keeps no such count says so."""
        with as_fault():
            seen = await self._proxy.exposure(toxic)
        if seen.source != "injector":
            return levers.Exposure(count=0, unit="connections", source="proxy")
        count = seen.hits - self._before if toxic is None else seen.connections
        return levers.Exposure(
            count=count,
            unit="connections",
            source="injector",
            connections=seen.connections,
            bytes=seen.bytes,
        )
