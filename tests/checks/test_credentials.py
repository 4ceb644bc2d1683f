from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faults.credentials import AudWrong, ClockSkew, RefreshAsAccess, ScopeDeny, SharedCredential
from faults.fault import Fault
from faults.identity import NoToken
from faults.issuers import JwksRotate
from harness.checks import auth, credentials
from harness.evidence.phases import Evidence
from harness.journal import BEHAVIOUR_CODES, Calls, EffectEntry, Journal
from harness.outcome import Auth, Outcome, Reason
from harness.plan import make
from harness.scenario.marks import PRELUDE_INDEX
from tests import journals
from tests.checks import cases

DENIED = "1:scope-deny"
REFUSED = (Outcome.HTTP_ERROR, 403, Reason.HTTP_STATUS)
UNAUTHORIZED = (Outcome.HTTP_ERROR, 401, Reason.HTTP_STATUS)
OK = (Outcome.OK, 200, Reason.NONE)
EMPTY = (Outcome.WRONG, 200, Reason.NONCE_MISSING)
ERROR = (Outcome.TOOL_ERROR, 200, Reason.TOOL_ERROR)
LOST = (Outcome.TRANSPORT_ERROR, 0, Reason.RESET)
End = tuple[Outcome, int, Reason]


def preludes(
    behaviour: str, end: End, credential: Auth, call: int = 1, count: int = 6
) -> Callable[[Calls], Iterable[Calls]]:
    """Let some treated calls be preceded by one under such a token, which ends so."""

    def more(made: Calls) -> Iterable[Calls]:
        chosen = cases.some(cases.kind(made, call, cases.WINDOW), count)
        rows = made[chosen].copy()
        rows["attempt"], rows["last"], rows["window"] = 0, 0, 1
        rows["behaviour"], rows["auth"] = BEHAVIOUR_CODES[behaviour], credential
        rows["outcome"], rows["status"], rows["reason"] = end
        rows["effect"] = 0
        yield rows

    return more


def wrote(made: Journal) -> Journal:
    """Let the ledger show what every prelude asked for, too."""
    plan = make(journals.scenario(journals.window(ScopeDeny()), auth={}))
    odd = made.calls[made.calls["attempt"] == 0]
    entries = [
        EffectEntry(
            at_ns=int(row["done_ns"]),
            key=plan.nonce(int(row["session"]), PRELUDE_INDEX + int(row["index"])),
        )
        for row in odd
    ]
    return replace(made, entries=tuple(sorted((*made.entries, *entries), key=lambda e: e.at_ns)))


def run(fault: Fault, more: Any, **options: Any) -> Evidence:
    """Make a run with tokens and one fault."""
    return cases.run(fault, auth={}, more=more, **options)


def narrow(end: End, **options: Any) -> Evidence:
    """Make a run whose writes are first tried under a token that may only read."""
    return run(ScopeDeny(), preludes("narrow_token", end, Auth.NARROW), **options)


@pytest.mark.parametrize("end", [REFUSED, ERROR, UNAUTHORIZED])
def test_a_refused_write_is_right_whatever_its_form(end: End) -> None:
    """403 is the rule, and an error that the model can read does no harm."""
    of = narrow(end)
    assert [finding.ruling for finding in credentials.scope(of)] == ["pass", "pass"]
    assert cases.failed(of) == set()


def test_a_write_that_took_effect_is_a_bypass_even_when_it_was_refused() -> None:
    """The ledger outranks the answer."""
    of = narrow(REFUSED, ledger=wrote)
    assert cases.failed(of) == {("scope-bypass", DENIED)}
    finding = credentials.scope(of)[0]
    assert finding.hard
    assert len(finding.evidence) == 6
    assert all(name.endswith(".0") for name in finding.evidence)


def test_a_write_that_was_done_and_said_so_is_one_bypass() -> None:
    """And no masked refusal beside it."""
    assert cases.failed(narrow(OK, ledger=wrote)) == {("scope-bypass", DENIED)}


