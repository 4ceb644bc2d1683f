from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from faults.agent import ClientVanish
from faults.fault import Fault
from faults.identity import TokenExpire
from faults.levers import Exposure, FaultError, Levers
from faults.network import TcpDown, TcpLatency, TcpReset
from harness import journal
from harness.journal import FaultEntry, JournalWriter
from harness.plan import Plan
from harness.running.chaos import ASK_S, HEAL_S, Chaos
from tests import journals, virtual
from tests.faults.fakes import FakeNetwork, World

S = virtual.NS_PER_S
LONG_S = 3600.0
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Windows of ten seconds and levers that hang cost no waiting."""
    return virtual.backend()


class _Stage:
    """A plan's windows, the levers they pull, and the journal they leave."""

    def __init__(self, folder: Path, world: World, *windows: dict[str, Any]) -> None:
        scenario = journals.scenario(*windows)
        self.folder = folder
        self.world = world
        self.plan: Plan = journals.plan(scenario)
        self.writer = JournalWriter(folder)
        self.stop = anyio.Event()
        self.asked: list[int] = []  # the windows that asked for levers
        self.chaos = Chaos(
            scenario=scenario,
            plan=self.plan,
            levers=self._levers,
            writer=self.writer,
            clock=virtual.VirtualClock(),
            run_id="r4nd",
        )

    def _levers(self, window: int) -> Levers:
        self.asked.append(window)
        return self.world.levers

    async def conduct(self) -> None:
        with self.writer, anyio.fail_after(LONG_S):
            await self.chaos.conduct(self.stop)

    def entries(self, window: int = 1) -> tuple[FaultEntry, ...]:
        every = journal.read(self.folder).of(FaultEntry)
        return tuple(entry for entry in every if entry.window == window)

    def edges(self, window: int = 1) -> list[str]:
        return [entry.edge for entry in self.entries(window)]


def _window(fault: Fault, *, at_s: float, for_s: float = 10) -> dict[str, Any]:
    return {"fault": fault, "for": f"{for_s}s", "at": f"{at_s}s"}


LATENCY = _window(TcpLatency(direction="upstream"), at_s=12)


async def test_a_window_begins_and_ends_when_it_is_due(tmp_path: Path) -> None:
    """Every edge in order, at the plan's moments, with what the injector counted."""
    stage = _Stage(tmp_path, World(), LATENCY)
    await stage.conduct()
    assert [(entry.edge, entry.at_ns) for entry in stage.entries()] == [
        ("intended", 12 * S),
        ("injected", 12 * S),
        ("healing", 22 * S),
        ("healed", 22 * S),
    ]
    healed = stage.entries()[-1]
    assert (healed.kind, healed.lever) == ("tcp-latency", "network")
    assert (healed.exposure_count, healed.exposure_unit) == (1, "connections")
    assert stage.world.network.named == ["squall-r4nd-1-0"]
    assert stage.world.at_rest
    assert not stage.chaos.in_force
    assert not stage.chaos.not_healed


