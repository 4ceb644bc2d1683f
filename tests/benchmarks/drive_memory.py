"""Weighs whole sessions: opens them with a standing GET stream, lets them call and idle.

What is weighed is all that a session of a run has: its life, plan, steps, client and two sockets.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import psutil
import uvloop

from harness import plan as plans
from harness.clock import RunClock
from harness.journal import JournalWriter
from harness.scenario.records import Scenario
from harness.session.life import Session
from tests.benchmarks.rounds import say
from tests.benchmarks.stages import stage

_WARM_SESSIONS: Final = 20
_OPENED_A_S: Final = 1000
_CALLS: Final = 5
_CALL_EVERY_S: Final = 1
_FOREVER_S: Final = 600


def _scenario(url: str, sessions: int) -> Scenario:
    document: dict[str, Any] = {
        "question": "How much does a session weigh?",
        "era": "legacy",
        "target": {"url": url},
        "client": {"listen": True},
        "agents": [
            {
                "name": "caller",
                "pace": f"1/{_CALL_EVERY_S}s",
                "steps": [{"call": "echo", "with": {"text": "${nonce}" + "y" * 183}}],
            }
        ],
        "load": {"sessions": sessions, "ramp": f"{max(1, sessions // _OPENED_A_S)}s"},
        "phases": {"warmup": "0s", "baseline": f"{_FOREVER_S}s"},
    }
    return Scenario.model_validate(document)


async def _main() -> None:
    url, sessions = sys.argv[1], int(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    process = psutil.Process()
    of = _scenario(url, sessions + _WARM_SESSIONS)
    plan = plans.make(of)
    with tempfile.TemporaryDirectory() as folder, JournalWriter(Path(folder)) as writer:
        clock = RunClock()
        made = stage(of, plan, clock, writer)

        async def live(numbers: range) -> list[asyncio.Task[None]]:
            lives = [
                asyncio.create_task(Session(stage=made, planned=plan.sessions[number]).run())
                for number in numbers
            ]
            while writer.calls_written < _CALLS * numbers.stop:
                await asyncio.sleep(0.2)
                writer.flush()
            return lives

        warm = await live(range(_WARM_SESSIONS))
        gc.collect()
        before_bytes = process.memory_info().rss
        lives = await live(range(_WARM_SESSIONS, _WARM_SESSIONS + sessions))
        gc.collect()
        grown_bytes = process.memory_info().rss - before_bytes
        say(
            json.dumps(
                {
                    "sessions": sessions,
                    "kib_per_session": grown_bytes / 1024 / sessions,
                    "open_files": process.num_fds(),
                }
            )
        )
        for task in (*warm, *lives):
            task.cancel()
        await asyncio.gather(*warm, *lives, return_exceptions=True)


if __name__ == "__main__":
    uvloop.run(_main())
