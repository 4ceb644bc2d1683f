from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faults.identity import TokenExpire
from faults.network import TcpDown, TcpReset
from faults.process import ProcessKill
from harness.checks import recovery
from harness.evidence.phases import Evidence, evidence
from harness.journal import Calls, SessionEntry, TargetEdge, TokenEntry
from harness.outcome import Outcome, Reason
from tests import journals
from tests.checks import cases
from tests.journals import S, Spoil, end, storm, unsend

REMEMBER = {"call": "remember", "with": {"key": "a", "value": "${nonce}"}}
RECALL = {"call": "recall", "with": {"key": "a"}}
DOWN = "1:tcp-down"
ARM = [who.session for who in storm(TcpDown()).plan.sessions if who.arm == "treated"]


def gone(*sessions: int, reason: Reason = Reason.SESSION_DEAD, since_s: float = 12.0) -> Spoil:
    """Let some sessions never be answered again."""

    def spoil(made: Calls) -> None:
        unsend(made, np.isin(made["session"], sessions) & (made["due_ns"] >= since_s * S), reason)

    return spoil


# --- after a fault --------------------------------------------------------------------------


def test_sessions_that_are_answered_again_have_recovered() -> None:
    """A pass for each healed fault, with the number of sessions watched."""
    findings = recovery.no_recovery(storm(TcpDown(), TcpReset()))
    assert [(f.ruling, f.fault) for f in findings] == [("pass", DOWN), ("pass", "2:tcp-reset")]
    assert "0 of 10 treated sessions" in findings[0].why


def test_a_session_that_is_never_answered_again_has_not_recovered() -> None:
    """One of ten is more than one in fifty."""
    finding = cases.one(recovery.no_recovery(cases.run(TcpDown(), spoil=gone(ARM[2]))))
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", DOWN, 1.0)
    assert finding.evidence[0].startswith(f"s{ARM[2]}.")


def test_a_session_whose_calls_the_next_fault_met_is_not_called_gone() -> None:
    """A slow server had not come to them yet; after the last fault there is no such excuse."""

    def wait(made: Calls, *, for_s: float) -> None:
        mine = (made["session"] == ARM[2]) & (made["due_ns"] >= 22 * S)
        end(made, mine & (made["due_ns"] < for_s * S), Outcome.TOOL_ERROR, took_ms=30_000.0)

    of = cases.run(TcpDown(), TcpReset(), spoil=lambda made: wait(made, for_s=32.1))
    assert [found.ruling for found in recovery.no_recovery(of)] == ["pass", "pass"]
    alone = cases.run(TcpDown(), spoil=lambda made: wait(made, for_s=40.0))
    assert cases.one(recovery.no_recovery(alone)).ruling == "fail"


def test_a_target_that_was_ready_in_the_last_moment_was_not_watched() -> None:
    """It takes half of the recovery at least to say that somebody did not come back."""
    of = storm(TcpDown())
    for healed_s, ruling in ((26.0, "pass"), (28.0, "unknown")):
        late = replace(of.phases.windows[0], healed_ns=int(healed_s * S))
        told = replace(of, phases=replace(of.phases, windows=(late,)))
        assert cases.one(recovery.no_recovery(told)).ruling == ruling


@pytest.mark.parametrize(
    ("started_s", "before", "ruling"),
    [
        (21.5, (), "fail"),  # five seconds are enough, where nothing shows that it needs more
        (21.5, (("started", 12.1, 1), ("ready", 14.6, 1), ("ended", 21.4, 1)), "unknown"),
        (21.5, (("started", 12.1, 1), ("ready", 13.1, 1), ("ended", 21.4, 1)), "fail"),
        (26.0, (), "unknown"),
    ],
)
def test_a_target_that_is_still_starting_has_three_times_what_a_start_took(
    started_s: float, before: tuple[tuple[TargetEdge, float, int], ...], ruling: str
) -> None:
    """On a busy machine a program comes up late; for ever it need not be waited for."""
    life = cases.target_life(*before, ("started", started_s, 2))
    of = cases.run(ProcessKill(), spoil=gone(*ARM), extra=life)
    assert cases.one(recovery.no_recovery(of)).ruling == ruling


def test_one_session_in_a_hundred_is_within_tolerance() -> None:
    """Below one in fifty the question passes, and the number is still told."""
    load = {"sessions": 200, "ramp": "1s"}
    of = cases.run(TcpDown(), load=load, spoil=lambda made: gone(_first(made))(made))
    finding = cases.one(recovery.no_recovery(of))
    assert (finding.ruling, finding.observed) == ("pass", 1.0)


