"""What somebody saw who looked whether anything that a fault has done still stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen of one part, in words; nothing is proven while `stands` names anything."""

    stands: tuple[str, ...] = ()  # what is still in force, or cannot be seen
    seen: tuple[str, ...] = ()  # what was found well, and in whose word


def joined(looks: Iterable[Look]) -> Look:
    """Give what was seen of several parts as one."""
    found = tuple(looks)
    return Look(
        stands=tuple(words for look in found for words in look.stands),
        seen=tuple(words for look in found for words in look.seen),
    )
