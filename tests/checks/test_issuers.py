from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from faults.issuers import AsOutage, JwksRotate
from harness.checks import issuers
from harness.evidence.phases import Evidence
from harness.journal import Calls, FaultEntry, Journal
from harness.outcome import Auth, Outcome, Reason
from tests.checks import cases
from tests.journals import Spoil, end

AWAY = "1:as-outage"


def fetched(count: int) -> Callable[[Journal], Journal]:
    """Let the issuer have counted so many requests for its metadata and keys."""

    def ledger(made: Journal) -> Journal:
        entries = tuple(
            replace(entry, exposure_count=count, exposure_unit="calls", exposure_source="issuer")
            if isinstance(entry, FaultEntry) and entry.exposure_source
            else entry
            for entry in made.entries
        )
        return replace(made, entries=entries)

    return ledger


def refused(status: int, within: tuple[float, float] = cases.WINDOW) -> Spoil:
    """Let some searches under good tokens end so."""

    def spoil(made: Calls) -> None:
        made["auth"] = Auth.VALID
        chosen = cases.some(cases.kind(made, 0, within, treated=None), 6)
        end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=status)

    return spoil


def away(count: int = 3, spoil: Spoil | None = None) -> Evidence:
    """Make a run in which the issuer is away for a while."""
    return cases.run(AsOutage(), auth={}, spoil=spoil or refused(503), ledger=fetched(count))


def rulings(of: Evidence) -> Sequence[str]:
    """What the two questions come to."""
    return [finding.ruling for finding in issuers.without_issuer(of)]


def test_a_target_that_serves_on_with_the_keys_it_has_is_right() -> None:
    """A few looks at the issuer are nothing, and a 503 is no judgement of a token."""
    assert rulings(away()) == ["pass", "pass"]


def test_a_key_set_that_is_read_for_every_call_is_named() -> None:
    """With the calls that were made meanwhile, by either arm."""
    of = away(count=900)
    finding = issuers.without_issuer(of)[0]
    assert (finding.verdict, finding.fault) == ("retry-amplification", AWAY)
    assert (finding.ruling, finding.observed) == ("fail", 900)
    assert len(finding.evidence) == 10


def test_a_few_fetches_are_no_habit_however_few_the_calls() -> None:
    """A run of three calls proves nothing by two fetches."""
    assert rulings(away(count=19))[0] == "pass"


@pytest.mark.parametrize("status", [401, 403])
def test_a_good_token_that_is_refused_for_want_of_the_issuer_is_a_wrong_status(status: int) -> None:
    """It sends the client to the issuer that is away."""
    of = away(spoil=refused(status))
    assert rulings(of) == ["pass", "fail"]
    finding = issuers.without_issuer(of)[1]
    assert (finding.verdict, finding.fault) == ("wrong-status", AWAY)
    assert len(finding.evidence) == 6


def test_what_is_refused_at_other_times_is_none_of_the_issuers_business() -> None:
    """Nor is anything asked where it was not away."""
    assert rulings(away(spoil=refused(401, cases.BASELINE))) == ["pass", "pass"]
    assert issuers.without_issuer(cases.run(JwksRotate(), auth={})) == ()


def test_without_a_call_nothing_is_known() -> None:
    """Nobody saw how the target fares."""

    def silent(made: Journal) -> Journal:
        return replace(made, calls=made.calls[:0])

    of = cases.run(AsOutage(), auth={}, ledger=silent)
    assert rulings(of) == ["unknown", "unknown"]
