from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from harness.gameday.windows import Struck
from harness.gameday.wish import RefusedError
from harness.journal import (
    DeedEntry,
    FaultEntry,
    HaltEntry,
    LeaseEntry,
    OrderEntry,
    RemarkEntry,
)
from tests import journals, virtual
from tests.gameday.days import BASELINE_END_S, StagedDay, staged, under_way, wanted

pytestmark = pytest.mark.anyio
S = virtual.NS_PER_S
RECOVERY_S = 10.0  # of `journals.scenario`


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Leases of half a minute cost no waiting."""
    return virtual.backend()


def state(one: Struck) -> str:
    """How a fault stands now."""
    return one.state


async def stay(day: StagedDay, *, for_s: float, page: str = "Ana") -> None:
    """Keep a page heard of for a while."""
    until_s = anyio.current_time() + for_s
    while anyio.current_time() < until_s:
        day.game.attendance.beat(page, "operator")
        await anyio.sleep(min(4.0, until_s - anyio.current_time()))


def edges(day: StagedDay, window: int = 1) -> list[str]:
    """What was written down of one fault."""
    return [one.edge for one in day.journal().of(FaultEntry) if one.window == window]


async def test_a_fault_ends_when_its_time_is_up(tmp_path: Path) -> None:
    """Ordered, in force, healed, each at its moment and each in the journal, the order first."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario), "Ana")
        await anyio.sleep(1)
        assert state(one) == "in force"
        assert day.game.phase() == "fault"
        assert day.world.network.named == ["squall-r4nd-1-0", "squall-r4nd-1-1"]
        assert day.game.window(1).start_ns == one.start_ns
        assert day.game.window(1).end_ns == one.ordered_ns + 20 * S
        await stay(day, for_s=20)
        assert (state(one), one.why, day.game.phase()) == ("healed", "its time was up", "recovery")
        assert one.start_ns is not None
        assert one.end_ns is not None
        assert 20 * S <= one.end_ns - one.start_ns <= 21 * S
        assert day.world.at_rest
    found = day.journal()
    (order,) = found.of(OrderEntry)
    assert (order.who, order.kind, order.expected) == (
        "Ana",
        "tcp-latency",
        "calls slow down and are answered",
    )
    assert edges(day) == ["intended", "injected", "healing", "healed"]
    ordered = [type(entry).__name__ for entry in found.entries]
    assert ordered.index("OrderEntry") < ordered.index("FaultEntry")


async def test_a_fault_ends_when_the_last_operators_page_has_gone(tmp_path: Path) -> None:
    """A closed page is known at once: ten seconds of grace, and it is over."""
    async with under_way(tmp_path) as day:
        page = day.come()
        one = day.game.start(wanted(day.game.scenario, **{"for": "10m"}), "Ana")
        await anyio.sleep(5)
        day.game.attendance.go(page)
        await anyio.sleep(9)
        assert state(one) == "in force"
        await anyio.sleep(2)
        assert state(one) == "healed"
        assert "no operator's page" in one.why
        assert day.world.at_rest
    assert [one.edge for one in day.journal().of(LeaseEntry)] == ["granted", "cut", "ended"]


async def test_a_page_that_falls_silent_is_as_good_as_gone(tmp_path: Path) -> None:
    """A laptop whose lid is shut closes no connection; nobody hears of it any more."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario, **{"for": "10m"}), "Ana")
        await anyio.sleep(31)
        assert one.is_over
        assert day.world.at_rest


async def test_a_reload_costs_no_fault_its_life(tmp_path: Path) -> None:
    """Who is back within the grace has the lease renewed."""
    async with under_way(tmp_path) as day:
        page = day.come()
        one = day.game.start(wanted(day.game.scenario, **{"for": "10m"}), "Ana")
        await anyio.sleep(2)
        day.game.attendance.go(page)
        await anyio.sleep(3)
        day.come(page="again")
        await stay(day, for_s=60, page="again")
        assert state(one) == "in force"
        day.game.stop(1, "Ana")
        await anyio.sleep(1)
    assert "restored" in [one.edge for one in day.journal().of(LeaseEntry)]


async def test_one_of_two_operators_is_enough(tmp_path: Path) -> None:
    """The lease is the day's, not that of whoever started the fault; a viewer holds none."""
    async with under_way(tmp_path) as day:
        ana = day.come("Ana")
        day.come("Ben")
        day.come("Eve", "viewer")
        one = day.game.start(wanted(day.game.scenario, **{"for": "10m"}), "Ana")
        day.game.attendance.go(ana)
        await stay(day, for_s=60, page="Ben")
        assert state(one) == "in force"
        with pytest.raises(RefusedError, match="not connected"):
            day.game.attendance.beat("Ben", "viewer")
        day.game.attendance.beat("Eve", "viewer")
        await anyio.sleep(31)
        day.game.attendance.beat("Eve", "viewer")
        assert one.is_over


