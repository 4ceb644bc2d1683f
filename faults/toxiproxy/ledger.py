"""Bytes by the way they went, of connections that have ended and of those still open."""

from __future__ import annotations

from collections.abc import Iterable

from faults.toxiproxy.path.link import Connection, Link

WAYS_MAX = 10_000  # ways through the server that are remembered; the oldest is forgotten first

Way = tuple[str, str, str]  # a proxy's name, where it listens, where it leads


class Ledger:
    """Bytes received and sent by way and direction, of connections that have ended."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._ended: dict[tuple[str, Way], tuple[int, int]] = {}

    def add(self, way: Way, connection: Connection) -> None:
        """Enter a connection that has ended."""
        _enter(self._ended, way, connection)
        while len(self._ended) > 2 * WAYS_MAX:
            del self._ended[next(iter(self._ended))]

    def totals(
        self, still_open: Iterable[tuple[Way, Connection]]
    ) -> dict[tuple[str, Way], tuple[int, int]]:
        """All there is, with what the open connections have carried so far."""
        totals = dict(self._ended)
        for way, connection in still_open:
            _enter(totals, way, connection)
        return totals


def _enter(
    totals: dict[tuple[str, Way], tuple[int, int]], way: Way, connection: Connection
) -> None:
    for direction, link in (("upstream", connection.up), ("downstream", connection.down)):
        received, sent = totals.get((direction, way), (0, 0))
        totals[direction, way] = (received + link.bytes, sent + _sent_bytes(link))


def _sent_bytes(link: Link) -> int:
    return link.bytes - link.withheld_bytes
