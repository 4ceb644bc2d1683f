from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from faults.agent import ClientVanish, PayloadRequest
from faults.catalogue import CATALOGUE
from faults.load import Spike
from faults.network import TcpLatency
from harness.evidence.phases import Evidence
from harness.journal import Calls, DependencyEntry, EffectEntry, ProbeEntry
from harness.judge import judge
from harness.outcome import Outcome, Reason
from harness.verdict import Finding, Soundness
from reports.behind import answer, behind, dependency_line, probe_line
from reports.broken import Broken
from reports.meanings import MEANINGS, meaning
from reports.page import page
from reports.probes import probe_rows
from reports.report import Report, make
from tests.checks import cases
from tests.journals import NOTE, S, end, storm
from tests.reports.samples import (
    FACTS,
    evidence_of_a_storm,
    judgement_of_a_calm,
    judgement_of_a_storm,
)


def emptied(made: Calls) -> None:
    """Let some searches of the treated arm be empty under the fault, and their agents go on."""
    chosen = cases.some(cases.kind(made, 0, (14.0, 16.0)), 6)
    end(made, chosen, Outcome.WRONG, Reason.ROWS, status=200)
    made["rows"][chosen] = 0


def reported(of: Evidence) -> Report:
    """Report a run as it was judged."""
    return make(of, judge(of), FACTS)


def the_only(report: Report) -> Broken:
    """Give the one thing that broke."""
    assert len(report.broken) == 1
    return report.broken[0]


def test_what_broke_says_when_and_for_whom_and_who_believed_it() -> None:
    """Six answers of two seconds, some of ten agents, and the fault that was in force."""
    one = the_only(reported(cases.run(TcpLatency(), steps=(cases.ROWS, NOTE), spoil=emptied)))
    assert one.found.finding.verdict == "silent-empty"
    assert one.meaning == MEANINGS["silent-empty"]
    assert one.first_s is not None
    assert one.last_s is not None
    assert 14.0 <= one.first_s < one.last_s < 17.0
    assert "tcp-latency (delay 0.25 s" in one.when
    assert "was in force from 12.0 to 22.0 s" in one.when
    assert one.treated is not None
    assert one.who == f"{one.treated} of the 10 treated agents, none of the 10 untouched agents"
    assert f"{one.treated} agents worked on as if the answer were true" in one.sequel
    assert len(one.marks_s) == 6


def test_a_consequence_is_named_with_its_cause_and_is_not_a_thing_of_its_own() -> None:
    """One thing broke, and another followed from it."""
    report = make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS)
    one = the_only(report)
    assert one.found.finding.verdict == "expired-is-403"
    assert one.follows == ("session-lost",)
    assert one.at_least
    assert one.when.startswith("the calls shown are of ")
    assert one.who == "at least 2 of the 10 treated agents"


def test_what_no_fault_is_to_blame_for_says_so() -> None:
    """The server does it by itself, in the untouched arm as well."""

    def always(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.BASELINE, 0), 3)
        end(made, chosen, Outcome.WRONG, Reason.FOREIGN_NONCE, status=200)

    one = the_only(reported(cases.run(spoil=always)))
    assert one.when.endswith("; no fault was in force")
    assert "untouched agents" in one.who
    assert one.sequel.endswith(" s into the run")


def test_what_no_one_fault_is_to_blame_for_names_those_that_were_in_force() -> None:
    """From the baseline on, through a fault: it was there too."""

    def always(made: Calls) -> None:
        for within, arm in ((cases.BASELINE, 0), (cases.WINDOW, 1)):
            chosen = cases.some(cases.kind(made, 0, within, arm), 6)
            end(made, chosen, Outcome.WRONG, Reason.FOREIGN_NONCE, status=200)

    one = the_only(reported(cases.run(TcpLatency(), spoil=always)))
    assert one.fault is None
    told = "1:tcp-latency was in force for some of it, and no one fault is to blame"
    assert one.when.endswith(f" s; {told}")


def test_sessions_that_a_fault_brings_are_among_those_whom_it_struck() -> None:
    """Never more agents than there are: 10 of the treated arm, and 40 of the spike."""

    def always(made: Calls) -> None:
        chosen = cases.kind(made, 0, cases.BASELINE, 0) | cases.kind(made, 0, cases.WINDOW, 1)
        end(made, chosen, Outcome.WRONG, Reason.FOREIGN_NONCE, status=200)

    one = the_only(reported(cases.run(Spike(times=3), spoil=always)))
    assert one.treated is not None
    assert one.treated > 10
    assert one.who == f"{one.treated} of the 50 treated agents, 10 of the 10 untouched agents"


