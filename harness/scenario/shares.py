"""Who gets how many sessions and which arm: whole numbers out of shares, the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

PARTS: Final = 1_000_000  # a share is a whole number of millionths, so no float ever decides


def apportion(sessions: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Split sessions by share: whole numbers by largest remainder, earlier agents first."""
    weights = [round(share * PARTS) for share in shares]
    total = sum(weights)
    counts = [sessions * weight // total for weight in weights]
    remainders = [sessions * weight % total for weight in weights]
    order = sorted(range(len(weights)), key=lambda agent: (-remainders[agent], agent))
    for agent in order[: sessions - sum(counts)]:
        counts[agent] += 1
    return tuple(counts)


def is_treated(place: int, treated: float) -> bool:
    """Whether the session at a place in line is treated; any stretch of the line has its share.

    The line runs through all agents one after the other, so each agent's treated share is exact
    to one session, and so is the whole's.
    """
    parts = round(treated * PARTS)
    return (place + 1) * parts // PARTS > place * parts // PARTS


def treated_count(sessions: int, treated: float) -> int:
    """How many of all sessions are treated."""
    return sessions * round(treated * PARTS) // PARTS
