from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from faults.agent import ResponseLost
from faults.network import TcpLatency
from harness.checks import audit, effects
from harness.evidence.phases import Evidence
from harness.journal import AuditEntry, Calls, EffectEntry, Journal
from harness.outcome import Effect, Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import NOTE, SEARCH, S, end

ASKED: dict[str, Any] = {"audit": {"call": "count_notes", "counts": "result.count"}}
LOST = "1:response-lost"
BEFORE_COUNT = 40  # what was there before this run
ASKED_AT_S = {"before": 0.0, "baseline": 11.5, "after": 34.0}
Counted = Callable[[Journal], Sequence[tuple[str, int | None]]]


def by(counted: Counted) -> Callable[[Journal], Journal]:
    """Take the ledger away, and let the target count instead: (edge, count) pairs."""

    def asked(made: Journal) -> Journal:
        entries = [entry for entry in made.entries if not isinstance(entry, EffectEntry)]
        for edge, count in counted(made):
            at_ns = round(ASKED_AT_S[edge] * S)
            entries.append(
                AuditEntry(
                    at_ns=at_ns,
                    answered_ns=at_ns + S // 100,
                    edge=edge,  # type: ignore[arg-type]
                    count=None if count is None else BEFORE_COUNT + count,
                    why="HTTP 503" if count is None else "",
                )
            )
        entries.sort(key=lambda entry: entry.at_ns)
        return replace(made, entries=tuple(entries))

    return asked


def happened(made: Journal, until_s: float = 99.0) -> int:
    """How many effects there were in truth."""
    return sum(entry.at_ns < until_s * S for entry in made.of(EffectEntry))


def truth(made: Journal) -> list[tuple[str, int | None]]:
    """A target that counts as it should."""
    return [("before", 0), ("baseline", happened(made, 11.5)), ("after", happened(made))]


def more(count: int, *edges: str) -> Counted:
    """Count so many too many, at these edges."""

    def counted(made: Journal) -> list[tuple[str, int | None]]:
        return [
            (edge, None if seen is None else seen + (count if edge in edges else 0))
            for edge, seen in truth(made)
        ]

    return counted


def double(of: Evidence) -> Finding:
    """The finding on effects beyond one a call."""
    return cases.one([f for f in audit.against_audit(of) if f.verdict == "double-exec"])


def missing(of: Evidence) -> Finding:
    """The finding on effects that never were."""
    return cases.one([f for f in audit.against_audit(of) if f.verdict == "wrong-answer"])


def unheard(made: Calls) -> None:
    """Let nobody hear what became of the treated writes of the window."""
    struck = cases.kind(made, 1, cases.WINDOW)
    end(made, struck, Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST)
    made["effect"][struck] = Effect.UNKNOWN


def test_a_count_that_fits_the_calls_passes() -> None:
    """One effect a call, whoever heard of it; and the missing ledger is no question any more."""
    of = cases.run(TcpLatency(), ledger=by(truth), **ASKED)
    assert double(of).ruling == missing(of).ruling == "pass"
    assert effects.against_ledger(of) == ()
    assert cases.failed(of) == set()


def test_calls_that_nobody_heard_of_may_have_taken_effect_or_not() -> None:
    """Both counts are right, and anything between them."""
    for extra in (0, 10):
        of = cases.run(ResponseLost(), spoil=unheard, ledger=by(more(extra, "after")), **ASKED)
        assert cases.failed(of) == set()


def test_more_effects_than_calls_are_doubled_ones_under_the_fault_between_the_counts() -> None:
    """The count at the baseline's end was right, so what came later is the fault's."""
    of = cases.run(ResponseLost(), ledger=by(more(7, "after")), **ASKED)
    finding = double(of)
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", LOST, 7.0)
    assert finding.hard
    assert finding.why.startswith("7 effects are more than one a call, under ")
    assert "the target counts" in finding.why
    assert missing(of).ruling == "pass"


def test_more_effects_than_calls_before_any_fault_are_nobodys_fault() -> None:
    """Known at the baseline's end already, and told once."""
    of = cases.run(ResponseLost(), ledger=by(more(90, "baseline", "after")), **ASKED)
    finding = double(of)
    assert (finding.ruling, finding.fault) == ("fail", "")
    assert finding.why.startswith("90 effects")


def test_fewer_effects_than_confirmed_calls_are_lost_ones() -> None:
    """They were answered as done."""
    own = {**NOTE, "with": {"idempotency_key": "${nonce}", "text": "${nonce}"}}
    of = cases.run(ResponseLost(), steps=(SEARCH, own), ledger=by(more(-5, "after")), **ASKED)
    assert cases.failed(of) == {("wrong-answer", LOST)}
    assert missing(of).observed == 5.0


def test_a_key_that_serves_several_calls_explains_fewer_effects() -> None:
    """That may be a repeat which was rightly not executed."""
    shared = {**NOTE, "with": {"idempotency_key": "${session}", "text": "${nonce}"}}
    of = cases.run(ResponseLost(), steps=(SEARCH, shared), ledger=by(more(-5, "after")), **ASKED)
    assert missing(of).ruling == "unknown"
    assert "same key" in missing(of).why


def test_a_misbehaving_attempt_is_a_request_of_its_own() -> None:
    """What squall sent beside the planned calls may have taken effect too."""

    def beside(made: Calls) -> list[Calls]:
        which = cases.some(cases.kind(made, 1, cases.WINDOW), 6)
        return [cases.preludes(made, which, "vanish", Outcome.ABANDONED)]

    for count, ruling in ((6, "pass"), (7, "fail")):
        of = cases.run(ResponseLost(), more=beside, ledger=by(more(count, "after")), **ASKED)
        assert double(of).ruling == ruling


def test_a_count_that_could_not_be_had_leaves_both_questions_open() -> None:
    """Before the load or after it; the reason is told."""
    for edge in ("before", "after"):

        def deaf(made: Journal, edge: str = edge) -> list[tuple[str, int | None]]:
            return [(name, None if name == edge else seen) for name, seen in truth(made)]

        of = cases.run(ResponseLost(), ledger=by(deaf), **ASKED)
        assert double(of).ruling == missing(of).ruling == "unknown"
        assert f"{edge} the load: HTTP 503" in double(of).why


def test_a_run_without_an_audit_is_asked_nothing() -> None:
    """The ledger answers there."""
    assert audit.against_audit(cases.run(ResponseLost())) == ()