def test_the_page_begins_with_what_broke_or_that_nothing_did() -> None:
    """Before the score, and with a link to the evidence."""
    text = page(reported(cases.run(TcpLatency(), steps=(cases.ROWS, NOTE), spoil=emptied)))
    assert text.index('id="broke"') < text.index('id="score"')
    assert "What broke" in text
    assert MEANINGS["silent-empty"] in text
    assert 'href="#silent-empty-1-tcp-latency-search"' in text
    calm = page(reported(storm(ClientVanish())))
    assert "Nothing broke" in calm


def test_what_became_of_effects_is_explained_beside_its_number() -> None:
    """A newcomer reads that nothing broke, and why effects are called orphaned all the same."""
    of, judged = evidence_of_a_storm(), judgement_of_a_calm()
    told = replace(judged, effects={**judged.effects, "doubled": 0, "orphaned": 16})
    text = page(make(of, told, FACTS))
    begins = text.index("Nothing broke")
    assert "16 effects orphaned: work that was done" in text[begins : text.index('id="score"')]
    assert "more often" not in text
    assert "effects orphaned" not in page(make(of, judged, FACTS))


def test_effects_that_the_target_counts_are_not_said_to_be_counted_by_nobody() -> None:
    """Their number by call is unknown, and the audit's finding stands beside it."""
    judged = judgement_of_a_calm()
    told = replace(judged, effects={**judged.effects, "unknown": 290})
    audited = replace(judged.findings[0], source="scenario: audit", verdict="double-exec")
    uncounted = "nobody can say whether this work was done"
    of = evidence_of_a_storm()
    assert uncounted in page(make(of, told, FACTS))
    text = page(make(of, replace(told, findings=(*told.findings, audited)), FACTS))
    assert uncounted not in text
    assert "the target counts them together" in text


def test_a_withheld_score_says_what_the_evidence_lacks() -> None:
    """Where the number would be, and not three screens below."""
    lacks = Soundness(name="samples", ruling="unknown", why="17 calls in 3:recovery")
    judged = replace(judgement_of_a_calm(), score=None, soundness=(lacks,))
    text = page(make(evidence_of_a_storm(), judged, FACTS))
    withheld = text[text.index('id="score"') : text.index("What became of it")]
    assert "17 calls in 3:recovery" in withheld


def test_what_a_fault_has_shown_comes_before_what_was_seen_beside_it() -> None:
    """The same failure under the fault and, twice, before anything was broken."""

    def both(made: Calls) -> None:
        emptied(made)
        chosen = cases.some(cases.kind(made, 0, (8.0, 10.0)), 2)
        end(made, chosen, Outcome.WRONG, Reason.ROWS, status=200)
        made["rows"][chosen] = 0

    report = reported(cases.run(TcpLatency(), steps=(cases.ROWS, NOTE), spoil=both))
    assert [one.found.finding.fault for one in report.broken] == ["1:tcp-latency", ""]
    assert "silent-empty under 1:tcp-latency: 6 of" in report.judgement.headline
    assert report.judgement.headline.count("under 1:tcp-latency") == 1


def test_every_verdict_that_a_fault_may_show_has_a_meaning() -> None:
    """Nobody has to look a word up to know what was found."""
    shown = {verdict for fault in CATALOGUE.values() for verdict in fault.shows}
    assert shown <= set(MEANINGS)
    assert all(text.endswith(".") for text in MEANINGS.values())
    assert meaning("unheard-of") == ""


# --- what stands behind the calls -----------------------------------------------------------


def probe(**changes: Any) -> ProbeEntry:
    """Make the record of one request that was wrong on purpose."""
    fields: dict[str, Any] = {
        "at_ns": 15 * S,
        "session": 1,
        "window": 1,
        "kind": "payload_request",
        "index": 44,
        "nonce": "nabc0000000000001",
        "outcome": "http_error",
        "reason": "http_status",
        "status": 413,
    }
    return ProbeEntry(**(fields | changes))