async def test_two_operators_cannot_start_two_faults(tmp_path: Path) -> None:
    """The second is told whose fault is in force; after it and its recovery, another may come."""
    async with under_way(tmp_path) as day:
        day.come("Ana")
        day.come("Ben")
        day.game.start(wanted(day.game.scenario), "Ana")
        with pytest.raises(RefusedError, match="1:tcp-latency, started by Ana"):
            day.game.start(wanted(day.game.scenario, "tcp-down"), "Ben")
        day.game.stop(1, "Ben")
        await stay(day, for_s=RECOVERY_S + 1)
        day.game.attendance.beat("Ben", "operator")
        two = day.game.start(wanted(day.game.scenario, "tcp-down"), "Ben")
        await anyio.sleep(1)
        assert (two.number, two.state, day.world.network.enabled) == (2, "in force", False)
        with pytest.raises(RefusedError, match="not in force any more"):
            day.game.stop(1, "Ana")
    assert day.world.at_rest
    stopped = [one for one in day.journal().of(DeedEntry) if one.deed == "stopped"]
    assert [(one.who, one.window) for one in stopped] == [("Ben", 1)]


async def test_a_halt_says_proven_only_after_it_was_looked(tmp_path: Path) -> None:
    """Undone first, then proven, and nothing starts until somebody lets the day go on."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario), "Ana")
        await anyio.sleep(1)
        day.game.ask_halt("Ben")
        assert day.game.halted is not None
        assert day.game.halted.state == "undoing"
        with pytest.raises(RefusedError, match="being undone already"):
            day.game.ask_halt("Ana")
        await anyio.sleep(1)
        assert (day.game.halted.state, one.state) == ("proven", "healed")
        assert day.game.halted.words == "every fault is undone"
        assert day.game.halted.proof == "the proxies hold nothing of it"
        with pytest.raises(RefusedError, match="halted"):
            day.game.start(wanted(day.game.scenario), "Ana")
        day.game.resume("Ana")
        with pytest.raises(RefusedError, match="recovery of 1:tcp-latency is being watched for 9"):
            day.game.start(wanted(day.game.scenario), "Ana")
        await stay(day, for_s=RECOVERY_S)
        assert day.game.start(wanted(day.game.scenario), "Ana").number == 2
    halts = [(one.edge, one.who, one.words) for one in day.journal().of(HaltEntry)]
    assert halts == [("asked", "Ben", ""), ("proven", "Ben", "the proxies hold nothing of it")]


async def test_a_halt_that_finds_something_standing_says_so(tmp_path: Path) -> None:
    """A lever that claims to have let go is not believed against the proxy's own word."""
    async with under_way(tmp_path) as day:
        day.come()
        day.game.start(wanted(day.game.scenario), "Ana")
        await anyio.sleep(1)
        day.stands = ("toxic t of proxy p: is there",)
        day.game.ask_halt("Ana")
        await anyio.sleep(1)
        assert day.game.halted is not None
        assert day.game.halted.state == "not proven"
        with pytest.raises(RefusedError, match="not everything is proven"):
            day.game.resume("Ana")
    assert day.journal().of(HaltEntry)[-1].words == "toxic t of proxy p: is there"


