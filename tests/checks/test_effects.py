from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faults.agent import PayloadRequest, ResponseLost
from harness.checks import effects
from harness.evidence.phases import Evidence
from harness.journal import Calls, EffectEntry, Journal
from harness.outcome import Effect, Outcome, Reason
from harness.verdict import Finding
from tests.checks import cases
from tests.journals import MS, SEARCH, end, storm

KEYED: dict[str, Any] = {
    "call": "append_note",
    "with": {"key": "${session}", "text": "${nonce}", "idempotency_key": "${nonce}"},
    "effect": "once",
}
LOST = "1:response-lost"


def doubled(of: Evidence) -> Finding:
    """Give the finding on doubled executions."""
    return cases.one([f for f in effects.against_ledger(of) if f.verdict == "double-exec"])


def lost(of: Evidence) -> Finding:
    """Give the finding on effects that never were."""
    return cases.one([f for f in effects.against_ledger(of) if f.verdict == "wrong-answer"])


def again(count: int, within: tuple[float, float] = cases.BASELINE) -> Callable[[Journal], Journal]:
    """Let the ledger show a second execution of some that it shows within a stretch."""

    def ledger(made: Journal) -> Journal:
        low, high = (edge * 1e9 for edge in within)
        seen = [entry for entry in made.of(EffectEntry) if low <= entry.at_ns < high][:count]
        twice = [replace(entry, at_ns=entry.at_ns + 50 * MS) for entry in seen]
        entries = sorted((*made.entries, *twice), key=lambda entry: entry.at_ns)
        return replace(made, entries=tuple(entries))

    return ledger


def without(count: int | None) -> Callable[[Journal], Journal]:
    """Take the first executions, or all of them, out of the ledger."""

    def ledger(made: Journal) -> Journal:
        gone = {id(entry) for entry in made.of(EffectEntry)[:count]}
        return replace(made, entries=tuple(e for e in made.entries if id(e) not in gone))

    return ledger


def repeated(made: Calls) -> list[Calls]:
    """Let the treated writes of the window be sent once more after a lost reply."""
    struck = cases.kind(made, 1, cases.WINDOW)
    second = made[struck].copy()
    second["attempt"] = 2
    for column in ("sent_ns", "first_ns", "done_ns"):
        second[column] += 15 * 10**9  # when the fault is long gone
    made["last"][struck] = 0
    end(made, struck, Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST)
    made["effect"][struck] = Effect.UNKNOWN
    return [second]


def test_each_write_once_in_the_ledger_passes() -> None:
    """A healthy run: both questions pass on all its writes."""
    of = storm(ResponseLost())
    assert doubled(of).ruling == lost(of).ruling == "pass"


def test_a_write_that_took_effect_twice_is_a_doubled_execution() -> None:
    """The ledger shows it, whatever the client saw, and one is enough."""
    of = cases.run(ResponseLost(), more=repeated, ledger=again(1))
    finding = doubled(of)
    assert (finding.ruling, finding.observed, finding.hard) == ("fail", 1.0, True)
    assert "executed 2 times each, sent " in finding.why


def test_a_repeat_of_a_lost_reply_is_blamed_on_the_fault_that_lost_it() -> None:
    """The first attempt met the fault, and the second settled the call."""

    def treated_again(made: Journal) -> Journal:
        calls = made.calls
        keys = {
            (int(row["session"]), int(row["index"])) for row in calls[calls["attempt"] == 2][:4]
        }
        plan = storm(ResponseLost()).plan
        nonces = {plan.nonce(*key) for key in keys}
        twice = [entry for entry in made.of(EffectEntry) if entry.key in nonces]
        assert len(twice) == 4
        entries = sorted((*made.entries, *twice), key=lambda entry: entry.at_ns)
        return replace(made, entries=tuple(entries))

    of = cases.run(ResponseLost(), more=repeated, ledger=treated_again)
    assert cases.failed(of) == {("double-exec", LOST)}
    assert doubled(of).why.endswith("sent 2 times")


