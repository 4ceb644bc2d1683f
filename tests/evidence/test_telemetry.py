from __future__ import annotations

from typing import Any

import pytest

from harness.evidence.phases import Evidence
from harness.evidence.telemetry import rows
from harness.journal import Calls, TraceEntry
from harness.judge import judge
from harness.outcome import Outcome, Reason
from harness.verdict import Ready
from tests.checks import cases
from tests.journals import S, end

OBSERVED: dict[str, Any] = {"observe": {"traces": True}}
JOINS = "spans join the trace of the agent's call"
SIZES = "spans say how large the result was"
SECRETS = "no span holds a credential"


def entry(tool: str, calls: int, **counts: Any) -> TraceEntry:
    """Make the receiver's counts for a tool, all of them well said."""
    full: dict[str, Any] = {"spans": calls, "named": calls, "timed": calls, "sized": calls}
    return TraceEntry(at_ns=30 * S, tool=tool, calls=calls, **(full | counts))


def answered(of: Evidence) -> dict[str, int]:
    """Count the answered calls by tool."""
    return {row.tool: row.calls for row in rows(of)}


def whole(**counts: int) -> Evidence:
    """Make a run in which every call of both tools has its span."""
    bare = cases.run(extra=[entry("search", 1), entry("append_note", 1)], **OBSERVED)
    made = [entry(tool, calls, **counts) for tool, calls in answered(bare).items()]
    return cases.run(extra=made, **OBSERVED)


def lines(of: Evidence) -> dict[str, Ready]:
    """Give the checklist by its lines."""
    return {one.line: one for one in judge(of).readiness}


def test_spans_stand_beside_the_calls_that_were_answered() -> None:
    """A call without any answer owes none, and strangers are told last."""

    def lose(made: Calls) -> None:
        lost = cases.some(cases.kind(made, 0, cases.BASELINE, None), 10)
        end(made, lost, Outcome.TRANSPORT_ERROR, Reason.RESET)

    extra = [entry("search", 5), TraceEntry(at_ns=30 * S, tool="", calls=0, spans=3)]
    told = rows(cases.run(extra=extra, spoil=lose))
    before = answered(cases.run(extra=extra))
    assert [row.tool for row in told] == ["search", "append_note", ""]
    assert (told[0].calls, told[0].joined) == (before["search"] - 10, 5)
    assert (told[1].joined, told[2].spans) == (0, 3)
    assert rows(cases.run()) == ()


def test_a_target_whose_spans_join_and_tell_meets_the_checklist() -> None:
    """Joined, named, timed, sized, and free of credentials."""
    met = lines(whole())
    observed = [one for one in met.values() if one.area == "observability"]
    assert [one.state for one in observed].count("met") == 4


@pytest.mark.parametrize(
    ("counts", "line"), [({"sized": 0}, SIZES), ({"exposed": 1}, SECRETS)], ids=["size", "secret"]
)
def test_what_spans_do_not_say_or_say_too_much_is_not_met(
    counts: dict[str, int], line: str
) -> None:
    """A span without the result's size, and one with a token in it."""
    assert lines(whole(**counts))[line].state == "not met"


@pytest.mark.parametrize(
    ("extra", "changes", "state", "why"),
    [
        ([], {}, "not measured", "does not ask"),
        ([], OBSERVED, "not measured", "counts are missing"),
        ([entry("", 0)], OBSERVED, "not met", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ([entry("", 0, spans=9)], OBSERVED, "not met", "none of 9 spans"),
        (
            [entry("", 0)],
            OBSERVED | {"target": {"url": "http://127.0.0.1:1/mcp"}},
            "not measured",
            "runs already",
        ),
        ([entry("search", 3)], OBSERVED, "not met", "3 of "),
    ],
)
def test_missing_spans_are_blamed_on_the_target_only_if_it_was_told(
    extra: list[TraceEntry], changes: dict[str, Any], state: str, why: str
) -> None:
    """A scenario that does not ask, or a target that could not know, proves nothing."""
    one = lines(cases.run(extra=extra, **changes))[JOINS]
    assert (one.state, why in one.why) == (state, True), one.why
