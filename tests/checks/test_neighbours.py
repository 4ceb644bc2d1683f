"""Is what one session's bad call does to its neighbours told from what a server does anyway?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faults.agent_calls import AgentLoop, ArgsInvalid
from faults.fault import Fault
from faults.network import TcpLatency
from faults.process import Sigterm
from harness.checks import answers, families, neighbours
from harness.evidence.phases import Evidence
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.checks.cases import BASELINE, RECOVERY, WINDOW
from tests.journals import Spoil, end


def spoilt(
    share: float,
    *stretches: tuple[float, float],
    outcome: Outcome = Outcome.WRONG,
    status: int = 200,
    sessions: int = 20,
    treated: int = 0,
) -> Spoil:
    """Let a share of one arm's calls go wrong in some stretches of the run."""
    reason = Reason.EXPECTATION if outcome is Outcome.WRONG else Reason.NONE

    def spoil(made: Calls) -> None:
        for stretch in stretches:
            chosen = np.flatnonzero(cases.kind(made, 0, stretch, treated))
            mine = chosen[made["session"][chosen] < sessions]
            end(made, mine[:: round(1 / share)], outcome, reason, status=status)

    return spoil


def run(spoil: Spoil | None = None, fault: Fault | None = None, **options: Any) -> Evidence:
    """Make a run in which some sessions send bad arguments, unless it is another fault."""
    return cases.run(fault or ArgsInvalid(), spoil=spoil, **options)


def test_calls_of_sessions_that_behave_and_turn_wrong_are_blamed_on_those_that_do_not() -> None:
    """By the verdict of what happened, with the fault, and in words that it spread."""
    finding = cases.one(answers.wrong_answer(run(spoilt(0.2, WINDOW))))
    assert (finding.ruling, finding.fault) == ("fail", "1:args-invalid")
    assert "it spread from those that misbehaved on purpose" in finding.why
    assert finding.control
    assert not finding.treated


@pytest.mark.parametrize(
    "spoil",
    [
        spoilt(0.2, WINDOW, BASELINE),
        spoilt(0.2, WINDOW, RECOVERY),
        spoilt(0.01, WINDOW),
        spoilt(1, WINDOW, sessions=1),
    ],
    ids=["before too", "after too", "hardly ever", "one session"],
)
def test_what_goes_wrong_anyway_has_not_spread(spoil: Spoil) -> None:
    """It is the server's own, at all times."""
    found = [one for one in answers.wrong_answer(run(spoil)) if one.ruling == "fail"]
    assert {one.fault for one in found} <= {""}


@pytest.mark.parametrize("fault", [Sigterm(), TcpLatency()])
def test_only_misbehaviour_spreads(fault: Fault) -> None:
    """What strikes both arms is no neighbour's doing, and a network's fault cannot spread."""
    finding = cases.one(answers.wrong_answer(run(spoilt(0.2, WINDOW), fault)))
    assert "spread" not in finding.why


def test_it_takes_enough_calls_before_to_say_what_is_usual() -> None:
    """A fault that begins at once leaves nothing to hold it against."""
    early = run(spoilt(0.2, WINDOW), load={"sessions": 2, "ramp": "0s"})
    short = run(
        spoilt(0.2, (2.5, 8)), phases={"warmup": "1s", "baseline": "200ms", "recovery": "10s"}
    )
    for evidence in (early, short):
        found = answers.wrong_answer(evidence)
        assert all(one.fault == "" for one in found if one.ruling == "fail")


# --- errors, which no other check names --------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.TOOL_ERROR, 200), (Outcome.HTTP_ERROR, 500), (Outcome.TRANSPORT_ERROR, 0)],
)
def test_calls_of_sessions_that_behave_and_fail_are_found(outcome: Outcome, status: int) -> None:
    """However they fail."""
    evidence = run(spoilt(0.2, WINDOW, outcome=outcome, status=status), AgentLoop())
    finding = cases.one(neighbours.broken_neighbours(evidence))
    assert (finding.verdict, finding.ruling, finding.fault) == (
        "wrong-answer", "fail", "1:agent-loop",
    )  # fmt: skip
    assert len(finding.evidence) == 10
    assert "it spread" in finding.why


@pytest.mark.parametrize(
    "spoil",
    [
        None,
        spoilt(0.2, WINDOW, outcome=Outcome.HTTP_ERROR, status=429),
        spoilt(0.2, WINDOW, outcome=Outcome.HTTP_ERROR, status=503),
        spoilt(0.2, WINDOW, BASELINE, outcome=Outcome.TOOL_ERROR),
        spoilt(0.2, WINDOW, outcome=Outcome.TOOL_ERROR, treated=1),
    ],
    ids=["well", "busy", "unavailable", "before too", "their own"],
)
def test_errors_that_are_usual_polite_or_their_own_have_not_spread(spoil: Spoil | None) -> None:
    """Each is said elsewhere, where it is wrong at all."""
    assert cases.one(neighbours.broken_neighbours(run(spoil))).ruling == "pass"


def test_nothing_is_said_where_nobody_misbehaves_or_too_little_was_seen() -> None:
    """No question, and one that is left open."""
    assert neighbours.broken_neighbours(cases.run(TcpLatency())) == ()
    short = run(
        load={"sessions": 2, "ramp": "0s"},
        phases={"warmup": "1s", "baseline": "200ms", "recovery": "10s"},
    )
    assert cases.one(neighbours.broken_neighbours(short)).ruling == "unknown"


def test_what_has_spread_explains_what_else_its_victims_met() -> None:
    """Those who were given another's data, with no fault that they stood under."""
    found = cases.one(answers.wrong_answer(run(spoilt(0.2, WINDOW))))
    crossed, wrong = families.link(
        (replace(found, verdict="crosstalk"), replace(found, fault="", control=3))
    )
    assert (crossed.cause, wrong.cause) == ("", "crosstalk")
