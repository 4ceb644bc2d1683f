"""A run as spans: who is whose child, what links to what, and which are left out first."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.resources import Resource

from faults.network import TcpLatency
from harness.evidence.phases import Evidence
from harness.journal import Calls, SessionEntry
from harness.judge import judge
from harness.outcome import Outcome, Reason
from harness.scenario.traces import call_of, span_of
from reports.otlp.picking import Picked, failed, pick
from reports.otlp.spans import tell
from tests.checks import cases
from tests.collecting import attributes
from tests.journals import S, end

ZERO_NS = 1_790_000_000 * S
FACTS: dict[str, Any] = {"run_id": "1a2b3c4d", "target": "http://user:pass@127.0.0.1:8001/mcp"}
SECRET = "Bearer abcdefghijklmnopqrstuvwx"


def lose(made: Calls) -> None:
    """Let seven calls under the fault be reset."""
    lost = cases.some(cases.kind(made, 0, cases.WINDOW), 7)
    end(made, lost, Outcome.TRANSPORT_ERROR, Reason.RESET)


@lru_cache
def faulty(*, traced: bool = False) -> Evidence:
    """A run with one fault, under which seven calls of the treated arm are lost."""
    return cases.run(TcpLatency(), spoil=lose, observe={"traces": traced})


judged = lru_cache(judge)


def told(of: Evidence, spans_max: int = 20_000) -> list[Span]:
    """A run's spans, as the official exporter writes them."""
    made = tell(
        of,
        judged(of),
        FACTS,
        zero_ns=ZERO_NS,
        resource=Resource({}),
        spans_max=spans_max,
    )
    (one,) = encode_spans(list(made.spans)).resource_spans
    return [span for scope in one.scope_spans for span in scope.spans]


def named(spans: list[Span], start: str) -> list[Span]:
    """The spans whose name begins so."""
    return [span for span in spans if span.name.startswith(start)]


def test_a_session_holds_its_steps_and_a_step_its_attempts() -> None:
    """One trace a session, and every span in it but the session's own has its parent there."""
    spans = told(faulty())
    sessions = named(spans, "session ")
    assert len(sessions) == 20
    assert len({span.trace_id for span in sessions}) == 20
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)
    for attempt in named(spans, "tools/call"):
        step = by_id[attempt.parent_span_id]
        session = by_id[step.parent_span_id]
        assert step.name == f"step {attempt.name}"
        assert attempt.trace_id == step.trace_id == session.trace_id
        assert session.name == "session worker"
        assert attempt.kind == Span.SPAN_KIND_CLIENT
    assert len(named(spans, "step ")) == len(named(spans, "tools/call"))


def test_attempts_are_named_by_the_conventions() -> None:
    """Method, tool, operation, session and server; of the target's URL no password."""
    spans = told(faulty())
    said = attributes(named(spans, "tools/call append_note")[0])
    assert said["mcp.method.name"] == "tools/call"
    assert said["gen_ai.tool.name"] == "append_note"
    assert said["gen_ai.operation.name"] == "execute_tool"
    assert said["mcp.session.id"].startswith("1a2b3c4d-s")
    assert (said["server.address"], said["server.port"]) == ("127.0.0.1", 8001)
    assert said["network.transport"] == "tcp"
    assert "error.type" not in said


def test_failures_and_the_fault_over_them_are_seen() -> None:
    """An error's type, the status, and a link to the window of the fault."""
    spans = told(faulty())
    (window,) = named(spans, "fault tcp-latency")
    (run,) = named(spans, "squall run")
    assert window.parent_span_id == run.span_id
    assert window.start_time_unix_nano >= ZERO_NS + 12 * S
    broken = [s for s in named(spans, "tools/call") if s.status.code == Status.STATUS_CODE_ERROR]
    assert len(broken) == 7
    for span in broken:
        assert attributes(span)["error.type"] == "reset"
        assert attributes(span)["squall.fault.id"] == "1:tcp-latency"
        assert [link.span_id for link in span.links] == [window.span_id]


