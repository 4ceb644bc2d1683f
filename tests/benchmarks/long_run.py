"""Writes the run folder of a long, believable storm, by numpy, without a server.

Everything that costs a judge something is in it: retries, lost replies, refused tokens, dead and
reopened sessions, failures of every kind, a ledger of effects, and a second-by-second health
record. Run as `python -m tests.benchmarks.long_run FOLDER CALLS [SESSIONS [WINDOWS]]`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness.journal import JOURNAL, Calls, JournalWriter
from harness.outcome import Effect, Outcome
from harness.plan import Plan, PlannedWindow, make
from harness.run import FACTS, SCENARIO
from harness.scenario.load import Loaded, load_text
from tests.benchmarks import long_calls
from tests.benchmarks.rounds import say

S: Final = 1_000_000_000
MS: Final = 1_000_000
PACE_PER_S: Final = 4
TTL_S: Final = 300
BATCH: Final = 100_000  # records
DOUBLED_EVERY: Final = 10_000  # effects
SAMPLES_MAX: Final = 5_000
FAULTS: Final = (
    "tcp-latency: {delay: 200ms}",
    "response-lost: {share: 30%}",
    "token-expire: {ttl: 20s, overdue: 20%, leeway: 1s}",
    "tcp-reset: {}",
    "tcp-bandwidth: {rate: 64KiB/s}",
)
AGENTS: Final = """
agents:
  - name: researcher
    share: 70%
    pace: {pace}/s
    steps:
      - list_tools
      - call: search
        with: {{query: "${{nonce}}", limit: 20}}
        expect: {{rows: ">= 1", carries: nonce}}
      - call: fetch
        with: {{id: "${{nonce}}"}}
  - name: writer
    share: 30%
    pace: {pace}/s
    steps:
      - call: append_note
        with: {{key: "${{session}}", text: "${{nonce}}", idempotency_key: "${{nonce}}"}}
        expect: {{carries: nonce}}
        effect: once