async def test_the_intent_is_on_disk_before_anything_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first pull of the lever, the file holds the intent and has been synced since."""
    synced: list[str] = []
    sync = os.fsync

    def note_sync(descriptor: int) -> None:
        sync(descriptor)
        synced.append((tmp_path / journal.JOURNAL).read_text())

    monkeypatch.setattr(os, "fsync", note_sync)
    seen: list[list[str]] = []

    class Network(FakeNetwork):
        async def add_toxic(
            self,
            name: str,
            *,
            type: str,  # noqa: A002  the proxy's own word
            stream: Literal["upstream", "downstream"],
            attributes: Mapping[str, int],
        ) -> None:
            seen.append(list(synced))
            await super().add_toxic(name, type=type, stream=stream, attributes=attributes)

    world = World()
    world.network = Network(world.hand)
    await _Stage(tmp_path, world, LATENCY).conduct()
    assert len(seen) == 1
    (texts,) = seen
    assert len(texts) == 1
    assert '"edge":"intended"' in texts[0]
    assert texts[0].endswith("\n")


async def test_a_stop_ends_the_windows_early_and_heals(tmp_path: Path) -> None:
    """The window in force ends at once and whole; the one to come is never intended."""
    later = _window(TcpReset(), at_s=40)
    stage = _Stage(tmp_path, World(), LATENCY, later)

    async def end() -> None:
        await anyio.sleep_until(15)
        assert stage.chaos.in_force == {1: "tcp-latency"}
        stage.stop.set()

    async with anyio.create_task_group() as both:
        both.start_soon(end)
        await stage.conduct()
        assert anyio.current_time() == 15
    assert stage.edges(1) == ["intended", "injected", "healing", "healed"]
    assert stage.entries(1)[-1].at_ns == 15 * S
    assert stage.edges(2) == []
    assert stage.world.at_rest


async def test_a_fault_that_does_not_take_makes_no_end_of_the_run(tmp_path: Path) -> None:
    """Its edge says failed and why; the next window comes at its time."""
    stage = _Stage(tmp_path, World({0: "refuses"}), LATENCY, _window(TcpReset(), at_s=40))
    await stage.conduct()
    assert stage.edges(1) == ["intended", "failed"]
    assert "refused to add squall-r4nd-1-0" in stage.entries(1)[-1].error
    assert stage.edges(2) == ["intended", "injected", "healing", "healed"]
    assert stage.entries(2)[1].at_ns == 40 * S
    assert not stage.chaos.not_healed
    assert stage.world.at_rest


async def test_a_missing_lever_is_a_fault_that_failed(tmp_path: Path) -> None:
    """A run without the lever goes on, and its journal says what was missing."""
    stage = _Stage(tmp_path, World(), _window(TokenExpire(), at_s=12))
    stage.world.hand.failing = {}
    stage.chaos._levers = lambda _: Levers(agent=stage.world.agent)
    await stage.conduct()
    assert stage.edges() == ["intended", "failed"]
    assert "issuer" in stage.entries()[-1].error


async def test_a_healing_that_fails_is_said_aloud(tmp_path: Path) -> None:
    """The journal and the caller both learn which fault may still be in force, and why."""
    stage = _Stage(tmp_path, World({1: "refuses"}), LATENCY)
    await stage.conduct()
    assert stage.edges() == ["intended", "injected", "healing", "not_healed"]
    (told,) = stage.chaos.not_healed
    assert told.startswith("1:tcp-latency: the lever refused to remove squall-r4nd-1-0")
    assert stage.entries()[-1].error in told
    assert not stage.chaos.in_force


async def test_a_half_applied_fault_that_cannot_be_undone_is_said_aloud(tmp_path: Path) -> None:
    """A fault that failed may still have left something behind, and that outranks the failure."""
    failing: dict[int, Any] = {1: "refuses", 3: "refuses"}  # second toxic; removal of the first
    stage = _Stage(tmp_path, World(failing), _window(TcpLatency(), at_s=12))
    await stage.conduct()
    assert stage.edges() == ["intended", "failed", "not_healed"]
    assert stage.chaos.not_healed
    assert stage.world.network.toxics


async def test_a_cancellation_from_outside_still_heals(tmp_path: Path) -> None:
    """Whoever cancels the run waits for the healing, and the journal shows it."""
    stage = _Stage(tmp_path, World(), _window(TcpLatency(), at_s=12))
    with anyio.move_on_after(13) as scope:
        await stage.conduct()
    assert scope.cancelled_caught
    assert stage.world.at_rest
    assert stage.edges() == ["intended", "injected", "healing", "healed"]
    assert stage.entries()[-1].exposure_count == 1


async def test_a_cancellation_during_the_injection_leaves_nothing_in_force(
    tmp_path: Path,
) -> None:
    """The injection is finished and undone, for half of one cannot be told from a whole."""

    class Slow(FakeNetwork):
        async def add_toxic(
            self,
            name: str,
            *,
            type: str,  # noqa: A002  the proxy's own word
            stream: Literal["upstream", "downstream"],
            attributes: Mapping[str, int],
        ) -> None:
            await super().add_toxic(name, type=type, stream=stream, attributes=attributes)
            await anyio.sleep(3)

    world = World()
    world.network = Slow(world.hand)
    stage = _Stage(tmp_path, world, _window(TcpLatency(), at_s=12))
    with anyio.move_on_after(13):
        await stage.conduct()
    assert world.at_rest
    assert stage.edges() == ["intended", "injected", "healing", "healed"]


@pytest.mark.parametrize("number", [0, 1])
async def test_a_lever_that_hangs_on_the_way_in_is_given_up(tmp_path: Path, number: int) -> None:
    """A bounded wait, the first half undone, and words for it."""
    stage = _Stage(tmp_path, World({number: "hangs"}), _window(TcpLatency(), at_s=12))
    await stage.conduct()
    assert stage.edges() == ["intended", "failed"]
    assert stage.entries()[-1].at_ns == round((12 + HEAL_S) * S)
    assert "did not answer" in stage.entries()[-1].error
    assert stage.world.at_rest


async def test_a_lever_that_hangs_on_the_way_out_is_not_healed_in_bounded_time(
    tmp_path: Path,
) -> None:
    """A hanging lever cannot hold the run, and nobody takes it for healed."""
    stage = _Stage(tmp_path, World({1: "hangs"}), LATENCY)
    await stage.conduct()
    assert stage.edges() == ["intended", "injected", "healing", "not_healed"]
    assert stage.entries()[-1].at_ns <= round((22 + HEAL_S) * S)
    assert "did not answer" in stage.chaos.not_healed[0]


@pytest.mark.parametrize("how", ["hangs", "refuses"])
async def test_an_injector_that_will_not_say_what_it_hit_is_healed_all_the_same(
    tmp_path: Path, how: str
) -> None:
    """Nothing proven is nothing hit; the healing waits for the answer only so long."""

    class Silent(FakeNetwork):
        async def exposure(self, toxic: str | None) -> Exposure:
            if how == "hangs":
                await anyio.sleep_forever()
            raise FaultError(f"nobody counts {toxic}")

    world = World()
    world.network = Silent(world.hand)
    stage = _Stage(tmp_path, world, LATENCY)
    await stage.conduct()
    assert stage.edges() == ["intended", "injected", "healing", "healed"]
    assert (stage.entries()[-1].exposure_count, stage.entries()[-1].exposure_source) == (0, "none")
    assert stage.entries()[-1].at_ns <= round((22 + ASK_S) * S)
    assert world.at_rest


async def test_a_journal_that_cannot_be_written_still_sees_the_fault_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends the run with the fault undone."""
    stage = _Stage(tmp_path, World(), LATENCY)
    append = JournalWriter.append

    def full(writer: JournalWriter, entry: Any, *, sync: bool = False) -> None:
        if getattr(entry, "edge", "") in {"injected", "healing"}:
            raise OSError(28, "No space left on device")
        append(writer, entry, sync=sync)

    monkeypatch.setattr(JournalWriter, "append", full)
    with pytest.RaisesGroup(OSError):
        await stage.conduct()
    assert stage.world.hand.pulls == ["add squall-r4nd-1-0", "remove squall-r4nd-1-0"]
    assert stage.world.at_rest


