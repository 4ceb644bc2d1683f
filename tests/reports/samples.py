"""Runs to render: a failed storm with every part of a judgement, and a clean one."""

from __future__ import annotations

from typing import Any

import numpy as np

from faults.agent import ResponseLost
from faults.identity import TokenExpire
from faults.network import TcpLatency, TcpReset
from harness.evidence.generator import Stretch, assess
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls, NoteEntry, SampleEntry, SessionEntry, VitalsEntry
from harness.outcome import Outcome, Reason
from harness.verdict import (
    FaultVerdict,
    Finding,
    GeneratorHealth,
    Judgement,
    LatencyRow,
    Limit,
    Ruling,
    Score,
    Soundness,
)
from tests.journals import S, between, end, health, healthy, plan, scenario, unsend, window
from tests.journals import calls as calls_of

FACTS: dict[str, Any] = {
    "command": ["squall", "run", "scenarios/first_storm.yaml", "--seed", "7"],
    "started_at": "2026-11-25T15:00:00Z",
    "versions": {"squall": "0.1.0", "python": "3.11.7", "mcp": "2.3.0"},
    "machine": {"system": "Linux", "cores": 2},
    "seed": 7,
    "revision": "241a28b",
    "target_url": "http://127.0.0.1:8931/mcp",
    "toxiproxy": "embedded",
    "era": "legacy",
}

WHY = "an expired token was answered with 403, so agents cannot know that a refresh would help"
HEADLINE = "FAIL  61.4 of 100 [57.0, 65.9]: expired-is-403 under 2:token-expire, 1 session lost"
SOURCE = "MCP 2025-11-25, authorization: 401 for an invalid or expired token"
COMPONENTS = ("availability", "latency", "correctness", "survival", "recovery", "blast")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\x00\u202e"


def _spoil(made: Calls) -> None:
    treated = made["treated"] == 1
    expired = treated & between(made, 32, 42)
    every = made["index"] % 3 == 0
    end(made, expired & every, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=403, took_ms=9.0)
    end(made, treated & between(made, 42, 46) & every, Outcome.HANG, Reason.HANG, took_ms=15_000)
    reset = treated & between(made, 52, 62)
    end(made, reset & (made["index"] % 4 == 0), Outcome.TRANSPORT_ERROR, Reason.RESET, took_ms=180)
    unsend(made, (made["session"] == 3) & between(made, 35, 200))
    made["done_ns"][~treated & between(made, 52, 62)] += 30_000_000
    made["rows"] = np.where((made["call"] == 0) & (made["outcome"] == Outcome.OK), 20, -1)


def evidence_of_a_storm(
    *, tool: str = "search", text: str = "403 Forbidden: invalid_token", sessions: int = 20
) -> Evidence:
    """Make the evidence of a storm with four faults in which much goes wrong."""
    steps: list[dict[str, Any]] = [
        {"call": tool, "with": {"query": "${nonce}"}},
        {"call": "append_note", "with": {"text": "${nonce}"}, "effect": "once"},
    ]
    faults = (TcpLatency(), TokenExpire(), TcpReset(), ResponseLost())
    of = scenario(
        *(window(fault) for fault in faults),
        steps=steps,
        load={"sessions": sessions, "ramp": "1s"},
    )
    by = plan(of)
    extra: list[Any] = [
        SampleEntry(at_ns=33 * S, session=1, index=129, attempt=1, text=text),
        SessionEntry(at_ns=35 * S, session=3, edge="lost", why="403 after the token expired"),
        NoteEntry(at_ns=36 * S, text="the target closed 4 connections on its own"),
        *(
            VitalsEntry(
                at_ns=at * S, alive=True, rss_bytes=60_000_000 + at * 90_000, open_files=40 + at
            )
            for at in range(0, 90, 5)
        ),
    ]
    return evidence(of, by, healthy(of, by, spoil=_spoil, extra=extra))


def _fault(
    id_: str,
    lever: str,
    start_s: float,
    *findings: str,
    ruling: Ruling = "pass",
    score: float | None = None,
    recovery_s: float | None = None,
    bit: bool = True,
) -> FaultVerdict:
    return FaultVerdict(
        id=id_,
        kind=id_.split(":")[1],
        lever=lever,
        arm="treated",
        start_s=start_s,
        end_s=start_s + 10,
        bit=bit,
        exposure="100 connections, counted by the injector"
        if bit
        else "0 calls, counted by the journal",
        healed=True,
        ruling=ruling,
        score=score,
        recovery_s=recovery_s,
        findings=findings,
    )


def _latency() -> tuple[LatencyRow, ...]:
    return tuple(
        LatencyRow(
            arm=arm,
            phase=phase,
            tool="",
            origin=origin,
            count=400,
            p50_ms=20.1,
            p90_ms=30.0,
            p95_ms=33.3,
            p99_ms=210.0 if arm == "treated" else 41.0,
            p999_ms=None,
            max_ms=15_000.0,
        )
        for arm in ("control", "treated")
        for phase in ("baseline", "1:tcp-latency")
        for origin in ("due", "sent")
    )


