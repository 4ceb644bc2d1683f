from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from harness.gameday import counts
from harness.gameday.wish import RefusedError
from harness.journal import AuditEntry
from harness.running.audit import Edge
from tests import virtual
from tests.gameday.days import BASELINE_END_S, StagedDay, staged, wanted

pytestmark = pytest.mark.anyio
S = virtual.NS_PER_S
RECOVERY_S = 10.0  # of `journals.scenario`
AHEAD_S = 0.5


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Recoveries cost no waiting."""
    return virtual.backend()


class Slow:
    """A target that takes its time to count, and counts up."""

    def __init__(self, day: StagedDay) -> None:
        self.day = day
        self.count = 0

    async def ask(self, edge: Edge, window: int = 0) -> AuditEntry:
        """Take two seconds."""
        at_ns = self.day.game.clock.now_ns()
        await anyio.sleep(2)
        self.count += 1
        now_ns = self.day.game.clock.now_ns()
        return AuditEntry(
            at_ns=at_ns, answered_ns=now_ns, edge=edge, window=window, count=self.count
        )


async def until_free(day: StagedDay) -> None:
    """Wait until a fault may be started, with the operator's page heard of."""
    while day.game.why_not():
        day.game.attendance.beat("Ana", "operator")
        await anyio.sleep(0.25)


async def test_the_target_is_asked_for_its_count_between_faults(tmp_path: Path) -> None:
    """At the end of the baseline and of each fault's recovery; nothing is broken meanwhile."""
    day, writer = staged(tmp_path)
    ends_s = []
    with writer:
        async with anyio.create_task_group() as group:
            group.start_soon(day.game.conduct, day.stop)
            group.start_soon(counts.watch, Slow(day), day.game)
            await anyio.sleep_until(BASELINE_END_S + 1)
            day.come()
            with pytest.raises(RefusedError, match="asked how many effects it counts"):
                day.game.start(wanted(day.game.scenario), "Ana")
            for number in (1, 2):
                await until_free(day)
                assert day.game.start(wanted(day.game.scenario), "Ana").number == number
                await anyio.sleep(3)
                day.game.stop(number, "Ana")
                ends_s.append(anyio.current_time())
            await until_free(day)
            day.end("over")
            group.cancel_scope.cancel()
    asked = day.journal().of(AuditEntry)
    assert [(one.edge, one.window, one.count) for one in asked] == [
        ("baseline", 0, 1),
        ("recovery", 1, 2),
        ("recovery", 2, 3),
    ]
    expected_s = [BASELINE_END_S - AHEAD_S, *(end + RECOVERY_S - AHEAD_S for end in ends_s)]
    assert [one.at_ns / S for one in asked] == pytest.approx(expected_s, abs=0.3)


async def test_a_fault_that_was_never_in_force_is_not_asked_about(tmp_path: Path) -> None:
    """Nothing can have been doubled by it; the next one is."""
    day, writer = staged(tmp_path)
    with writer:
        async with anyio.create_task_group() as group:
            group.start_soon(day.game.conduct, day.stop)
            group.start_soon(counts.watch, Slow(day), day.game)
            await anyio.sleep_until(BASELINE_END_S + 2)
            day.come()
            hand = day.world.hand
            hand.failing[len(hand.pulls)] = "refuses"
            await until_free(day)
            day.game.start(wanted(day.game.scenario), "Ana")
            await anyio.sleep(1)
            assert day.game.faults[0].state == "failed"
            await until_free(day)
            day.game.start(wanted(day.game.scenario), "Ana")
            await anyio.sleep(3)
            day.game.stop(2, "Ana")
            await until_free(day)
            day.end("over")
            group.cancel_scope.cancel()
    assert [one.window for one in day.journal().of(AuditEntry)] == [0, 2]
