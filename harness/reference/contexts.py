"""What `remember` keeps, per caller and handle, bounded: for whichever process is asked next."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol

from harness.flaws import Flaw, Flaws
from harness.reference.callers import Caller

CONTEXTS_MAX: Final = 100_000  # remembered values; the oldest gives way

Place = tuple[str, str, str, str]  # holder, subject, handle, key


class Store(Protocol):
    """Where values outlive the process that was told them, and where its siblings find them."""

    async def keep(self, place: Place, value: str) -> None:
        """Keep a value; the oldest goes when there are too many."""

    async def kept(self, place: Place) -> str | None:
        """The value, or None where there is none."""


class Contexts:
    """Remembered values, in a store or, by the flaw ram-state, in this process alone."""

    def __init__(self, *, flaws: Flaws, store: Store | None = None) -> None:
        """Keep them in `store`; in this process where there is none to be had."""
        self._anybodys = Flaw.SESSION_UNBOUND in flaws
        self._store = None if Flaw.RAM_STATE in flaws else store
        self._values: OrderedDict[Place, str] = OrderedDict()

    async def put(self, caller: Caller, session: str, key: str, value: str) -> None:
        """Remember a value; the oldest is forgotten when there are too many."""
        place = self._place(caller, session, key)
        if self._store is not None:
            await self._store.keep(place, value)
            return
        self._values[place] = value
        self._values.move_to_end(place)
        if len(self._values) > CONTEXTS_MAX:
            self._values.popitem(last=False)

    async def get(self, caller: Caller, session: str, key: str) -> str | None:
        """The value, or None when it is not known to this caller."""
        place = self._place(caller, session, key)
        if self._store is not None:
            return await self._store.kept(place)
        return self._values.get(place)

    def _place(self, caller: Caller, session: str, key: str) -> Place:
        if self._anybodys:  # the flaw session-unbound
            return ("", "", session, key)
        return (caller.holder, caller.subject, session, key)
