"""A launched target that is told to end, killed, stopped and started again, with real processes."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import psutil
import pytest

from faults.levers import Conditions
from harness.errors import RigError
from harness.rig import server
from harness.rig.launched import Launched, Turn, kept
from tests.ports import free_port

pytestmark = pytest.mark.anyio
BOUND_S = 60.0

# Answers every GET; ends politely on SIGTERM, or not at all; says what it was started with.
PROGRAM = """
import http.server, os, signal, sys
polite = sys.argv[2] == "polite"
signal.signal(signal.SIGTERM, (lambda *_: sys.exit(0)) if polite else signal.SIG_IGN)
if os.environ.get("NEEDED", "") == "":
    sys.exit(7)
server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler
)
server.serve_forever()
"""


class Life:
    """What was heard of a target, and a way to wait for the next word of a kind."""

    def __init__(self, launched: Launched) -> None:
        self.launched = launched
        self.turns: list[Turn] = []
        self._heard = anyio.Event()
        launched.on_turn = self._take

    def _take(self, turn: Turn) -> None:
        self.turns.append(turn)
        self._heard.set()
        self._heard = anyio.Event()

    async def until(self, edge: str, count: int = 1) -> Turn:
        """Wait until an edge was told of so many times; give the last of them."""
        while True:
            found = [turn for turn in self.turns if turn.edge == edge]
            if len(found) >= count:
                return found[count - 1]
            await self._heard.wait()


@asynccontextmanager
async def living(folder: Path, manner: str = "polite") -> AsyncIterator[Life]:
    """A small web server, launched and kept."""
    port = free_port()
    argv = (sys.executable, "-c", PROGRAM, str(port), manner)
    url = f"http://127.0.0.1:{port}/"
    with anyio.fail_after(BOUND_S):
        async with (
            server.launch(argv, url=url, env={"NEEDED": "1"}, log=folder / "log") as target,
            kept(target) as launched,
        ):
            assert launched is not None
            yield Life(launched)


async def test_a_target_that_is_told_to_end_is_followed_by_another_on_its_address(
    tmp_path: Path,
) -> None:
    """As soon as it has gone; the new one is ready when it answers."""
    async with living(tmp_path) as life:
        first = life.launched.pid
        life.launched.tell(grace_s=30, window=4)
        ended = await life.until("ended")
        assert (ended.pid, ended.asked, ended.window) == (first, True, 4)
        assert 0 <= ended.took_s < 30
        ready = await life.until("ready")
        assert ready.pid == life.launched.pid != first
        await life.launched.restore()
        assert ready.pid == life.launched.pid
        assert "killed" not in [turn.edge for turn in life.turns]


async def test_a_target_that_will_not_end_is_killed_after_its_grace(tmp_path: Path) -> None:
    """And followed by another all the same."""
    async with living(tmp_path, "deaf") as life:
        life.launched.tell(grace_s=0.5, window=1)
        await life.until("killed")
        assert (await life.until("ended")).took_s >= 0.5
        await life.until("started")


async def test_a_target_that_was_killed_stays_away_until_it_is_restored(tmp_path: Path) -> None:
    """Nobody starts it before; nothing is to be done to one that does not run."""
    async with living(tmp_path) as life:
        life.launched.kill(window=2)
        await life.until("ended")
        assert not life.launched.runs
        with pytest.raises(RigError, match="does not run"):
            life.launched.stop(window=2)
        assert [turn.edge for turn in life.turns] == ["killed", "ended"]
        await life.launched.restore()
        assert life.launched.runs
        await life.until("ready")


async def test_a_target_that_was_stopped_runs_again_when_it_is_resumed(tmp_path: Path) -> None:
    """Every process of its group."""
    async with living(tmp_path) as life:
        life.launched.stop(window=1)
        process = psutil.Process(life.launched.pid)
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - nothing tells us
            await anyio.sleep(0.01)
        life.launched.resume()
        while process.status() == psutil.STATUS_STOPPED:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.01)
        assert [turn.edge for turn in life.turns] == ["stopped", "resumed"]


async def test_a_target_can_be_started_under_other_conditions_and_then_as_before(
    tmp_path: Path,
) -> None:
    """One that refuses to start without a variable ends by itself, and nobody insists."""
    async with living(tmp_path) as life:
        without = Conditions(environment={"NEEDED": None})
        life.launched.tell(grace_s=30, window=1, conditions=without)
        refused = await life.until("ended", 2)
        assert (refused.asked, refused.status) == (False, 7)
        await life.launched.restore()
        await life.until("ready")
        assert life.launched.runs


async def test_a_target_that_ended_by_itself_is_not_started_again(tmp_path: Path) -> None:
    """That is a crash, and its healing no affair of squall's."""
    async with living(tmp_path) as life:
        psutil.Process(life.launched.pid).children()[0].kill()
        assert not (await life.until("ended")).asked
        await life.launched.restore()
        assert not life.launched.runs


async def test_a_target_that_squall_has_not_launched_cannot_be_struck() -> None:
    """There is nothing to hold."""
    async with kept(server.Target(url="http://127.0.0.1:1/")) as launched:
        assert launched is None


async def test_how_a_target_stands_is_seen_at_its_processes(tmp_path: Path) -> None:
    """Stopped, started otherwise or elsewhere, or gone: as the system tells it."""
    async with living(tmp_path) as life:
        first = life.launched.pid
        usual = (f"the target's process {first} runs, says the system",)
        assert (await life.launched.look()).seen == usual
        life.launched.stop(window=1)
        with anyio.fail_after(BOUND_S):
            # The system takes a moment, and nothing tells us.
            while not (held := await life.launched.look()).stands:  # noqa: ASYNC110
                await anyio.sleep(0.01)
        assert f"{first}" in held.stands[0]
        assert held.stands[0].endswith("stand still")
        life.launched.resume()
        with anyio.fail_after(BOUND_S):
            while (await life.launched.look()).stands:  # noqa: ASYNC110 - as above
                await anyio.sleep(0.01)
        otherwise = Conditions(environment={"MORE": "1"}, directory="/")
        life.launched.tell(grace_s=30, window=2, conditions=otherwise)
        await life.until("ready")
        assert (await life.launched.look(("MORE",), moved=True)).stands == (
            "the target was started with another MORE",
            "the target was started in /",
        )
        await life.launched.restore()
        await life.until("ready", 2)
        well = await life.launched.look(("MORE", "NEEDED"), moved=True)
        assert (well.stands, well.seen[-1]) == ((), "started as it was launched")
        life.launched.kill(window=3)
        await life.until("ended", 3)
        gone = await life.launched.look()
        assert gone.stands == (
            f"the target's process {life.launched.pid} has ended, and none runs",
        )
