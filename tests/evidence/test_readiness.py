from __future__ import annotations

from typing import Any

import pytest

from faults.fault import Fault
from faults.identity import NoToken, TokenExpire
from faults.network import TcpLatency, TcpReset
from harness.checklist import AREAS, LINES
from harness.evidence.readiness import by_area, readiness
from harness.journal import Calls
from harness.judge import judge
from harness.outcome import Auth, Outcome, Reason
from harness.verdict import FaultVerdict, Finding, Ready
from tests.checks import cases
from tests.journals import NOTE, SEARCH, between, end

UNTOKENED = "nobody is served without a token"
REFUSED = "an expired or revoked token is refused, by a 401 that a client can act on"
DROPPED = "dropped connections are survived, and clients come back"
TRUE = "every agent gets its own data, and true ones"
STATIC = "tokens are short-lived and issued to each client, not one static key"
FAILING = "the network and the tokens fail while agents work"
GATED = "a pipeline is stopped when it gets worse: limits"


def fault(id_: str, *, bit: bool = True) -> FaultVerdict:
    """Make a fault window's verdict."""
    return FaultVerdict(
        id=id_,
        kind=id_.split(":")[1],
        lever="network",
        arm="treated",
        start_s=12,
        end_s=22,
        bit=bit,
        exposure="",
        healed=True,
        ruling="pass",
        score=None,
        recovery_s=None,
        findings=(),
    )


def found(verdict: str, ruling: Any, under: str = "", **more: Any) -> Finding:
    """Make a finding."""
    return Finding(verdict=verdict, ruling=ruling, fault=under, why=f"{verdict} it is", **more)


def line(wanted: str, findings: list[Finding], *faults: FaultVerdict, **changes: Any) -> Ready:
    """Give one line of the checklist."""
    lines = readiness(cases.run(**changes), findings, faults)
    return cases.only([one for one in lines if one.line == wanted])


def test_a_line_is_met_only_if_its_fault_bit_and_its_check_passed() -> None:
    """Neither a fault that hit nothing nor a check that did not look will do."""
    passed = found("authn-bypass", "pass")
    assert line(UNTOKENED, [passed], fault("1:no-token")).state == "met"
    assert line(UNTOKENED, [passed], fault("1:no-token", bit=False)).state == "not measured"
    assert line(UNTOKENED, [], fault("1:no-token")).state == "not measured"
    unseen = line(UNTOKENED, [found("authn-bypass", "unknown")], fault("1:no-token"))
    assert (unseen.state, unseen.why) == ("not measured", "authn-bypass it is")
    unasked = line(UNTOKENED, [passed])
    assert unasked.why == "no fault of this run asks for it; no-token does"


def test_a_line_that_is_not_met_names_the_verdict_and_the_calls() -> None:
    """The cause before what follows from it, and the evidence of it."""
    findings = [
        found("hang", "fail", "2:tcp-reset", cause="crash", evidence=("s1.1.1",)),
        found("crash", "fail", "2:tcp-reset", evidence=("s7.7.1",)),
        found("no-recovery", "pass"),
    ]
    dropped = line(DROPPED, findings, fault("2:tcp-reset"))
    assert (dropped.state, dropped.why) == ("not met", "crash it is")
    assert dropped.evidence == ("hang under 2:tcp-reset", "crash under 2:tcp-reset", "s7.7.1")


def test_a_verdict_under_another_fault_denies_another_line() -> None:
    """A session that a reset cost says nothing of tokens; what shows without a fault denies all."""
    lost = found("wrong-status", "fail", "1:tcp-reset")
    assert line(REFUSED, [lost], fault("1:tcp-reset")).state == "not measured"
    assert line(REFUSED, [found("wrong-status", "fail")]).state == "not met"


def test_true_answers_are_measured_only_where_the_scenario_says_what_is_true() -> None:
    """A check that compares with nothing proves nothing."""
    passed = [found("crosstalk", "pass"), found("wrong-answer", "pass")]
    assert line(TRUE, passed, steps=(SEARCH, NOTE)).state == "not measured"
    told = SEARCH | {"expect": {"carries": "nonce"}}
    assert line(TRUE, passed, steps=(told,)).state == "met"


@pytest.mark.parametrize(
    ("auth", "state"),
    [
        (None, "not met"),
        ({"issuer": "embedded"}, "met"),
        ({"issuer": "target", "grant": "bearer"}, "not met"),
    ],
)
def test_static_and_missing_tokens_are_flagged(auth: Any, state: str) -> None:
    """Nobody can rotate, scope or audit one key for all."""
    assert line(STATIC, [], auth=auth).state == state


def test_what_was_tried_is_told_as_well() -> None:
    """Faults of either kind, many sessions, and limits that gate a pipeline."""
    both = (fault("1:tcp-reset"), fault("2:token-expire"))
    assert line(FAILING, [], *both).evidence == ("1:tcp-reset", "2:token-expire")
    assert line(FAILING, [], both[0]).why == "this run had no tokens that expire"
    assert line(GATED, []).state == "not met"
    gated = line(GATED, [], limits={"answered": ">= 99%", "latency_p99": "<= 1s"})
    assert (gated.state, gated.why) == ("met", "gated on answered, latency p99")


def test_lines_come_area_by_area_and_each_wants_one_thing() -> None:
    """A reader finds every line once."""
    lines = readiness(cases.run(), [], [])
    assert [area for area, _ in by_area(lines)] == list(AREAS)
    assert [one for _, some in by_area(lines) for one in some] == list(lines)
    assert len({one.line for one in lines}) == len(lines) >= len(LINES)


@pytest.mark.parametrize("of", [TokenExpire(), NoToken(), TcpReset(), TcpLatency()])
def test_a_judgement_carries_the_checklist(of: Fault) -> None:
    """Each is ruled on by what the run's own checks have found."""

    def serve(made: Calls) -> None:
        chosen = (made["treated"] == 1) & between(made, 16, 18)
        made["auth"][chosen] = Auth.EXPIRED

    judged = judge(cases.run(of, spoil=serve, auth={"issuer": "embedded"}))
    states = {one.line: one.state for one in judged.readiness}
    assert states[REFUSED] == ("not met" if isinstance(of, TokenExpire) else states[REFUSED])
    assert states[DROPPED] in {"met", "not measured"}


def test_a_run_in_which_nothing_was_answered_measures_nothing() -> None:
    """No session was ever served, so none was many."""

    def mute(made: Calls) -> None:
        end(made, slice(None), Outcome.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)

    states = {one.state for one in readiness(cases.run(spoil=mute), [], []) if one.line != GATED}
    assert states == {"not measured"}
