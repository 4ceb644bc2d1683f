"""What the official client saw stays beside the run, and changes nothing that is concluded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from faults.network import TcpReset
from harness.checks.engines import engines_agree, wilson
from harness.evidence import witnesses
from harness.evidence.phases import Evidence
from harness.journal import Calls, Journal
from harness.judge import judge
from harness.outcome import Outcome, Reason
from harness.plan import Plan, make
from harness.scenario.records import Scenario
from harness.verdict import Soundness
from tests import journals

Spoil = Callable[[Calls], object]


def _of(engine: str = "sdk") -> Scenario:
    return journals.scenario(journals.window(TcpReset()), engine=engine)


def _both(of: Scenario, by: Plan, spoil: Spoil | None = None, theirs_ms: float = 22.0) -> Journal:
    """Make the journal of a run with witnesses; `spoil` changes what they saw."""
    ours = journals.healthy(of, by, spoil=_fill)
    alone = replace(by, sessions=by.witnesses, witnesses=())
    # Built by the same builder, under the numbers that the plan gave them.
    theirs = _witnessed(of, by, alone, spoil, theirs_ms)
    return journals.journal(
        (*ours.entries, *theirs.entries), np.concatenate([ours.calls, theirs.calls])
    )


def _fill(made: Calls) -> None:
    made["rows"] = 5


def _witnessed(of: Scenario, by: Plan, alone: Plan, spoil: Spoil | None, took_ms: float) -> Journal:
    class Numbered(Plan):
        planned = by.planned

    fields = {name: getattr(alone, name) for name in alone.__dataclass_fields__}

    def change(made: Calls) -> None:
        _fill(made)
        if spoil is not None:
            spoil(made)

    found = journals.healthy(of, Numbered(**fields), spoil=change, latency_ms=took_ms, seed=5)
    of_sessions = [entry for entry in found.entries if hasattr(entry, "session")]
    effects = [entry for entry in found.entries if hasattr(entry, "key")]
    return replace(found, entries=(*of_sessions, *effects))


def _evidence(spoil: Spoil | None = None, theirs_ms: float = 22.0) -> Evidence:
    of = _of()
    by = make(of)
    return witnesses.lay(of, by, _both(of, by, spoil, theirs_ms))


def _one(found: Evidence) -> Soundness:
    (told,) = engines_agree(found)
    return told


def test_witnesses_leave_the_plan_of_everybody_else_as_it_was() -> None:
    """The same sessions and steps, and two more for each arm, slower and numbered on."""
    with_them, without = make(_of()), make(_of("wire"))
    assert with_them.sessions == without.sessions
    assert without.witnesses == ()
    numbers = [each.session for each in with_them.witnesses]
    assert numbers == list(range(20, 24))
    assert [each.arm for each in with_them.witnesses] == ["control"] * 2 + ["treated"] * 2
    assert {each.engine for each in with_them.witnesses} == {"sdk"}
    assert all(len(list(with_them.steps(number))) == with_them.count(number) for number in numbers)
    assert with_them.canonical().startswith(without.canonical())


def test_what_witnesses_saw_changes_no_verdict() -> None:
    """Not even when all failed that they asked once something was broken."""

    def all_fail(made: Calls) -> None:
        late = journals.between(made, 12, 1000)
        journals.end(made, late, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, took_ms=5.0)

    of = _of("wire")
    by = make(of)
    alone = judge(witnesses.lay(of, by, journals.healthy(of, by, spoil=_fill)))
    beside = judge(_evidence(all_fail))
    assert sum(row.calls - row.answered for row in beside.engines if row.engine == "sdk") > 100
    for name in ("score", "findings", "faults", "sessions", "calls", "effects", "latency"):
        assert getattr(beside, name) == getattr(alone, name), name


def test_two_clients_that_see_the_same_agree() -> None:
    """And the rows say what either saw, phase by phase."""
    found = _evidence()
    assert _one(found).ruling == "pass", _one(found).why
    rows = judge(found).engines
    assert {(row.phase, row.engine) for row in rows} == {
        (phase, engine)
        for phase in ("baseline", "1:tcp-reset", "1:recovery")
        for engine in ("wire", "sdk")
    }
    calm = {row.engine: row for row in rows if row.phase == "baseline"}
    assert calm["sdk"].answered == calm["sdk"].calls > 100
    assert calm["sdk"].p50_ms == pytest.approx(22, rel=0.1)


def test_without_the_official_client_nothing_is_asked() -> None:
    """No question, no rows."""
    found = journals.storm(TcpReset())
    assert engines_agree(found) == ()
    assert judge(found).engines == ()


def test_failures_that_only_the_official_client_sees_make_a_run_unsound() -> None:
    """A server that flatters one of the two clients."""

    def a_third(made: Calls) -> None:
        journals.end(made, slice(None, None, 3), Outcome.WRONG, Reason.SCHEMA, took_ms=5.0)

    told = _one(_evidence(a_third))
    assert told.ruling == "fail"
    assert "failures that the other does not see" in told.why


def test_a_broken_connection_under_a_fault_is_a_known_difference() -> None:
    """The official client dies whole with it; the baseline is what counts."""

    def in_the_fault(made: Calls) -> None:
        late = journals.between(made, 12, 22)
        journals.end(made, late, Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY, took_ms=5.0)

    assert _one(_evidence(in_the_fault)).ruling == "pass"


def test_fewer_rows_for_one_client_make_a_run_unsound() -> None:
    """An empty list is an answer, too."""

    def empty(made: Calls) -> None:
        made["rows"][made["rows"] > 0] = 0

    told = _one(_evidence(empty))
    assert told.ruling == "fail"
    assert "search gave 0 rows to the official client" in told.why


@pytest.mark.parametrize(
    ("theirs_ms", "said"), [(2000.0, "faster than can be explained"), (22.0, "")]
)
def test_a_latency_that_the_other_client_cannot_confirm_makes_a_run_unsound(
    theirs_ms: float, said: str
) -> None:
    """Beyond what the official client's own work explains."""
    told = _one(_evidence(theirs_ms=theirs_ms))
    assert told.ruling == ("fail" if said else "pass")
    assert said in told.why


def test_too_few_calls_of_the_official_client_leave_it_unknown() -> None:
    """A handful of calls is no testimony."""
    of = _of()
    by = make(of)
    whole = _both(of, by)
    few = (whole.calls["session"] < 20) | (whole.calls["index"] < 4)
    told = _one(witnesses.lay(of, by, replace(whole, calls=whole.calls[few])))
    assert told.ruling == "unknown"


def test_the_interval_is_wilsons() -> None:
    """Against figures worked out by hand: 8 of 10 at 95 % is 49.0 to 94.3 %."""
    assert wilson(0.8, 10, z=1.959964) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