"""


def text(calls: int, sessions: int, windows: int) -> str:
    """Write the scenario whose plan holds about so many calls."""
    length_s = max(1.0 * (windows + 1), calls / sessions / PACE_PER_S)
    part_s = length_s / (2 * windows + 2)
    faults = "\n".join(
        f"  - {FAULTS[number % len(FAULTS)]}\n    for: {part_s:.3f}s" for number in range(windows)
    )
    return (
        "question: What does a storm of this length cost to judge?\n"
        "seed: 11\n"
        "target: {reference: hardened}\n"
        "auth: {issuer: embedded, grant: client_credentials}\n"
        "client: {retry: {attempts: 3, on: [transport_error], backoff: 200ms}}\n"
        f"{AGENTS.format(pace=PACE_PER_S)}"
        f"load: {{sessions: {sessions}, ramp: 1s}}\n"
        f"phases: {{warmup: 1s, baseline: {max(3.0, 2 * part_s):.3f}s, "
        f"recovery: {max(1.0, part_s):.3f}s}}\n"
        f"{f'faults:{chr(10)}{faults}' if windows else ''}\n"
        'limits: {answered: ">= 50%", latency_p99: "<= 5s", recovery: "<= 60s", score: ">= 10"}\n'
    )


def write(folder: Path, *, calls: int, sessions: int = 500, windows: int = 4) -> int:
    """Write the folder; how many call records it holds."""
    folder.mkdir(parents=True)
    loaded = load_text(text(calls, sessions, windows), "long.yaml")
    plan = make(loaded.scenario)
    made = long_calls.storm(loaded.scenario, plan)
    (folder / SCENARIO).write_text(loaded.text, encoding="utf-8")
    facts = {"scenario": "long", "seed": plan.seed, "command": "squall run long.yaml"}
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    with JournalWriter(folder) as writer:
        order = np.argsort(made["done_ns"], kind="stable")  # the order in which calls end
        for start in range(0, len(order), BATCH):
            writer.buffer.extend(made[order[start : start + BATCH]].tobytes())
            writer.flush()
    with (folder / JOURNAL).open("w", encoding="utf-8") as lines:
        lines.writelines(
            json.dumps(one, separators=(",", ":")) + "\n" for one in _entries(loaded, plan, made)
        )
    return len(made)


def _entries(loaded: Loaded, plan: Plan, made: Calls) -> Iterator[dict[str, Any]]:
    yield {"at_ns": 0, "edge": "started", "type": "run"}
    for who in plan.sessions:
        yield _session(who.open_ns + 5 * MS, who.session, "opened")
        yield _token(who.open_ns + 3 * MS, who.session, "minted", TTL_S * S)
        for at_ns in range(who.open_ns + TTL_S * S * 9 // 10, plan.end_ns, TTL_S * S * 9 // 10):
            yield _token(at_ns, who.session, "renewed", TTL_S * S)
    for planned, window in zip(plan.windows, loaded.scenario.faults, strict=True):
        yield from _window(planned, window.fault.kind, window.fault.lever)
    yield from _second_by_second(plan.end_ns)
    yield from _effects(plan, made)
    yield from _samples(made)
    yield {"at_ns": plan.end_ns + MS, "edge": "ended", "how": "completed", "type": "run"}


def _session(at_ns: int, session: int, edge: str) -> dict[str, Any]:
    return {
        "at_ns": at_ns, "session": session, "edge": edge, "era": "legacy",
        "protocol": "2025-11-25", "why": "", "took_ns": 5 * MS, "type": "session",
    }  # fmt: skip


def _token(at_ns: int, session: int, edge: str, life_ns: int) -> dict[str, Any]:
    return {
        "at_ns": at_ns, "session": session, "edge": edge, "expires_ns": at_ns + life_ns,
        "serial": 1, "why": "", "type": "token",
    }  # fmt: skip


def _window(planned: PlannedWindow, kind: str, lever: str) -> Iterator[dict[str, Any]]:
    edges = {
        "intended": planned.start_ns,
        "injected": planned.start_ns + 5 * MS,
        "healing": planned.end_ns,
        "healed": planned.end_ns + 5 * MS,
    }
    for edge, at_ns in edges.items():
        known = edge in ("healing", "healed")
        yield {
            "at_ns": at_ns, "window": planned.window, "kind": kind, "lever": lever, "edge": edge,
            "exposure_count": 100 if known else 0,
            "exposure_unit": "connections" if known else "",
            "exposure_source": "injector" if known else "",
            "error": "", "type": "fault",
        }  # fmt: skip


def _second_by_second(end_ns: int) -> Iterator[dict[str, Any]]:
    for second in range(1, end_ns // S):
        yield {
            "at_ns": second * S, "worker": 0, "lag_p50_ms": 0.2, "lag_p99_ms": 1.0,
            "slip_p50_ms": 0.1, "slip_p99_ms": 0.6, "cpu_share": 0.2, "run_delay_share": 0.01,
            "gc_pause_ms": 0.0, "open_files": 900, "sessions": 500, "calls": 2000,
            "type": "health",
        }  # fmt: skip
        yield {
            "at_ns": second * S + 7, "alive": True, "rss_bytes": 90_000_000 + second,
            "open_files": 900, "threads": 2, "cpu_s": second / 10, "children": 0, "type": "vitals",
        }  # fmt: skip


def _effects(plan: Plan, made: Calls) -> Iterator[dict[str, Any]]:
    """The ledger: every effect once, one in ten thousand twice."""
    done = made[(made["effect"] == Effect.HAPPENED) & (made["last"] == 1)]
    rows = zip(
        done["session"].tolist(), done["index"].tolist(), done["done_ns"].tolist(), strict=True
    )
    for number, (session, index, done_ns) in enumerate(rows):
        line = {
            "at_ns": done_ns - MS, "key": plan.nonce(session, index), "tool": "append_note",
            "subject": plan.mark(session), "type": "effect",
        }  # fmt: skip
        yield line
        if number % DOUBLED_EVERY == DOUBLED_EVERY - 1:
            yield line


def _samples(made: Calls) -> Iterator[dict[str, Any]]:
    bad = np.flatnonzero(made["outcome"] != Outcome.OK)[:SAMPLES_MAX]
    for row in made[bad]:
        yield {
            "at_ns": int(row["done_ns"]), "session": int(row["session"]),
            "index": int(row["index"]), "attempt": int(row["attempt"]),
            "text": f"HTTP {row['status']}, challenge: Bearer <b>" + "x" * 200, "type": "sample",
        }  # fmt: skip


def main() -> None:
    """Write one run folder."""
    folder, *numbers = sys.argv[1:]
    calls, sessions, windows = (*map(int, numbers), *(500, 4)[len(numbers) - 1 :])
    say(str(write(Path(folder), calls=calls, sessions=sessions, windows=windows)))


if __name__ == "__main__":
    main()