def test_a_call_stands_in_the_trace_that_the_target_was_given() -> None:
    """Step and attempts link to it; in it, a span has the id that the target's have as parent."""
    of = faulty(traced=True)
    spans = told(of)
    ours = [span for span in spans if call_of(span.trace_id)]
    assert len(ours) == len(named(spans, "step "))
    steps = {span.span_id: span for span in named(spans, "step ")}
    for span in ours:
        assert span.span_id == span_of(call_of(span.trace_id))
        assert not span.parent_span_id
        step = steps[span.links[0].span_id]
        assert span.trace_id in {link.trace_id for link in step.links}
    assert not [span for span in told(faulty()) if call_of(span.trace_id)]


def test_a_run_that_is_told_again_gives_the_same_spans() -> None:
    """Under the same ids, so that a collector that has them already knows them."""
    first, second = (told(faulty(traced=True), 2000) for _ in range(2))
    assert [s.SerializeToString() for s in first] == [s.SerializeToString() for s in second]


def ids(picked: Picked, of: Evidence) -> set[tuple[int, int]]:
    """Which calls were picked."""
    rows = of.calls[picked.starts]
    return set(zip(rows["session"].tolist(), rows["index"].tolist(), strict=True))


@pytest.mark.parametrize("traced", [False, True])
def test_calls_that_failed_are_kept_before_others(traced: bool) -> None:
    """As many spans as were allowed and no more; the sample says of how many it is one."""
    of = faulty(traced=traced)
    bad = of.calls[failed(of.calls)]
    failing = set(zip(bad["session"].tolist(), bad["index"].tolist(), strict=True))
    for spans_max in (60, 333, 20_000):
        picked = pick(of, spans_max=spans_max, traced=traced)
        assert failing <= ids(picked, of)
        assert (picked.failing, picked.failing_kept) == (7, 7)
        assert picked.others + 7 == len(of.settled)
        spans = told(of, spans_max + 2)  # the run's own, and the fault's
        assert len(spans) == picked.spans + 2 <= spans_max + 2
        assert picked.whole == (spans_max == 20_000)
        (run,) = named(spans, "squall run")
        assert attributes(run)["squall.calls.others.sent"] == picked.others_kept
    assert len(told(of, 60)) >= 60 - 4  # nothing smaller would have fitted


def test_of_more_failures_than_fit_a_sample_is_kept() -> None:
    """Spread over the run, and its size is told."""

    def break_all(made: Calls) -> None:
        end(made, np.ones(len(made), dtype=np.bool_), Outcome.HTTP_ERROR, status=503)

    of = cases.run(spoil=break_all)
    picked = pick(of, spans_max=200, traced=False)
    assert picked.failing == len(of.settled)
    assert 80 <= picked.failing_kept < 100
    due_s = of.calls["due_ns"][picked.starts] / 1e9
    assert due_s.max() - due_s.min() > 5
    broken = [s for s in told(of, 201) if s.kind == Span.SPAN_KIND_CLIENT]
    assert {attributes(span)["error.type"] for span in broken} == {"503"}


def test_steps_that_never_started_are_told_without_an_attempt() -> None:
    """And what the run's end kept from starting is no failure."""

    def kill(made: Calls) -> None:
        for reason, which in ((Reason.SESSION_DEAD, 0), (Reason.RUN_ENDED, 1)):
            chosen = cases.some(cases.kind(made, which, cases.BASELINE), 3)
            end(made, chosen, Outcome.UNSENT, reason)
            made["sent_ns"][chosen] = -1

    of = cases.run(spoil=kill)
    assert int(failed(of.calls).sum()) == 3
    spans = told(of)
    assert len(named(spans, "step ")) == len(named(spans, "tools/call")) + 6
    errors = [attributes(span).get("error.type") for span in named(spans, "step ")]
    assert (errors.count("session_dead"), errors.count("run_ended")) == (3, 3)


def test_no_credential_is_in_any_span() -> None:
    """Not even where a server's words were written down with one in them."""
    lost = SessionEntry(at_ns=15 * S, session=3, edge="lost", why=f"refused: {SECRET}")
    spans = told(cases.run(TcpLatency(), extra=[lost]))
    events = [event for span in named(spans, "session ") for event in span.events]
    (why,) = [attributes(e)["why"] for e in events if e.name == "lost"]
    assert why == "refused: Bearer [redacted]"
    text = b"".join(span.SerializeToString() for span in spans)
    assert b"abcdefghijklmnop" not in text
    assert b"pass@" not in text
    assert b"Does it hold" in text  # that what is looked through holds words at all