def judgement_of_a_storm(
    *,
    tool: str = "search",
    why: str = WHY,
) -> Judgement:
    """Make the judgement of that storm by hand, with a part of every kind."""
    return Judgement(
        scenario="first_storm",
        question="When the network and the tokens fail together, do agents keep their work?",
        seed=7,
        era="legacy",
        ruling="fail",
        exit_code=1,
        headline=HEADLINE,
        score=Score(
            points=61.4,
            low=57.0,
            high=65.9,
            components={
                "availability": 0.81,
                "latency": 0.92,
                "correctness": 1.0,
                "survival": 0.55,
                "recovery": 0.4,
                "blast": None,
            },
            caps=("at most 89: survival is below its floor of 0.6",),
        ),
        faults=(
            _fault("1:tcp-latency", "network", 12, score=97.0, recovery_s=0.8),
            _fault(
                "2:token-expire",
                "identity",
                32,
                "expired-is-403",
                "session-lost",
                ruling="fail",
                score=38.0,
                recovery_s=-1.0,
            ),
            _fault("3:tcp-reset", "network", 52, score=84.0, recovery_s=2.4),
            _fault("4:response-lost", "agent", 72, ruling="unknown", bit=False),
        ),
        findings=(
            Finding(
                verdict="expired-is-403",
                ruling="fail",
                fault="2:token-expire",
                tool=tool,
                observed=132.0,
                limit=0.0,
                unit="calls",
                hard=True,
                why=why,
                source=SOURCE,
                evidence=("s1.129.1", "s1.132.1", "s5.129.1", "s99.1.1"),
            ),
            Finding(
                verdict="session-lost",
                ruling="fail",
                fault="2:token-expire",
                observed=1.0,
                limit=0.0,
                unit="sessions",
                why="session 3 never came back",
                cause="expired-is-403",
                evidence=("s3.140.1",),
            ),
            Finding(
                verdict="double-exec",
                ruling="unknown",
                fault="4:response-lost",
                why="the fault did not bite",
            ),
            Finding(
                verdict="wrong-answer",
                ruling="pass",
                fault="",
                observed=0.0,
                limit=0.0,
                unit="calls",
                why="every reply carried its nonce",
            ),
        ),
        limits=(
            Limit(name="answered", wanted=">= 99.5%", observed=0.953, unit="share", ruling="fail"),
            Limit(name="latency_p99", wanted="<= 800ms", observed=612.4, unit="ms", ruling="pass"),
            Limit(name="score", wanted=">= 80", observed=61.4, unit="points", ruling="fail"),
            Limit(
                name="recovery",
                wanted="<= 10s",
                observed=None,
                unit="s",
                ruling="unknown",
                why="one fault did not bite",
            ),
        ),
        latency=_latency(),
        sessions={"opened": 20, "survived": 19, "reopened": 0, "lost": 1},
        calls={"ok": 6512, "http_error": 132, "hang": 54, "transport_error": 100},
        effects={"happened": 3300, "absent": 12, "unknown": 0, "doubled": 0, "orphaned": 0},
        tokens={"mean": 3.2, "max": 5.0},
        soundness=(
            Soundness(
                name="generator",
                ruling="pass",
                why="timers were at most 1.0 ms late",
                observed=1.0,
                limit=10.0,
                unit="ms",
            ),
            Soundness(
                name="arms-agree", ruling="pass", why="the baseline interval holds 1", observed=1.01
            ),
            Soundness(
                name="fault-bit",
                ruling="unknown",
                why="4:response-lost hit nothing",
                observed=0.0,
                limit=1.0,
                unit="calls",
            ),
        ),
        generator=generator_of_two_workers(),
        notes=("p99.9 is not shown: fewer than 3,000 calls in a phase",),
    )


def generator_of_two_workers() -> GeneratorHealth:
    """Make the generator's own figures: a crowded worker beside one at ease."""
    calls = np.concatenate([_settled(200, worker=number, session=number) for number in (1, 2)])
    entries = [
        *(health(second, 1) for second in range(1, 11)),
        *(health(second, 2, lag_p99_ms=9.0, open_files=31) for second in range(1, 11)),
    ]
    fared = assess(calls, entries, [Stretch(name="the baseline", start_ns=0, end_ns=10 * S)])
    assert fared is not None
    return fared


def _settled(count: int, **columns: Any) -> Calls:
    """Make one session's calls over ten seconds, each sent .2 ms late."""
    return calls_of(count, due_s=np.linspace(0.1, 9.9, count), **columns)


def judgement_of_a_calm() -> Judgement:
    """Make the judgement of a run in which nothing went wrong."""
    return Judgement(
        scenario="steady",
        question="Does it hold when nothing breaks?",
        seed=7,
        era="modern",
        ruling="pass",
        exit_code=0,
        headline="PASS  99.1 of 100 [98.2, 99.6]",
        score=Score(
            points=99.1,
            low=98.2,
            high=99.6,
            components=dict.fromkeys(COMPONENTS, 1.0),
        ),
        faults=(_fault("1:tcp-latency", "network", 12, score=99.1, recovery_s=0.5),),
        findings=(
            Finding(
                verdict="wrong-answer",
                ruling="pass",
                fault="",
                observed=0.0,
                limit=0.0,
                unit="calls",
            ),
        ),
        limits=(
            Limit(name="answered", wanted=">= 99.5%", observed=1.0, unit="share", ruling="pass"),
        ),
        latency=_latency(),
        sessions={"opened": 20, "survived": 20, "reopened": 0, "lost": 0},
        calls={"ok": 2400},
        effects={"happened": 1200, "absent": 0, "unknown": 0, "doubled": 0, "orphaned": 0},
        tokens={},
        soundness=(Soundness(name="generator", ruling="pass", why="at ease"),),
    )