@pytest.mark.parametrize("end", [OK, EMPTY])
def test_an_answer_that_did_nothing_is_a_masked_refusal(end: End) -> None:
    """The model takes it for done."""
    assert cases.failed(narrow(end)) == {("auth-masked", DENIED)}


def test_without_a_ledger_the_answer_counts() -> None:
    """What holds all that the step expects was done."""

    def unwritten(made: Journal) -> Journal:
        kept = tuple(entry for entry in made.entries if not isinstance(entry, EffectEntry))
        return replace(made, entries=kept)

    of = narrow(OK, ledger=unwritten)
    assert cases.failed(of) >= {("scope-bypass", DENIED)}


def test_a_cut_connection_says_nothing_of_scopes() -> None:
    """No reply, no opinion; and the question is not asked where no such fault was planned."""
    assert {finding.ruling for finding in credentials.scope(narrow(LOST))} == {"unknown"}
    for check in credentials.CHECKS:
        assert check(cases.run(auth={})) == ()


@pytest.mark.parametrize(
    ("end", "verdict"),
    [(UNAUTHORIZED, ""), (OK, "audience-bypass"), ((Outcome.HTTP_ERROR, 500, Reason.HTTP_STATUS),
     "wrong-status"), (EMPTY, "auth-masked")],
)  # fmt: skip
def test_a_token_for_another_resource_opens_nothing(end: End, verdict: str) -> None:
    """401 is right, an answer is a bypass of its own name, anything else a wrong status."""
    of = run(AudWrong(), preludes("misdirected_token", end, Auth.MISDIRECTED, call=0))
    assert cases.failed(of) == ({(verdict, "1:aud-wrong")} if verdict else set())
    if not verdict:
        assert cases.one(credentials.audience(of)).ruling == "pass"


def test_no_answer_under_another_resources_token_is_unknown() -> None:
    """Nothing was learned."""
    of = run(AudWrong(), preludes("misdirected_token", LOST, Auth.MISDIRECTED, call=0))
    assert cases.one(credentials.audience(of)).ruling == "unknown"


@pytest.mark.parametrize(("end", "failed"), [(UNAUTHORIZED, False), (OK, True)])
def test_a_refresh_token_is_no_access_token(end: End, failed: bool) -> None:
    """Whatever its signature says."""
    of = run(RefreshAsAccess(), preludes("unsuited_token", end, Auth.UNSUITED, call=0))
    assert cases.failed(of) == ({("authn-bypass", "1:refresh-as-access")} if failed else set())


@pytest.mark.parametrize(("end", "failed"), [(UNAUTHORIZED, False), (OK, True)])
def test_a_withdrawn_key_opens_nothing_once_its_time_is_over(end: End, failed: bool) -> None:
    """Where the scenario says how long that is."""
    fault = JwksRotate.model_validate({"within": "2s"})
    of = run(fault, preludes("withdrawn_token", end, Auth.WITHDRAWN, call=0))
    assert cases.failed(of) == ({("authn-bypass", "1:jwks-rotate")} if failed else set())


def test_a_withdrawn_key_is_asked_about_only_where_its_time_was_said() -> None:
    """Usual libraries keep a key set for longer than a fault lasts; unanswered, it is unknown."""
    assert auth.authn_bypass(run(JwksRotate(), None)) == ()
    fault = JwksRotate.model_validate({"within": "2s"})
    of = run(fault, preludes("withdrawn_token", LOST, Auth.WITHDRAWN, call=0))
    assert cases.one(auth.authn_bypass(of)).ruling == "unknown"