def _first(made: Calls) -> int:
    return int(made["session"][made["treated"] == 1].min())


def test_a_session_that_was_lost_and_never_reopened_has_not_recovered() -> None:
    """Its client found it dead, and no call was answered after that."""
    at_ns = 23 * S
    extra = [
        SessionEntry(at_ns=at_ns, session=ARM[0], edge="lost", era="legacy", why="http 400 session")
    ]
    of = cases.run(TcpDown(), extra=extra, spoil=gone(ARM[0], since_s=22.8))
    assert cases.one(recovery.no_recovery(of)).ruling == "fail"


def test_a_session_that_was_lost_and_reopened_has_recovered() -> None:
    """To start anew is a cost, and no death."""
    extra = [
        SessionEntry(at_ns=13 * S, session=ARM[0], edge="lost", era="legacy", why="http 404"),
        SessionEntry(at_ns=14 * S, session=ARM[0], edge="reopened", era="legacy"),
    ]
    assert cases.one(recovery.no_recovery(cases.run(TcpDown(), extra=extra))).ruling == "pass"


def test_steps_that_the_runs_end_kept_from_starting_are_no_evidence() -> None:
    """A client still waiting out its deadline when the run ends was not refused by anybody."""
    of = cases.run(TcpDown(), spoil=gone(*ARM, reason=Reason.RUN_ENDED))
    finding = cases.one(recovery.no_recovery(of))
    assert (finding.ruling, finding.fault) == ("unknown", DOWN)


def test_a_session_that_never_worked_cannot_fail_to_recover() -> None:
    """What was dead before the fault was not killed by it."""
    of = cases.run(TcpDown(), spoil=gone(ARM[1], since_s=0.0))
    assert cases.one(recovery.no_recovery(of)).ruling == "pass"


def test_a_fault_that_was_not_healed_is_unknown() -> None:
    """Nobody recovers from what is still there."""
    of = journals.scenario(journals.window(TcpDown()))
    by = journals.plan(of)
    made = journals.healthy(of, by)
    entries = [e for e in made.entries if not (e.type == "fault" and e.edge == "healed")]
    entries += journals.fault_window(by, TcpDown(), edges=("not_healed",))
    finding = cases.one(
        recovery.no_recovery(evidence(of, by, journals.journal(entries, made.calls)))
    )
    assert (finding.ruling, finding.why) == ("unknown", "the fault was not proven healed")


def test_a_run_without_faults_is_asked_nothing() -> None:
    """No fault to recover from, no token to renew."""
    assert [check(storm()) for check in recovery.CHECKS] == [(), ()]


# --- after the renewal of a token -----------------------------------------------------------


def renewed(*sessions: int, at_s: float = 13.0, expires_s: float = 60.0) -> list[TokenEntry]:
    """Say that some sessions renewed their token."""
    return [
        TokenEntry(
            at_ns=round(at_s * S),
            session=number,
            edge="renewed",
            expires_ns=round(expires_s * S),
            serial=2,
        )
        for number in sessions
    ]


def found_lost(*sessions: int, at_s: float = 13.1) -> list[SessionEntry]:
    """Say that some sessions were answered 404 at their next call, and opened anew."""
    at_ns = round(at_s * S)
    edges: list[SessionEntry] = []
    for number in sessions:
        edges += (
            SessionEntry(
                at_ns=at_ns, session=number, edge="lost", era="legacy", why="http 404 session"
            ),
            SessionEntry(
                at_ns=at_ns + 20 * journals.MS, session=number, edge="reopened", era="legacy"
            ),
        )
    return edges


def expiring(
    extra: list[Any], spoil: Spoil | None = None, era: str = "legacy", **options: Any
) -> Evidence:
    """Make a run in which tokens expire and are renewed."""
    return cases.run(TokenExpire(), auth={}, extra=extra, spoil=spoil, era=era, **options)


def silent_after(at_s: float, until_s: float) -> Spoil:
    """Let the treated calls due in between be refused, so that none is answered."""

    def spoil(made: Calls) -> None:
        chosen = journals.between(made, at_s - 0.05, until_s) & (made["treated"] == 1)
        end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=404)

    return spoil


def test_sessions_that_live_through_a_renewal_pass() -> None:
    """Ten renewals, and nothing lost."""
    finding = cases.one(recovery.survives_renewal(expiring(renewed(*ARM))))
    assert (finding.ruling, finding.unit) == ("pass", "renewals")


