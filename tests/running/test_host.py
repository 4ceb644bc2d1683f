"""Where the sessions of one process live: a run ends, however late they are."""

from __future__ import annotations

import gc
import socket
from pathlib import Path

import anyio
import anyio.lowlevel
import numpy as np
import pytest

from faults.levers import Behaviour
from harness import plan as planning
from harness.clock import NS_PER_S, RunClock
from harness.journal import JournalWriter, merge, read
from harness.outcome import Outcome, Reason
from harness.running import host as hosting
from harness.running.host import Host
from harness.session.access import Access, Doors
from harness.wire.schemas import SchemaBook
from tests import journals


@pytest.mark.anyio
@pytest.mark.parametrize("step", [{"call": "search"}, {"method": "ping"}], ids=["call", "list"])
async def test_a_server_that_never_answers_does_not_keep_the_run_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: object
) -> None:
    """What has piled up by the end is accounted for as unsent, one deadline and a grace later."""
    monkeypatch.setattr(hosting, "OVERTIME_S", 0.2)
    of = journals.scenario(
        client={"deadline": "1s"},
        load={"sessions": 2, "ramp": "100ms"},
        phases={"warmup": "0s", "baseline": "1s"},
        agents=[{"name": "impatient", "pace": "10/s", "steps": [step]}],
    )
    by = planning.make(of)
    collects = gc.get_threshold()
    clock, ended = RunClock(), [anyio.Event(), anyio.Event()]
    # Nobody accepts: the kernel completes the connections, and no byte ever comes back.
    with socket.create_server(("127.0.0.1", 0)) as silent, JournalWriter(tmp_path) as writer:
        door = ("127.0.0.1", int(silent.getsockname()[1]))
        with anyio.fail_after(20):
            async with Host(
                scenario=of,
                plan=by,
                clock=clock,
                writer=writer,
                doors=Doors(url=f"http://127.0.0.1:{door[1]}/mcp", control=door, treated=door),
                access=Access(),
                schemas=SchemaBook(),
                on_batch=lambda _: None,
            ) as host:
                for number, done in enumerate(ended):
                    host.begin(number, done.set)
                for done in ended:
                    await done.wait()
                late_s = (clock.now_ns() - by.end_ns) / NS_PER_S
    assert late_s >= 1.0
    assert gc.get_threshold() == collects
    merge(tmp_path)
    calls = read(tmp_path).calls
    assert len(calls) == sum(by.count(who.session) for who in by.sessions)
    assert np.count_nonzero(calls["last"]) == len(calls)
    assert (calls["outcome"] == Outcome.UNSENT).all()
    assert (calls["reason"] == Reason.RUN_ENDED).any()


@pytest.mark.anyio
async def test_mischief_is_named_until_whoever_does_it_has_gone(tmp_path: Path) -> None:
    """In force, on its way home, or behind the stage: all of it, and by which fault."""
    of, clock = journals.scenario(load={"sessions": 2}), RunClock()
    act = anyio.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent, JournalWriter(tmp_path) as writer:
        door = ("127.0.0.1", int(silent.getsockname()[1]))
        with anyio.fail_after(20):
            async with Host(
                scenario=of,
                plan=planning.make(of),
                clock=clock,
                writer=writer,
                doors=Doors(url=f"http://127.0.0.1:{door[1]}/mcp", control=door, treated=door),
                access=Access(),
                schemas=SchemaBook(),
                on_batch=lambda _: None,
            ) as host:
                assert host.mischief() == ()
                repeated = Behaviour(kind="repeat_call", share=1.0, window=2)
                flood = Behaviour(kind="session_flood", share=1.0, count=2, window=1)
                for one in (repeated, flood):
                    host.conduct.engage(one, now_ns=clock.now_ns())
                assert set(host.mischief()) == {"repeat_call", "session_flood"}
                host._stage.backstage.begin("slow_call", 1, act.wait)
                await anyio.lowlevel.checkpoint()
                for one in (repeated, flood):
                    host.conduct.disengage(one)
                assert set(host.mischief()) == {"session_flood", "slow_call"}
                act.set()
                while host.mischief():  # noqa: ASYNC110 - they tell nobody
                    await anyio.sleep(0.01)
                assert host.conduct.windows == {1, 2}
