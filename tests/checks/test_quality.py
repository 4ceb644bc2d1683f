from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from faults.agent import ClientVanish, ResponseLost
from faults.network import TcpLatency
from harness.checks import quality
from harness.evidence.phases import evidence
from harness.journal import Calls, ContentEntry
from harness.outcome import Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import NOTE, SEARCH, S, end, journal, plan, scenario, took

Fields = dict[str, tuple[int, int, int]]


def seen(
    at_s: float, fields: Fields, *, answers: int = 10, treated: bool = True, call: int = 0
) -> ContentEntry:
    """Make a second's looks into the answers of one kind."""
    return ContentEntry(
        at_ns=round((at_s + 0.5) * S),
        from_ns=round(at_s * S),
        worker=0,
        call=call,
        treated=treated,
        answers=answers,
        fields=fields,
        examples=("s1.40.1",),
    )


WHOLE: Fields = {"result[].id": (10, 100, 0), "result[].title": (10, 100, 0)}
NULLS: Fields = {"result[].id": (10, 100, 0), "result[].title": (10, 100, 90)}
BARE: Fields = {"result[].id": (10, 100, 0)}
BEFORE = [seen(at_s, WHOLE, treated=arm) for at_s in (4, 6, 8) for arm in (False, True)]


def slow(within: tuple[float, float], took_ms: float, *arms: int) -> Callable[[Calls], None]:
    """Let the searches of some arms take so long."""

    def spoil(made: Calls) -> None:
        for arm in arms:
            took(made, cases.kind(made, 0, within, arm), took_ms)

    return spoil


def test_a_healthy_run_passes_each_question() -> None:
    """Nothing slower, nothing larger, nothing lost."""
    looked = [*BEFORE, seen(15, WHOLE), seen(15, WHOLE, treated=False)]
    of = cases.run(ClientVanish(), extra=looked)
    for check in quality.CHECKS:
        finding = cases.one(check(of))
        assert (finding.ruling, finding.fault) == ("pass", "")


def test_what_was_not_seen_is_unknown_or_not_asked() -> None:
    """No answers: two questions without an answer, and no looks: one that did not arise."""

    def mute(made: Calls) -> None:
        end(made, slice(None), Outcome.HANG, Reason.HANG)
        made["sent_ns"] = -1

    of = cases.run(ClientVanish(), spoil=mute)
    assert [cases.one(check(of)).ruling for check in quality.CHECKS[:2]] == ["unknown"] * 2
    assert quality.lost_fields(of) == ()
    bare = scenario()
    empty = evidence(bare, plan(bare), journal())
    assert [check(empty) for check in quality.CHECKS] == [(), (), ()]


# --- latency-shift --------------------------------------------------------------------------


def test_a_tool_that_becomes_slow_under_a_fault_that_delays_nothing_is_told() -> None:
    """1.2 s where 20 ms are usual, and the other arm is as quick as ever."""
    of = cases.run(ClientVanish(), spoil=slow(cases.WINDOW, 1200.0, 1))
    finding = cases.one(quality.latency_shift(of))
    assert (finding.verdict, finding.fault, finding.tool) == (
        "latency-shift",
        "1:client-vanish",
        "search",
    )
    assert finding.observed == pytest.approx(1199.8)
    assert len(finding.evidence) == 10


@pytest.mark.parametrize(
    ("fault", "spoil"),
    [
        (ClientVanish(), slow(cases.WINDOW, 900.0, 1)),
        (ClientVanish(), slow((2.0, 21.5), 1200.0, 1)),
        (ClientVanish(), slow(cases.WINDOW, 1200.0, 0, 1)),
        (TcpLatency(), slow(cases.WINDOW, 1200.0, 1)),
    ],
    ids=["under-a-second", "slow-by-nature", "a-slow-machine", "the-fault-delays"],
)
def test_a_delay_that_is_small_usual_shared_or_the_faults_own_is_not(
    fault: Any, spoil: Callable[[Calls], None]
) -> None:
    """Only a shift of the server's own doing counts."""
    assert [f.ruling for f in quality.latency_shift(cases.run(fault, spoil=spoil))] != ["fail"]


# --- token-burn -----------------------------------------------------------------------------


def grown(factor: int, within: tuple[float, float], *arms: int) -> Callable[[Calls], None]:
    """Let every reply of some arms be so many times as long."""

    def spoil(made: Calls) -> None:
        for arm in arms:
            for call in (0, 1):
                made["reply_bytes"][cases.kind(made, call, within, arm)] *= factor

    return spoil


def test_an_agents_context_that_is_flooded_under_a_fault_is_told() -> None:
    """Forty times the reply is more than ten times all bytes."""
    of = cases.run(ResponseLost(), spoil=grown(40, (11.9, 22.1), 1))
    finding = cases.one(quality.token_burn(of))
    assert (finding.ruling, finding.fault, finding.limit) == ("fail", "1:response-lost", 10.0)
    assert finding.observed is not None
    assert 15 < finding.observed < 25


@pytest.mark.parametrize(
    "spoil",
    [grown(6, (11.9, 22.1), 1), grown(40, (11.9, 22.1), 0, 1)],
    ids=["a-warning", "everybody"],
)
def test_a_growth_of_less_or_of_everybodys_is_not(spoil: Callable[[Calls], None]) -> None:
    """Past three times there is a warning, and what the control arm shows is not the fault's."""
    assert cases.one(quality.token_burn(cases.run(ResponseLost(), spoil=spoil))).ruling == "pass"


# --- lost fields ----------------------------------------------------------------------------


def lost(*looks: ContentEntry) -> Sequence[Finding]:
    """Ask for lost fields after the usual baseline."""
    return quality.lost_fields(
        cases.run(TcpLatency(), steps=(SEARCH, NOTE), extra=[*BEFORE, *looks])
    )


@pytest.mark.parametrize(("fields", "how"), [(NULLS, "null"), (BARE, "missing")])
def test_a_field_that_falls_silent_under_a_fault_is_schema_drift(fields: Fields, how: str) -> None:
    """Nine titles in ten are null, or there is none; the other arm still has them."""
    finding = cases.one(lost(seen(15, fields), seen(15, WHOLE, treated=False)))
    assert (finding.verdict, finding.ruling, finding.fault) == (
        "schema-drift",
        "fail",
        "1:tcp-latency",
    )
    assert f"result[].title of search was {how}" in finding.why
    assert finding.evidence == ("s1.40.1",)


@pytest.mark.parametrize(
    "looks",
    [
        (seen(15, NULLS), seen(15, NULLS, treated=False), seen(25, NULLS)),
        (seen(15, NULLS, answers=9),),
        (seen(11.8, NULLS),),
        (seen(15, WHOLE | {"result[].more": (1, 10, 10)}),),
    ],
    ids=["for-everybody-and-ever", "too-few-looks", "over-the-edge", "a-new-field"],
)
def test_fields_that_change_for_everybody_or_were_hardly_seen_are_no_drift(
    looks: tuple[ContentEntry, ...],
) -> None:
    """A tool may change, and nine looks are chance."""
    assert [finding.ruling for finding in lost(*looks)] != ["fail"]


def test_a_field_that_was_often_null_before_may_be_null() -> None:
    """It is a field that may be empty, and says so by its nature."""
    nullable = [seen(at_s, NULLS, treated=arm) for at_s in (4, 6) for arm in (False, True)]
    of = cases.run(TcpLatency(), extra=[*nullable, seen(15, NULLS)])
    assert cases.one(quality.lost_fields(of)).ruling == "pass"
