"""Looks whether anything that a day's faults have done still stands, past whoever undid it.

Of each lever that was pulled something else is asked than the lever: the proxies, the issuer and
the dependencies in their own processes, the system of processes, and the calls that came after.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync

from faults.process import Relaunch
from harness import wal
from harness.clock import NS_PER_S, Clock
from harness.errors import RigError
from harness.gameday.hits import Hits
from harness.gameday.terms import ns
from harness.gameday.windows import Struck
from harness.rig import births, postures
from harness.rig.launched import Launched
from harness.rig.looks import Look, joined
from harness.rig.undo import look
from harness.running.dependencies import Dependencies
from harness.running.identity import Identity

# What only faults do. Proxies, processes and folders of the rig stand until the run ends.
OF_FAULTS: Final = ("remove_toxic", "enable_proxy")
QUIET_S: Final = 2.0  # calls are known about a second after they have ended
LOOK_S: Final = 0.1
PATIENCE_S: Final = 5.0  # beyond the longest that a call may take
Prove = Callable[[Sequence[Struck]], Awaitable[Look]]


@dataclass(frozen=True, kw_only=True)
class Prover:
    """One who looks, wherever something was done."""

    folder: Path
    run_id: str
    proxied: bool  # the treated arm, so that proxies can be asked
    launched: Launched | None
    identity: Identity | None
    dependency: Dependencies | None
    mischief: Callable[[], Collection[str]]  # what sessions and outsiders do wrong on purpose now
    misbehaved: Collection[int]  # the faults that have asked for any
    hits: Hits
    clock: Clock
    deadline_s: float  # the longest that a call may take

    async def look(self, faults: Sequence[Struck]) -> Look:
        """See what still stands of faults that are over, and what does not, in whose word."""
        levers = {one.wish.fault.lever for one in faults}
        looks = [await self.proxies()]
        if "process" in levers:
            looks.append(await self._processes(faults))
        if "identity" in levers and self.identity is not None:
            looks.append(await _asked("the issuer", self.identity.look))
        if self.dependency is not None and levers & {"dependency", "identity"}:
            looks.append(await _asked("the dependency", self.dependency.look))
        odd = [one for one in faults if one.number in self.misbehaved]
        if odd:
            over_ns = max(one.end_ns or 0 for one in odd)
            looks.append(await self._conduct(over_ns))
        return joined(looks)

    async def proxies(self) -> Look:
        """See what the proxies still have of everything that was to be undone there."""
        stands = await run_sync(_standing, self.folder)
        return Look(stands=stands, seen=("the proxies hold nothing of it",) if self.proxied else ())

    async def _processes(self, faults: Sequence[Struck]) -> Look:
        """See how the target's processes stand, as the system tells it once they have woken up."""
        until_ns = self.clock.now_ns() + ns(PATIENCE_S)
        while True:
            found = await self._processes_now(faults)
            now_ns = self.clock.now_ns()
            if not found.stands or now_ns >= until_ns:
                return found
            await self.clock.sleep_until(now_ns + ns(LOOK_S))

    async def _processes_now(self, faults: Sequence[Struck]) -> Look:
        if self.launched is None:
            return await run_sync(_servers, self.run_id, self.folder)
        relaunched = [one.wish.fault for one in faults if isinstance(one.wish.fault, Relaunch)]
        conditions = [fault.conditions() for fault in relaunched]
        return await self.launched.look(
            tuple(dict.fromkeys(name for one in conditions for name in one.environment)),
            moved=any(one.directory for one in conditions),
        )

    async def _conduct(self, since_ns: int) -> Look:
        """See nothing wrong done on purpose for a while, in calls, requests and processes."""
        until_ns = self.clock.now_ns() + ns(self.deadline_s + PATIENCE_S)
        while True:
            now_ns, wrong = self.clock.now_ns(), self.mischief()
            since_ns = max(since_ns, now_ns if wrong else 0, self.hits.odd_ns)
            if not wrong and self.hits.heard_ns >= since_ns + ns(QUIET_S):
                return Look(seen=(f"nobody misbehaves, and no call since {_at(since_ns)} did",))
            if now_ns >= until_ns:
                last = f"odd calls are still begun, the last at {_at(self.hits.odd_ns)}"
                return Look(stands=(f"still under way: {', '.join(wrong)}" if wrong else last,))
            await self.clock.sleep_until(now_ns + ns(LOOK_S))


def _at(at_ns: int) -> str:
    """Give a moment as the page does."""
    minutes, seconds = divmod(at_ns // NS_PER_S, 60)
    return f"{minutes}:{seconds:02}"


async def _asked(who: str, look_at: Callable[[], Awaitable[Look]]) -> Look:
    """Ask; who gives no answer proves nothing."""
    try:
        return await look_at()
    except RigError as error:
        return Look(stands=(f"{who} cannot be asked: {error}",))


def _servers(run_id: str, folder: Path) -> Look:
    """See whether a server behind pipes stands still."""
    living = births.servers(run_id, folder)
    still = postures.stopped(one.pid for one in living)
    if still:
        return Look(stands=(f"servers stand still: {', '.join(map(str, still))}",))
    return Look(seen=(f"{len(living)} servers run and none stands still, says the system",))


def _standing(folder: Path) -> tuple[str, ...]:
    """Ask the proxies themselves, whether or not a thing was ticked off since."""
    try:
        record = wal.read(folder)
    except OSError as error:
        return (f"the record of what was broken cannot be read: {error.strerror or error}",)
    asked = {str(sorted(one.what.items())): one for one in record.intents if one.undo in OF_FAULTS}
    return tuple(told.words for told in look(tuple(asked.values())) if not told.whole)
