"""Do sessions that were cut off come back when the way is free: at once, or spread?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from faults.levers import Behaviour
from faults.network import ReconnectStorm
from harness.journal import SessionEntry
from harness.outcome import Outcome, Reason
from harness.session.stage import Stage
from harness.wire.reply import Reply
from tests.session.staged import Asked, Play, Target, broken, fine, refused, scenario
from tests.virtual import Backend, backend

pytestmark = pytest.mark.anyio
S = 1_000_000_000


@pytest.fixture
def anyio_backend() -> Backend:
    """Twenty seconds in a blink."""
    return backend()


class Storm(Play):
    """Ten sessions whose treated half is cut off from 6 to 9 s."""

    def __init__(self, folder: Path, *, jitter_s: float = 0.0, refusals: int = 0) -> None:
        self.away = False
        self._refusals = refusals
        self.behaviour = Behaviour(kind="rejoin", share=1.0, every_s=jitter_s, window=1)
        made = scenario(
            load={"sessions": 10, "ramp": "0s"},
            phases={"warmup": "1s", "baseline": "5s", "recovery": "5s"},
            faults=[{"fault": ReconnectStorm(), "for": "3s"}],
        )
        super().__init__(folder, made, target=Target(answer=self._answer, opens=self._opens))
        self.treated = {one.session for one in self.plan.sessions if one.arm == "treated"}

    def _answer(self, asked: Asked) -> Reply:
        return broken() if self.away and asked.session in self.treated else fine()

    def _opens(self, tried: int) -> Reply:
        return refused(503) if 10 <= tried < 10 + self._refusals else fine()

    def _stage(self) -> Stage:
        stage = super()._stage()
        stage.backstage.open(self._group)
        return stage

    async def play(self) -> None:
        """From the cut to the end."""

        def cut() -> None:
            self.away = True
            self.conduct.engage(self.behaviour, now_ns=6 * S)

        def heal() -> None:
            self.away = False
            self.conduct.disengage(self.behaviour)

        async with anyio.create_task_group() as self._group:
            await self.run(scenes=((6.0, cut), (9.0, heal)))

    @property
    def came_back_s(self) -> list[float]:
        """When sessions were opened that were open before."""
        return sorted(at_ns / S for at_ns, _ in self.target.opened if at_ns > 6 * S)

    def edges(self, edge: str) -> set[int]:
        """The sessions that have such an edge."""
        return {one.session for one in self.journal.of(SessionEntry) if one.edge == edge}


class ByHand(Storm):
    """The same, of which no plan knows: somebody starts and stops it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (self.window,) = self.plan.windows
        self.plan = replace(self.plan, windows=())

    def _stage(self) -> Stage:
        return replace(super()._stage(), made_up=lambda _: self.window)


async def test_all_that_were_cut_off_come_back_at_once_in_new_sessions(tmp_path: Path) -> None:
    """And none of the others."""
    storm = Storm(tmp_path)
    await storm.play()
    storm.balance()
    assert storm.edges("lost") == storm.edges("reopened") == storm.treated
    assert len(storm.came_back_s) == len(storm.treated)
    assert max(storm.came_back_s) - min(storm.came_back_s) < 0.05
    assert 9.0 <= min(storm.came_back_s) < 9.1
    after = storm.last[storm.last["due_ns"] > 9.2 * S]
    assert set(after["outcome"].tolist()) == {Outcome.OK}


async def test_a_storm_that_no_plan_has_ends_all_the_same(tmp_path: Path) -> None:
    """As on a game day: they come back when the way is free."""
    storm = ByHand(tmp_path)
    await storm.play()
    assert storm.edges("reopened") == storm.treated
    assert 9.0 <= min(storm.came_back_s) <= max(storm.came_back_s) < 9.1


async def test_with_jitter_they_come_back_spread_over_it(tmp_path: Path) -> None:
    """Each in its own turn, which the seed says."""
    storm = Storm(tmp_path, jitter_s=2.0)
    await storm.play()
    assert storm.edges("reopened") == storm.treated
    assert 9.0 <= min(storm.came_back_s) <= max(storm.came_back_s) <= 11.1
    assert max(storm.came_back_s) - min(storm.came_back_s) > 0.5


async def test_whoever_is_refused_tries_again_with_its_next_call(tmp_path: Path) -> None:
    """A server may turn some away."""
    storm = Storm(tmp_path, refusals=3)
    await storm.play()
    storm.balance()
    assert len(storm.edges("failed")) == 3
    assert storm.edges("reopened") == storm.treated
    dead: Any = storm.last[storm.last["reason"] == Reason.SESSION_DEAD]
    assert len(dead) == 0