async def test_a_fault_that_cannot_be_undone_is_confessed(tmp_path: Path) -> None:
    """The lever, the halt and the next start all say it."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario, "tcp-down"), "Ana")
        await anyio.sleep(1)
        day.world.hand.failing[len(day.world.hand.pulls)] = "refuses"
        day.game.ask_halt("Ana")
        await anyio.sleep(1)
        assert one.state == "not proven healed"
        assert day.game.halted is not None
        assert day.game.halted.state == "not proven"
        assert any("squall recover" in why for why in day.game._obstacles())


async def test_a_stop_condition_halts_the_faults_and_not_the_day(tmp_path: Path) -> None:
    """Five seconds of control errors, and everything is undone; the load goes on."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario, **{"for": "5m"}), "Ana")
        await anyio.sleep(1)
        bad = journals.calls(20, due_s=14.0)
        bad["outcome"] = 3
        for _ in range(7):
            day.game.hear(bad)
            await anyio.sleep(1)
        assert state(one) == "healed"
        assert "control arm: 100% errors" in one.why
        assert not day.stop.is_set()
        assert day.game.halted is not None
        assert (day.game.halted.who, day.game.halted.state) == ("stop condition", "proven")


async def test_nothing_is_broken_before_there_is_something_to_compare_with(tmp_path: Path) -> None:
    """Neither during the baseline nor without an operator's page."""
    day, writer = staged(tmp_path)
    with writer:
        with pytest.raises(RefusedError, match="not under way"):
            day.game.start(wanted(day.game.scenario), "Ana")
        async with anyio.create_task_group() as group:
            group.start_soon(day.game.conduct, day.stop)
            await anyio.sleep_until(5)
            day.come()
            with pytest.raises(RefusedError, match="baseline is being measured for 7 s"):
                day.game.start(wanted(day.game.scenario), "Ana")
            await anyio.sleep_until(BASELINE_END_S + 20)  # long since heard of
            with pytest.raises(RefusedError, match="no operator's page"):
                day.game.start(wanted(day.game.scenario), "Ana")
            day.end("over")


async def test_who_ends_the_day_ends_its_fault_first(tmp_path: Path) -> None:
    """The run ends once everything is undone, and says who ended it."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario), "Ana")
        await anyio.sleep(1)
        day.game.finish("Ben")
        with pytest.raises(RefusedError, match="over"):
            day.game.finish("Ana")
        with pytest.raises(RefusedError, match="not under way"):
            day.game.start(wanted(day.game.scenario), "Ana")
        await anyio.sleep(1)
        assert day.stop.is_set()
    assert (day.why, one.state) == ("ended by Ben", "healed")
    assert one.end_ns is not None
    assert one.end_ns <= day.how[1]
    assert day.game.phase() == "over"


async def test_more_time_is_given_from_now_on(tmp_path: Path) -> None:
    """And written down."""
    async with under_way(tmp_path) as day:
        day.come()
        one = day.game.start(wanted(day.game.scenario, **{"for": "5s"}), "Ana")
        await anyio.sleep(3)
        day.game.extend(1, 30, "Ben")
        assert day.game.window(1).end_ns == round((BASELINE_END_S + 1 + 3 + 30) * S)
        await stay(day, for_s=25)
        assert state(one) == "in force"
        await stay(day, for_s=8)
        assert state(one) == "healed"
    assert [one.words for one in day.journal().of(DeedEntry) if one.deed == "extended"] == [
        "30 s from now"
    ]


async def test_remarks_are_kept_with_who_said_them(tmp_path: Path) -> None:
    """About a fault or about the day; about one that never was they are refused."""
    async with under_way(tmp_path) as day:
        said = RemarkEntry(at_ns=1, who="Ana", kind="note", text="the pager is on")
        day.game.remark(said)
        with pytest.raises(RefusedError, match="no fault 3"):
            day.game.remark(RemarkEntry(at_ns=1, who="Ana", kind="note", text="?", window=3))
    assert day.journal().of(RemarkEntry) == (said,)
