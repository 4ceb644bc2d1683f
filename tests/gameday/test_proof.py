from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from harness import wal
from harness.gameday.hits import Hits
from harness.gameday.leases import Lease
from harness.gameday.proof import Prover, _servers
from harness.gameday.windows import Struck
from harness.journal import FloodEntry, ProbeEntry
from harness.rig import births, piped
from harness.rig.launched import Launched
from harness.rig.looks import Look
from tests import journals, virtual
from tests.gameday.days import wanted
from tests.ports import free_port

S = virtual.NS_PER_S
RUN = "r4nd"


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Waiting for a quiet while costs none."""
    return virtual.backend()


def prover(folder: Path, hits: Hits, mischief: Callable[[], tuple[str, ...]] = tuple) -> Prover:
    """One who looks at a run with nothing but sessions, of which fault 1 asked something."""
    with wal.Wal.begin(folder, RUN):
        pass
    return Prover(
        folder=folder,
        run_id=RUN,
        proxied=False,
        launched=None,
        identity=None,
        dependency=None,
        mischief=mischief,
        misbehaved={1},
        hits=hits,
        clock=virtual.VirtualClock(),
        deadline_s=3.0,
    )


def over(kind: str = "call-repeat", *, number: int = 1, end_s: float = 10.0) -> Struck:
    """A fault that has ended."""
    return Struck(
        number=number,
        wish=wanted(journals.scenario(), kind),
        who="Ana",
        ordered_ns=0,
        lease=Lease(window=number, wanted_ns=0, until_ns=0),
        end_ns=round(end_s * S),
        state="healed",
    )


async def keep_calling(hits: Hits, odd_until_s: float) -> None:
    """Hand in a second's calls each second; until then one of them misbehaves."""
    while True:
        at_ns = round(anyio.current_time() * S)
        batch = journals.calls(3, due_s=anyio.current_time())
        batch["sent_ns"] = at_ns - S // 2
        batch["behaviour"][0] = at_ns <= round(odd_until_s * S)
        hits.take(batch, at_ns=at_ns)
        await anyio.sleep(1)


@pytest.mark.anyio
@pytest.mark.parametrize(("odd_until_s", "since"), [(5.0, "0:10"), (15.0, "0:14")])
async def test_sessions_are_proven_well_behaved_by_calls_that_came_after(
    tmp_path: Path, odd_until_s: float, since: str
) -> None:
    """A call that misbehaves after its fault has ended puts the proof off, by as much."""
    hits = Hits(())
    async with anyio.create_task_group() as group:
        group.start_soon(keep_calling, hits, odd_until_s)
        await anyio.sleep_until(10)
        found = await prover(tmp_path, hits).look([over()])
        group.cancel_scope.cancel()
    assert found.stands == ()
    assert found.seen == (f"nobody misbehaves, and no call since {since} did",)


@pytest.mark.parametrize(
    ("odd_until_s", "under_way", "says"),
    [
        (1e6, (), "odd calls are still begun, the last at"),
        (5.0, ("session_flood",), "still under way: session_flood"),
    ],
)
@pytest.mark.anyio
async def test_mischief_that_does_not_end_is_not_proven_undone(
    tmp_path: Path, odd_until_s: float, under_way: tuple[str, ...], says: str
) -> None:
    """Waited for as long as a call may take, and then named."""
    hits = Hits(())
    async with anyio.create_task_group() as group:
        group.start_soon(keep_calling, hits, odd_until_s)
        await anyio.sleep_until(10)
        found = await prover(tmp_path, hits, lambda: under_way).look([over()])
        group.cancel_scope.cancel()
    (stands,) = found.stands
    assert stands.startswith(says)
    assert found.seen == ()


@pytest.mark.anyio
async def test_a_fault_that_asked_nobody_to_misbehave_waits_for_no_calls(tmp_path: Path) -> None:
    """Nothing is said of what it did not do."""
    found = await prover(tmp_path, Hits(())).look([over("tcp-latency", number=2)])
    assert (found.stands, found.seen) == ((), ())


@pytest.mark.anyio
async def test_a_target_is_asked_for_whatever_it_was_started_with(tmp_path: Path) -> None:
    """By the names of all variables that a fault has changed; one that stands still is told."""

    class Asked:
        def __init__(self) -> None:
            self.of: list[tuple[tuple[str, ...], bool]] = []

        async def look(self, changed: tuple[str, ...], *, moved: bool) -> Look:
            await anyio.lowlevel.checkpoint()
            self.of.append((changed, moved))
            return Look(stands=("process 7 stands still",) if len(self.of) < 3 else ())

    asked = Asked()
    one = replace(prover(tmp_path, Hits(())), launched=cast("Launched", asked))
    faults = [over(kind, number=2) for kind in ("env-missing", "slow-start", "path-differs")]
    assert (await one.look(faults)).stands == ()
    assert asked.of == [(("SQUALL_OWNER", "SQUALL_SLOW_START_S"), True)] * 3  # it woke up


@pytest.mark.anyio
async def test_a_proxy_that_cannot_be_asked_proves_nothing(tmp_path: Path) -> None:
    """Of all that was ever to be undone there, whatever was ticked off since."""
    looks = replace(prover(tmp_path, Hits(())), proxied=True)
    assert (await looks.proxies()).seen == ("the proxies hold nothing of it",)
    server = f"http://127.0.0.1:{free_port()}"
    with wal.Wal.resume(tmp_path) as record:
        record.done(record.intend("remove_toxic", server=server, proxy="p", name="t"))
    (stands,) = (await looks.proxies()).stands
    assert stands.endswith("cannot be asked for: nothing listens there")


def test_a_server_behind_pipes_that_stands_still_is_seen(tmp_path: Path) -> None:
    """As the system tells it, by the mark that every such process bears."""
    env = {**os.environ, births.SERVER_VARIABLE: RUN}
    argv = [sys.executable, "-c", "input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=env, start_new_session=True) as server:
        try:
            piped.record(tmp_path, server.pid)
            assert _servers(RUN, tmp_path).seen == (
                "1 servers run and none stands still, says the system",
            )
            os.kill(server.pid, signal.SIGSTOP)
            os.waitpid(server.pid, os.WUNTRACED)  # until it has stopped
            assert _servers(RUN, tmp_path).stands == (f"servers stand still: {server.pid}",)
        finally:
            server.kill()


def test_what_was_wrong_on_purpose_is_known_by_when_it_began() -> None:
    """By its request, and not by the answer that came long afterwards; floods by their end."""
    hits = Hits(())
    probe = ProbeEntry(at_ns=9, sent_ns=4, session=-1, window=5, kind="origin_evil")
    hits.hear(probe)
    assert hits.odd_ns == 4
    hits.hear(replace(probe, sent_ns=-1))
    assert hits.odd_ns == 9
    hits.hear(FloodEntry(at_ns=12, window=5, kind="x", flood=1, edge="ended", sent=3))
    hits.hear(replace(probe, window=0, sent_ns=20))
    assert hits.odd_ns == 12
