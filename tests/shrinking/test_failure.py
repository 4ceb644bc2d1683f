from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.shrinking.failure import Document, Failure, chosen, doubts, failures, lasts, shows
from harness.verdict import Finding, Judgement, Limit, Ruling

KILL = "2:process-kill"


def finding(verdict: str, fault: str = "", *, ruling: Ruling = "fail", cause: str = "") -> Finding:
    """A finding of which only this matters."""
    hard = verdict == "double-exec"
    return Finding(verdict=verdict, ruling=ruling, fault=fault, cause=cause, hard=hard)


def judgement(*findings: Finding, missed: tuple[str, ...] = ()) -> Judgement:
    """A judgement of which only this matters."""
    limits = tuple(
        Limit(name=name, wanted=">= 1%", observed=0.0, unit="", ruling="fail") for name in missed
    )
    return Judgement(
        scenario="storm",
        question="Does it hold?",
        seed=1,
        era="legacy",
        ruling="fail",
        exit_code=1,
        headline="PASS  storm",
        score=None,
        faults=(),
        findings=findings,
        limits=limits,
        latency=(),
        sessions={},
        calls={},
        effects={},
        tokens={},
        soundness=(),
    )


def document(code: int, *found: tuple[str, str, str], missed: str = "") -> Document:
    """A verdict of a try."""
    limits = [{"name": missed, "ruling": "fail"}] if missed else []
    rows = [{"verdict": name, "fault": fault, "ruling": ruling} for name, fault, ruling in found]
    sound = [{"name": "samples", "ruling": "unknown"}, {"name": "generator", "ruling": "pass"}]
    return Document.model_validate(
        {
            "exit_code": code,
            "headline": "",
            "findings": rows,
            "limits": limits,
            "soundness": sound,
        }
    )


def test_the_most_severe_failure_comes_first() -> None:
    """Hard rules, then what has no cause, then what follows from something, then limits."""
    given = judgement(
        finding("hang", KILL, cause="crash"),
        finding("crash", KILL),
        finding("latency-shift", ruling="unknown"),
        finding("crash", KILL),
        finding("double-exec", "1:response-lost"),
        missed=("answered",),
    )
    assert failures(given) == (
        Failure(name="double-exec", fault="1:response-lost"),
        Failure(name="crash", fault=KILL),
        Failure(name="hang", fault=KILL),
        Failure(name="answered", limit=True),
    )
    assert chosen(given, "") == Failure(name="double-exec", fault="1:response-lost")


@pytest.mark.parametrize("wanted", ["crash", "crash:2:process-kill", "crash:process-kill"])
def test_a_failure_is_named_by_its_verdict_and_its_fault(wanted: str) -> None:
    """The fault by its id or its kind."""
    given = judgement(finding("double-exec"), finding("crash", KILL))
    assert chosen(given, wanted) == Failure(name="crash", fault=KILL)


def test_a_limit_is_named_as_a_verdict_is() -> None:
    """It has no fault."""
    assert chosen(judgement(missed=("answered",)), "answered").limit


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        (judgement(), "", "expected a run in which something failed, found none"),
        (judgement(finding("crash", KILL)), "hang", "there are: crash:2:process-kill"),
        (judgement(finding("crash", KILL)), "crash:1:tcp-reset", "found 'crash:1:tcp-reset'"),
    ],
)
def test_what_did_not_fail_is_refused(given: Judgement, wanted: str, said: str) -> None:
    """With what did."""
    with pytest.raises(UsageError, match=said):
        chosen(given, wanted)


@pytest.mark.parametrize(
    ("tried", "windows", "same"),
    [
        (document(1, ("crash", "1:process-kill", "fail")), (2,), True),
        (document(1, ("crash", "2:process-kill", "fail")), (1, 2, 3), True),
        (document(1, ("crash", "1:tcp-reset", "fail")), (1, 2, 3), False),
        (document(1, ("crash", "", "fail")), (1, 2, 3), False),
        (document(1, ("crash", "", "fail")), (), True),
        (document(1, ("crash", "1:tcp-reset", "fail")), (1,), True),
        (document(1, ("crash", "1:process-kill", "unknown")), (2,), False),
        (document(1, ("hang", "1:process-kill", "fail")), (2,), False),
        (document(3, ("crash", "1:process-kill", "fail")), (2,), False),
        (document(4, ("crash", "1:process-kill", "fail")), (2,), True),
        (document(1, missed="crash"), (2,), False),
    ],
)
def test_the_same_finding_is_the_same_verdict_under_the_same_fault(
    tried: Document, windows: tuple[int, ...], *, same: bool
) -> None:
    """Whatever number that has now; where it is not there any more, under any or none."""
    assert shows(tried, Failure(name="crash", fault=KILL), windows) is same


def test_a_limit_is_missed_again_whatever_was_found() -> None:
    """By its name."""
    answered = Failure(name="answered", limit=True)
    assert shows(document(1, missed="answered"), answered, (1,))
    assert not shows(document(1, ("answered", "", "fail")), answered, (1,))
    assert not shows(document(0), answered, (1,))


def test_doubt_is_said_with_what_is_doubted() -> None:
    """And only where nothing was concluded."""
    assert doubts(document(3)) == "the evidence was not sound: samples"
    assert not doubts(document(1))


@pytest.mark.parametrize(
    ("doubted", "generator", "limit", "lasting"),
    [
        (("fault-bit",), "ok", "pass", True),
        (("fault-bit", "generator"), "invalid", "pass", True),
        (("samples",), "ok", "pass", True),
        (("samples",), "suspect", "pass", False),
        (("generator",), "invalid", "pass", False),
        (("samples", "baseline-steady"), "ok", "pass", False),
        ((), "ok", "pass", True),
        ((), "ok", "unknown", False),
        ((), "suspect", "pass", False),
        ((), None, "pass", False),
    ],
)
def test_only_what_the_machine_left_in_doubt_is_worth_another_run(
    doubted: tuple[str, ...], generator: str | None, limit: str, *, lasting: bool
) -> None:
    """What a fault hits, and how many calls there are, is the candidate's own."""
    tried = Document.model_validate(
        {
            "exit_code": 3,
            "headline": "nothing could be said",
            "findings": [],
            "limits": [{"name": "score", "ruling": limit}],
            "soundness": [{"name": name, "ruling": "unknown"} for name in doubted],
            "generator": None if generator is None else {"verdict": generator},
        }
    )
    assert doubts(tried)
    assert lasts(tried) is lasting