@pytest.mark.parametrize(
    ("end", "credential", "verdict"),
    [
        (OK, Auth.VALID, ""),
        (UNAUTHORIZED, Auth.VALID, "wrong-status"),
        (UNAUTHORIZED, Auth.SKEWED, ""),
        (OK, Auth.SKEWED, "authn-bypass"),
    ],
)
def test_a_clock_may_be_off_by_a_little_and_not_by_much(
    end: End, credential: Auth, verdict: str
) -> None:
    """Two ways to be wrong, each with a name."""
    of = run(ClockSkew(), preludes("skewed_token", end, credential, call=0))
    assert cases.failed(of) == ({(verdict, "1:clock-skew")} if verdict else set())


def test_a_skewed_token_that_met_no_answer_is_unknown() -> None:
    """As ever."""
    of = run(ClockSkew(), preludes("skewed_token", LOST, Auth.VALID, call=0))
    assert cases.one(credentials.skew(of)).ruling == "unknown"
    assert cases.one(auth.authn_bypass(of)).ruling == "unknown"


def test_evidence_names_the_attempts_that_were_served() -> None:
    """Attempt 0 of the calls, at most ten."""
    of = run(AudWrong(), preludes("misdirected_token", OK, Auth.MISDIRECTED, call=0, count=14))
    finding = cases.one(credentials.audience(of))
    assert len(finding.evidence) == 10
    assert finding.observed == 14
    assert np.all([name.endswith(".0") for name in finding.evidence])
    assert finding.fault == "1:aud-wrong"


def served(made: Calls) -> None:
    """Nobody was asked for a token."""
    made["auth"] = Auth.NONE_NEEDED


def asked(made: Calls) -> None:
    """Every call had a good one."""
    made["auth"] = Auth.VALID


def test_an_open_door_where_a_key_was_given_is_a_bypass_with_no_fault() -> None:
    """The target was told whom to trust and trusts everybody."""
    of = cases.run(auth={"issuer": "embedded"}, spoil=served)
    (finding,) = credentials.open_door(of)
    assert (finding.verdict, finding.ruling, finding.fault) == ("authn-bypass", "fail", "")
    assert finding.hard
    assert finding.evidence
    assert credentials.open_door(cases.run(auth={"issuer": "embedded"}, spoil=asked)) == ()


def test_a_target_with_an_issuer_of_its_own_may_be_open_on_purpose() -> None:
    """Unless calls without a token are what the scenario is about."""
    assert credentials.open_door(cases.run(auth={"issuer": "target"}, spoil=served)) == ()
    assert credentials.open_door(cases.run(spoil=served)) == ()
    of = cases.run(NoToken(), auth={"issuer": "target"}, spoil=served)
    assert cases.one(credentials.open_door(of)).fault == ""


def sharing(status: int, bad: int) -> Evidence:
    """Make a run in which `bad` of six sessions are refused after others came in on their token."""
    more = preludes("share_token", OK, Auth.VALID, call=0)

    def spoil(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW), 6)[:bad]
        journals.end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=status)

    return run(SharedCredential(), more, spoil=spoil)


def test_sessions_that_share_a_token_all_go_on() -> None:
    """And one that is lost now and then is lost for another reason; a 503 says nothing."""
    assert cases.one(credentials.sharing(sharing(404, 0))).ruling == "pass"
    assert cases.one(credentials.sharing(sharing(404, 1))).ruling == "pass"
    assert cases.one(credentials.sharing(sharing(503, 6))).ruling == "pass"


@pytest.mark.parametrize("status", [401, 404])
def test_a_session_that_a_later_login_ends_is_named(status: int) -> None:
    """Whether the session or the token is what is gone."""
    finding = cases.one(credentials.sharing(sharing(status, 5)))
    assert (finding.verdict, finding.fault) == ("no-recovery", "1:shared-credential")
    assert (finding.ruling, finding.observed) == ("fail", 5)
    assert all(name.endswith(".1") for name in finding.evidence)


def test_no_opening_under_a_token_in_use_is_unknown() -> None:
    """Nothing was tried."""
    of = run(SharedCredential(), preludes("share_token", LOST, Auth.VALID, call=0))
    assert cases.one(credentials.sharing(of)).ruling == "unknown"