def test_a_repeat_that_was_recognised_passes() -> None:
    """Sent twice, executed once: that is what a key is for."""
    assert cases.failed(cases.run(ResponseLost(), more=repeated)) == set()


def test_a_text_around_the_nonce_is_still_its_calls_key() -> None:
    """A ledger may hold more than the nonce."""

    def wordy(made: Journal) -> Journal:
        entries = tuple(
            replace(entry, key=f"note {entry.key}, written") if entry.type == "effect" else entry
            for entry in again(2)(made).entries
        )
        return replace(made, entries=entries)

    found = effects.against_ledger(cases.run(ledger=wordy))
    assert sum(finding.observed or 0 for finding in found) == 2


def test_the_effect_of_an_oversized_prelude_is_not_a_repeat() -> None:
    """It is a request of its own, under a nonce of its own."""

    def stranger(made: Journal) -> Journal:
        extra = EffectEntry(at_ns=13 * 10**9, key="n0123456789abcdef" + "x" * 100)
        return replace(made, entries=(*made.entries, extra))

    assert cases.failed(cases.run(PayloadRequest(), ledger=stranger)) == set()


def test_without_a_ledger_it_is_unknown() -> None:
    """An effect was declared and nobody counted it."""
    of = cases.run(ledger=without(None))
    assert doubled(of).ruling == lost(of).ruling == "unknown"
    assert "the ledger shows none" in doubled(of).why


def test_where_nobody_counts_it_is_unknown_and_says_how_somebody_could() -> None:
    """A server of somebody's own writes no ledger of squall's."""
    of = cases.run(ledger=without(None), target={"url": "http://127.0.0.1:8001/mcp"})
    for finding in (doubled(of), lost(of)):
        assert finding.ruling == "unknown"
        assert "`audit: {call: TOOL}`" in finding.why


def test_a_ledger_that_names_no_call_is_unknown() -> None:
    """Its keys carry no nonce, so nothing can be matched."""

    def opaque(made: Journal) -> Journal:
        entries = tuple(
            replace(entry, key="17") if entry.type == "effect" else entry for entry in made.entries
        )
        return replace(made, entries=entries)

    of = cases.run(ledger=opaque)
    for finding in (doubled(of), lost(of)):
        assert (finding.ruling, finding.why) == (
            "unknown",
            "no key in the ledger carries a call's nonce",
        )


def test_a_scenario_without_effects_is_asked_nothing() -> None:
    """No step declares one: no finding, not even an unknown one."""
    of = cases.run(steps=(SEARCH,))
    assert effects.against_ledger(of) == ()


def _lossy(step: dict[str, Any]) -> Evidence:
    return cases.run(steps=(SEARCH, step), ledger=without(3))


def test_a_write_answered_as_done_and_not_done_is_a_wrong_answer() -> None:
    """Three confirmations that no execution stands behind."""
    finding = lost(_lossy(KEYED))
    assert (finding.verdict, finding.ruling, finding.observed) == ("wrong-answer", "fail", 3.0)
    assert finding.hard


@pytest.mark.parametrize("key", ["idempotency_key", "key"])
def test_a_key_that_several_calls_share_makes_a_missing_effect_unknown(key: str) -> None:
    """The first call's result, rightly returned again, would look the same."""
    step = {
        "call": "append_note",
        "with": {key: "${session}", "text": "${nonce}"},
        "effect": "once",
    }
    finding = lost(_lossy(step))
    assert finding.ruling == "unknown"
    assert "${nonce}" in finding.why


def test_a_write_that_was_refused_owes_no_effect() -> None:
    """Only what was answered as done has to be done."""

    def refuse(made: Calls) -> None:
        chosen = np.flatnonzero(made["call"] == 1)[:5]
        end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=429)

    assert cases.failed(cases.run(steps=(SEARCH, KEYED), spoil=refuse)) == set()