async def test_an_intent_that_cannot_be_written_is_not_acted_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hears of the full disk ends the run, and this window never touches a lever."""
    stage = _Stage(tmp_path, World(), LATENCY)
    stage.writer.on_failure = lambda _: stage.stop.set()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    await stage.conduct()
    assert stage.world.hand.pulls == []
    assert stage.asked == []


async def test_overlapping_windows_are_told_apart(tmp_path: Path) -> None:
    """Each begins, asks for its own levers, and heals at its own time, whatever the other does."""
    stage = _Stage(
        tmp_path,
        World(),
        _window(TcpLatency(), at_s=12, for_s=10),
        _window(ClientVanish(), at_s=15, for_s=2),
        _window(TcpDown(), at_s=16, for_s=20),
    )
    seen: list[dict[int, str]] = []

    async def look() -> None:
        for at_s in (13, 15.5, 16.5, 18, 23, 37):
            await anyio.sleep_until(at_s)
            seen.append(dict(stage.chaos.in_force))

    async with anyio.create_task_group() as both:
        both.start_soon(look)
        await stage.conduct()
    one, two, three = {1: "tcp-latency"}, {2: "client-vanish"}, {3: "tcp-down"}
    assert seen == [one, one | two, one | two | three, one | three, three, {}]
    for window, end_s in ((1, 22), (2, 17), (3, 36)):
        assert stage.edges(window) == ["intended", "injected", "healing", "healed"]
        assert stage.entries(window)[-1].at_ns == end_s * S
    assert stage.asked == [1, 2, 3]
    assert stage.world.at_rest


async def test_a_view_can_follow_what_a_fault_hits(tmp_path: Path) -> None:
    """What is in force is counted about once a second, and forgotten afterwards."""
    stage = _Stage(tmp_path, World(), LATENCY)
    seen: list[int] = []

    async def look() -> None:
        await anyio.sleep_until(13.5)
        seen.append(stage.chaos.exposures[1].count)

    async with anyio.create_task_group() as both:
        both.start_soon(look)
        await stage.conduct()
    assert seen == [1]
    assert not stage.chaos.exposures