def test_sessions_that_die_with_their_token_have_not_recovered() -> None:
    """A good new token lost them: they were bound to the bytes of the old one."""
    of = expiring([*renewed(*ARM), *found_lost(*ARM)], silent_after(13.0, 13.1))
    assert cases.failed(of) == {("no-recovery", "1:token-expire")}
    finding = cases.one(recovery.survives_renewal(of))
    assert finding.observed == len(ARM)
    assert len(finding.evidence) == len(ARM)


def test_the_same_loss_found_again_and_again_counts_once() -> None:
    """A client that does not reopen notices at every call."""
    losses = [
        SessionEntry(at_ns=round(at_s * S), session=ARM[0], edge="lost", era="legacy", why="x")
        for at_s in np.arange(13.1, 20.0, 0.25)
    ]
    of = expiring([*renewed(ARM[0]), *losses], gone(ARM[0], since_s=13.0))
    assert cases.one(recovery.survives_renewal(of)).observed == 1.0


def test_a_session_answered_under_its_new_token_did_not_die_of_it() -> None:
    """Lost seconds later, with answers in between, is another cause."""
    of = expiring([*renewed(*ARM), *found_lost(*ARM, at_s=16.0)])
    assert cases.one(recovery.survives_renewal(of)).ruling == "pass"


def test_a_server_that_forgets_everybody_did_not_bind_sessions_to_tokens() -> None:
    """A restart loses those who renewed and those who did not."""
    everyone = range(20)
    of = expiring([*renewed(*ARM[:3]), *found_lost(*everyone)], silent_after(13.0, 13.1))
    assert cases.one(recovery.survives_renewal(of)).ruling == "pass"


def test_a_token_that_was_no_good_proves_nothing() -> None:
    """A renewal that brought an expired token is not a renewal."""
    of = expiring([*renewed(*ARM, expires_s=12.0), *found_lost(*ARM)], silent_after(13.0, 13.1))
    assert recovery.survives_renewal(of) == ()


def forgetting(outcome: Outcome, reason: Reason, count: int = 2) -> Spoil:
    """Let the first recalls of six treated sessions after 13 s fail."""

    def spoil(made: Calls) -> None:
        for number in ARM[:6]:
            mine = (made["session"] == number) & (made["call"] == 1) & (made["due_ns"] > 13 * S)
            end(made, np.flatnonzero(mine)[:count], outcome, reason, status=200)

    return spoil


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(Outcome.TOOL_ERROR, Reason.TOOL_ERROR), (Outcome.WRONG, Reason.EXPECTATION)],
)
def test_what_is_forgotten_with_the_old_token_was_bound_to_it(
    outcome: Outcome, reason: Reason
) -> None:
    """The modern era has no session to lose; what it held is what dies. One defect, not two."""
    of = expiring(
        renewed(*ARM), forgetting(outcome, reason), era="modern", steps=(REMEMBER, RECALL)
    )
    assert cases.failed(of) == {("no-recovery", "1:token-expire")}
    finding = cases.one(recovery.survives_renewal(of))
    assert finding.observed == 12
    assert all(name.startswith("s") for name in finding.evidence)


def test_a_tool_that_breaks_for_everybody_is_not_blamed_on_a_renewal() -> None:
    """From some moment on it fails, renewed token or not."""

    def broken(made: Calls) -> None:
        after = (made["call"] == 1) & (made["due_ns"] > 13 * S)
        end(made, after, Outcome.TOOL_ERROR, Reason.TOOL_ERROR, status=200)

    of = expiring(renewed(*ARM), broken, era="modern", steps=(REMEMBER, RECALL))
    assert cases.one(recovery.survives_renewal(of)).ruling == "pass"


def test_calls_that_were_answered_since_a_renewal_did_not_die_of_it() -> None:
    """Only treated sessions fail, some time after their renewals, between good answers."""

    def err(made: Calls) -> None:
        chosen = cases.kind(made, 1, (14.5, 32.0))
        end(made, np.flatnonzero(chosen)[::3], Outcome.TOOL_ERROR, status=200)

    of = expiring(renewed(*ARM), err, era="modern", steps=(REMEMBER, RECALL))
    assert cases.one(recovery.survives_renewal(of)).ruling == "pass"


def test_calls_that_fail_at_any_time_are_not_blamed_on_a_renewal() -> None:
    """A tool that errs now and then errs after a renewal too."""

    def err(made: Calls) -> None:
        forgetting(Outcome.TOOL_ERROR, Reason.TOOL_ERROR)(made)
        end(made, np.flatnonzero(made["call"] == 1)[::8], Outcome.TOOL_ERROR, status=200)

    of = expiring(renewed(*ARM), err, era="modern", steps=(REMEMBER, RECALL))
    assert cases.one(recovery.survives_renewal(of)).ruling == "pass"
