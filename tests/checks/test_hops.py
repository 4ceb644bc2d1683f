from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from faults.credentials import OTHER_USER, IdentityHop
from harness.checks import hops
from harness.evidence.phases import Evidence
from harness.journal import Calls, DependencyEntry, Journal
from harness.outcome import Auth, Outcome
from harness.scenario.auth import client_of
from harness.scenario.marks import PRELUDE_INDEX
from tests import journals
from tests.checks import cases

HOP = "1:identity-hop"
Ledger = Callable[[Journal], Journal]


def seen(
    *,
    user: Callable[[bool], str] = lambda treated: client_of("treated" if treated else "control"),
    credential: str = "own",
    tokens: int = 1,
    other: str = OTHER_USER,
) -> Ledger:
    """Let every search reach the dependency, in a name and with a credential."""

    def ledger(made: Journal) -> Journal:
        marks = journals.plan(journals.scenario()).marks
        entries: list[Any] = [
            DependencyEntry(
                at_ns=int(row["sent_ns"]),
                operation="rows",
                key=marks.nonce(
                    int(row["session"]),
                    int(row["index"]) + (PRELUDE_INDEX if row["attempt"] == 0 else 0),
                ),
                subject=other if row["attempt"] == 0 else user(bool(row["treated"])),
                credential=credential,  # type: ignore[arg-type]
                status=200,
                executed=True,
                answered=True,
            )
            for row in made.calls
            if row["call"] == 0
        ]
        entries += [
            DependencyEntry(at_ns=number, operation="token", status=200) for number in range(tokens)
        ]
        return replace(made, entries=tuple(sorted((*made.entries, *entries), key=by_time)))

    return ledger


def by_time(entry: Any) -> int:
    """When it was."""
    return int(entry.at_ns)


def run(ledger: Ledger, **options: Any) -> Evidence:
    """Make a run of two users beside a dependency."""
    options.setdefault("auth", {"issuer": "embedded"})
    return cases.run(IdentityHop(), ledger=ledger, **options)


def hopping(made: Calls) -> Sequence[Calls]:
    """Let some treated searches be made by another user first."""
    chosen = cases.some(cases.kind(made, 0, cases.WINDOW), 12)
    return [cases.preludes(made, chosen, "hop_user", Outcome.OK, auth=Auth.VALID)]


def test_a_target_that_acts_for_whoever_asked_is_right() -> None:
    """Each in their own name, the other user's calls too, by a credential of its own."""
    of = run(seen(), more=hopping)
    for check in hops.CHECKS:
        assert cases.one(check(of)).ruling == "pass"
    assert cases.failed(of) == set()


def test_work_in_another_users_name_is_a_mix_up_with_no_fault() -> None:
    """It happens wherever two users call at once, so no fault is to blame."""
    of = run(seen(user=lambda treated: client_of("control" if treated else "treated")))
    assert cases.failed(of) == {("crosstalk", "")}
    finding = cases.one(hops.right_user(of))
    assert finding.hard
    assert len(finding.evidence) == 10


def test_another_users_call_in_ones_own_name_is_a_mix_up_under_its_fault() -> None:
    """Only those calls are wrong, and they are the fault's."""
    of = run(seen(other=client_of("treated")), more=hopping)
    finding = cases.one(hops.right_user(of))
    assert (finding.ruling, finding.fault, finding.observed) == ("fail", HOP, 12)
    assert all(name.endswith(".0") for name in finding.evidence)


@pytest.mark.parametrize("subject", ["", "target", "a-service-account"])
def test_a_target_that_names_no_user_there_is_not_judged(subject: str) -> None:
    """It may act for itself; who nobody knows is no mix-up."""
    assert hops.right_user(run(seen(user=lambda _: subject))) == ()
    foreign = run(seen(user=lambda _: client_of("control")), auth={"issuer": "target"})
    assert hops.right_user(foreign) == ()


def test_requests_of_no_known_call_are_unknown() -> None:
    """A user is named, and nobody can say whose call it was."""

    def strange(made: Journal) -> Journal:
        of = seen()(made)
        return replace(
            of,
            entries=tuple(
                replace(entry, key="nothing") if isinstance(entry, DependencyEntry) else entry
                for entry in of.entries
            ),
        )

    of = run(strange)
    assert cases.one(hops.right_user(of)).ruling == "unknown"
    assert cases.one(hops.own_credential(of)).ruling == "unknown"


def test_a_callers_token_that_is_passed_on_is_a_leak() -> None:
    """One is enough, at any time."""
    of = run(seen(credential="caller"))
    assert cases.failed(of) == {("secret-leak", "")}
    finding = cases.one(hops.own_credential(of))
    assert finding.hard
    assert finding.evidence


def test_a_leak_of_no_known_call_is_a_leak_all_the_same() -> None:
    """Without a nonce there is the ledger."""

    def strange(made: Journal) -> Journal:
        entry = DependencyEntry(at_ns=1, operation="rows", credential="caller", status=200)
        return replace(made, entries=(*made.entries, entry))

    finding = cases.one(hops.own_credential(run(strange)))
    assert (finding.ruling, finding.observed) == ("fail", 1)


@pytest.mark.parametrize(("tokens", "ruling"), [(1, "pass"), (19, "pass"), (900, "fail")])
def test_a_token_for_every_request_is_a_storm(tokens: int, ruling: str) -> None:
    """A few, however few the requests, are none."""
    finding = cases.one(hops.few_tokens(run(seen(tokens=tokens))))
    assert (finding.verdict, finding.ruling, finding.fault) == ("refresh-storm", ruling, "")
    assert bool(finding.evidence) is (ruling == "fail")


def test_tokens_that_served_nothing_are_unknown_and_none_are_no_question() -> None:
    """Bought and not used, or not sold at all."""

    def bought(made: Journal) -> Journal:
        entry = DependencyEntry(at_ns=1, operation="token", status=200)
        return replace(made, entries=(entry, *made.entries))

    assert cases.one(hops.few_tokens(run(bought))).ruling == "unknown"
    for check in hops.CHECKS:
        assert check(cases.run(auth={"issuer": "embedded"})) == ()
