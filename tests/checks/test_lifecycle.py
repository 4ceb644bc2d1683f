from __future__ import annotations

import numpy as np
import pytest

from faults.network import TcpDown, TcpReset
from faults.process import Sigterm
from harness.checks import lifecycle
from harness.evidence.phases import evidence
from harness.journal import Calls
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.checks.cases import target_life, vitals
from tests.journals import S, Spoil, between, end, journal, plan, scenario, storm

ALIVE = vitals((3, 80), (6, 80), (9, 80))


def nobody_there(reason: Reason, count: int, *, treated: int = 0, sessions: int = 20) -> Spoil:
    """Let calls one after another find nobody at the address."""

    def spoil(made: Calls) -> None:
        chosen = (made["treated"] == treated) & between(made, 5.0, 12.0)
        chosen &= made["session"] < sessions
        order = np.flatnonzero(chosen)
        order = order[np.argsort(made["done_ns"][order], kind="stable")][:count]
        end(made, order, Outcome.TRANSPORT_ERROR, reason)
        made["first_ns"][order] = made["done_ns"][order] = -1
        if reason is Reason.CONNECT_REFUSED:
            made["sent_ns"][order] = -1

    return spoil


def test_a_process_that_lives_passes() -> None:
    """Looked at three times, alive three times."""
    finding = cases.one(lifecycle.crash(cases.run(TcpDown(), extra=ALIVE)))
    assert (finding.ruling, finding.observed) == ("pass", 0.0)


def test_a_process_that_died_has_crashed() -> None:
    """The fault in force at that moment is named."""
    of = cases.run(TcpReset(), extra=(*ALIVE, *vitals((14, None), alive=False)))
    finding = cases.one(lifecycle.crash(of))
    assert (finding.ruling, finding.fault) == ("fail", "1:tcp-reset")
    assert "14.0 s" in finding.why
    assert finding.evidence


def test_a_process_that_a_fault_has_ended_has_not_crashed() -> None:
    """Until it is started again; what ends later by itself has."""
    told = target_life(("told", 13, 1), ("ended", 14, 1), ("started", 16, 2))
    down = vitals((15, None), alive=False)
    of = cases.run(Sigterm(), extra=(*ALIVE, *told, *down))
    assert cases.one(lifecycle.crash(of)).ruling == "pass"
    of = cases.run(Sigterm(), extra=(*ALIVE, *told, *down, *vitals((20, None), alive=False)))
    assert cases.one(lifecycle.crash(of)).ruling == "fail"


def test_a_target_that_was_stopped_after_the_run_has_not_crashed() -> None:
    """What squall stops itself is no news."""
    after_s = storm().run_end_ns / S + 1
    of = cases.run(extra=(*ALIVE, *vitals((after_s, None), alive=False)))
    assert cases.one(lifecycle.crash(of)).ruling == "pass"


@pytest.mark.parametrize(
    ("reason", "count", "ruling"),
    [
        (Reason.CONNECT_REFUSED, 2, "pass"),
        (Reason.CONNECT_REFUSED, 3, "fail"),
        (Reason.CLOSED_EARLY, 4, "pass"),
        (Reason.RESET, 5, "fail"),
        (Reason.JSONRPC_ERROR, 20, "pass"),
    ],
)
def test_a_target_that_nobody_watches_crashed_when_its_address_went_dead(
    reason: Reason, count: int, ruling: str
) -> None:
    """Three refused in a row, or five dropped without a byte, as a proxy in front shows it."""
    finding = cases.one(lifecycle.crash(cases.run(spoil=nobody_there(reason, count))))
    assert finding.ruling == ruling
    assert finding.fault == ""
    if ruling == "fail":
        assert "from 5.0 s on" in finding.why


def test_a_closed_port_of_the_treated_arm_is_the_fault_itself() -> None:
    """Only the untouched arm tells of the target."""
    of = cases.run(TcpDown(), spoil=nobody_there(Reason.CONNECT_REFUSED, 30, treated=1))
    assert cases.one(lifecycle.crash(of)).ruling == "pass"


def test_one_unlucky_session_is_no_crash() -> None:
    """Two sessions at least must find nobody there."""
    made = storm().calls
    loner = int(made["session"][made["treated"] == 0].min())

    def spoil(made: Calls) -> None:
        others = (made["treated"] == 0) & (made["session"] != loner)
        end(made, others, Outcome.TRANSPORT_ERROR, Reason.CONNECT_TIMEOUT)
        end(
            made,
            (made["session"] == loner) & between(made, 5.0, 9.0),
            Outcome.TRANSPORT_ERROR,
            Reason.CONNECT_REFUSED,
        )
        made["done_ns"][others] = made["done_ns"].max()

    assert cases.one(lifecycle.crash(cases.run(spoil=spoil))).ruling == "pass"


def test_a_watched_process_that_lives_outweighs_what_callers_see() -> None:
    """Refused calls with a living process are another trouble."""
    of = cases.run(extra=ALIVE, spoil=nobody_there(Reason.CONNECT_REFUSED, 30))
    assert cases.one(lifecycle.crash(of)).ruling == "pass"


def test_an_unwatched_target_without_control_calls_is_unknown() -> None:
    """Nothing was looked at and nobody asked."""
    of = scenario()
    assert cases.one(lifecycle.crash(evidence(of, plan(of), journal()))).ruling == "unknown"


def test_what_follows_from_a_crash_is_named_after_it() -> None:
    """Dead sessions after a crash are a consequence, and the crash is the one defect."""

    def dead(made: Calls) -> None:
        after = made["due_ns"] > 14 * S
        end(made, after, Outcome.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)
        made["first_ns"][after] = -1

    of = cases.run(TcpReset(), spoil=dead)
    assert cases.failed(of) == {("crash", "1:tcp-reset")}
    causes = {finding.verdict: finding.cause for finding in cases.judged(of) if finding.cause}
    assert causes == {"no-recovery": "crash"}
