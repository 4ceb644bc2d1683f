"""Sends outsiders on their errands: one for each behaviour that is theirs, while it is in force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

from faults.levers import Behaviour, BehaviourKind
from harness.errors import SquallError
from harness.journal import NoteEntry
from harness.session.mischief import drifts, floods, heads, states, thefts
from harness.session.mischief.outsider import Ground, Outsider
from harness.wire.raw import Mouth

ERRANDS: Final[dict[BehaviourKind, Callable[[Outsider], Awaitable[None]]]] = {
    "session_flood": floods.flood_sessions,
    "reject_flood": floods.flood_with_rejects,
    "session_hijack": thefts.hijack,
    "stale_id": thefts.begin_with_stale_id,
    "session_idle": thefts.come_back_late,
    "resume_probe": thefts.resume,
    "state_tamper": states.tamper,
    "version_skew": heads.skew_versions,
    "origin_evil": heads.come_from_evil,
    "host_header": heads.use_other_names,
    "drift_list": drifts.drift,
}


class Errands:
    """The errands under way in one process; `group` is their parent."""

    def __init__(self, ground: Ground, group: TaskGroup) -> None:
        """Begin with none."""
        self._ground = ground
        self._group = group
        self._scopes: dict[BehaviourKind, anyio.CancelScope] = {}
        self.under_way: Counter[BehaviourKind] = Counter()  # those called back and not gone, too

    def begin(self, behaviour: Behaviour) -> None:
        """Send an outsider when the behaviour is one of theirs."""
        if behaviour.kind in ERRANDS:
            scope = self._scopes[behaviour.kind] = anyio.CancelScope()
            self._group.start_soon(self._run, behaviour, scope)

    def end(self, behaviour: Behaviour) -> None:
        """Call the outsider back; it still ends what it has opened."""
        scope = self._scopes.pop(behaviour.kind, None)
        if scope is not None:
            scope.cancel()

    async def _run(self, behaviour: Behaviour, scope: anyio.CancelScope) -> None:
        with scope, Mouth(self._ground.endpoint, self._ground.clock.now_ns) as mouth:
            self.under_way[behaviour.kind] += 1
            try:
                await ERRANDS[behaviour.kind](Outsider(self._ground, behaviour, mouth))
            except SquallError as error:  # no token, say: the checks say that they saw nothing
                self._ground.writer.append(
                    NoteEntry(
                        at_ns=self._ground.clock.now_ns(),
                        text=f"an outsider gave up on {behaviour.kind}: {error}",
                    )
                )
            finally:
                self.under_way[behaviour.kind] -= 1