def test_lines_of_the_ledger_and_the_dependency_are_found_by_the_calls_own_nonce() -> None:
    """Whatever else the key holds, and nobody else's."""
    plain = cases.run(PayloadRequest())
    mine, other = plain.plan.nonce(1, 44), plain.plan.nonce(1, 45)
    entries = [
        EffectEntry(at_ns=15 * S, key=mine, tool="append_note", subject="alice"),
        EffectEntry(at_ns=16 * S, key=f"note {mine} again"),
        EffectEntry(at_ns=17 * S, key=other),
        DependencyEntry(at_ns=18 * S, operation="append", key=mine, status=200, executed=True),
        DependencyEntry(at_ns=19 * S, operation="append", key="nabc0000000000001", status=503),
        probe(),
    ]
    seen = behind(cases.run(PayloadRequest(), extra=entries), [(1, 44, 1), (1, 44, 0), (2, 6, 1)])
    assert set(seen) == {(1, 44, 1), (1, 44, 0)}
    assert seen[1, 44, 1][0] == "ledger: executed by append_note at 15.000 s, for alice"
    assert [line.split(":")[0] for line in seen[1, 44, 1]][-1] == "dependency"
    assert seen[1, 44, 0][0].startswith("sent on purpose: payload request; HTTP 413")
    assert "status 503" in seen[1, 44, 0][1]


def test_many_lines_of_one_call_are_told_by_their_number() -> None:
    """A storm of retries does not fill the page."""
    nonce = cases.run().plan.nonce(1, 4)
    of = cases.run(extra=[EffectEntry(at_ns=at * S, key=nonce) for at in range(9, 0, -1)])
    lines = behind(of, [(1, 4, 1)])[1, 4, 1]
    known = [line for line in lines if line.startswith("ledger")]
    assert len(known) == 4
    assert lines[-1].startswith("and ")


def test_what_a_dependency_saw_is_a_sentence() -> None:
    """What was asked, how it was answered, and what was done to it on purpose."""
    line = dependency_line(
        DependencyEntry(
            at_ns=3 * S,
            operation="rows",
            dependency="db",
            took_ns=2_000_000_000,
            status=429,
            rows=0,
            retry_after_s=5,
            subject="bob",
            credential="caller",
            fault="dep-429",
        )
    )
    assert line == (
        "db: rows at 3.000 s, status 429 after 2.00 s, 0 rows, its answer never left whole, "
        "asked for a wait of 5 s, for bob, under the caller's own token, struck by dep-429"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "HTTP 413"),
        ({"outcome": "ok", "reason": "", "status": 200}, "accepted with 200"),
        ({"outcome": "ok", "reason": "", "status": 0}, "accepted"),
        ({"is_error": True, "status": 200, "code": None}, "refused by the tool"),
        ({"status": 400, "code": -32602}, "HTTP 400, JSON-RPC -32602"),
        ({"status": 0, "code": -32602}, "refused, JSON-RPC -32602"),
        ({"status": 0, "outcome": "hang", "reason": "hang"}, "no answer: hang"),
    ],
)
def test_how_a_probe_was_answered_is_a_few_words(changes: dict[str, Any], told: str) -> None:
    """Refused, accepted, or left without an answer."""
    assert answer(probe(**changes)) == told


def test_probes_are_told_by_their_form_with_all_ways_they_were_answered() -> None:
    """Two forms; one of them was answered in two ways, once with another's data."""
    entries = [
        probe(variant="missing"),
        probe(variant="missing", at_ns=16 * S, text="too large"),
        probe(variant="missing", outcome="ok", status=200, carried="foreign", sent="no arguments"),
        probe(variant="null", status=400),
    ]
    missing, null = probe_rows(cases.run(PayloadRequest(), extra=entries))
    assert (missing.fault, missing.count, missing.foreign) == ("1:payload-request", 3, 1)
    assert missing.answers == (("HTTP 413", 2), ("accepted with 200", 1))
    assert (missing.sent, missing.said) == ("no arguments", "too large")
    assert (null.variant, null.answers) == ("null", (("HTTP 400", 1),))
    full = probe(challenge="Bearer error=x", carried="foreign", text="no", sent="B's token")
    assert probe_line(full) == (
        "sent on purpose: payload request; B's token; HTTP 413; challenge Bearer error=x; "
        "its answer carried another call's mark; it said: no"
    )


def test_a_finding_may_tell_no_times_and_still_be_shown() -> None:
    """Some opinions are on the whole run and name no call."""
    bare = Finding(verdict="token-burn", ruling="fail", fault="1:tcp-latency", why="12 times")
    judgement = judgement_of_a_storm()
    report = make(
        evidence_of_a_storm(),
        type(judgement)(**{**judgement.__dict__, "findings": (bare,)}),
        FACTS,
    )
    one = the_only(report)
    assert (one.first_s, one.who, one.sequel) == (None, "", "")
    assert one.when.startswith("tcp-latency")
    assert "token-burn" in page(report)
