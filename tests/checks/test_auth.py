from __future__ import annotations

from typing import Any

import pytest

from faults.identity import NoToken, TokenExpire, TokenRevoke
from harness.checks import auth
from harness.evidence.phases import Evidence
from harness.journal import Calls, SampleEntry, TokenEntry
from harness.outcome import Auth, Outcome, Reason
from tests.checks import cases
from tests.checks.cases import LIST
from tests.journals import NOTE, SEARCH, S, Spoil, end, storm

EXPIRED = "1:token-expire"


def presenting(
    credential: Auth, outcome: Outcome, status: int, reason: Reason = Reason.NONE, count: int = 6
) -> Spoil:
    """Let some treated searches present a credential that is no good, and end so."""

    def spoil(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW), count)
        end(made, chosen, outcome, reason, status=status)
        made["auth"][chosen] = credential

    return spoil


def expired(spoil: Spoil, **options: Any) -> Evidence:
    """Make a run in which tokens expire."""
    return cases.run(TokenExpire(), auth={}, spoil=spoil, **options)


@pytest.mark.parametrize("credential", [Auth.EXPIRED, Auth.REVOKED, Auth.ABSENT, Auth.DAMAGED])
def test_a_401_is_the_right_refusal(credential: Auth) -> None:
    """Refused with 401: all three questions pass."""
    of = expired(presenting(credential, Outcome.HTTP_ERROR, 401, Reason.HTTP_STATUS))
    for check in auth.CHECKS:
        assert cases.one(check(of)).ruling == "pass"
    assert cases.failed(of) == set()


@pytest.mark.parametrize("credential", [Auth.EXPIRED, Auth.REVOKED, Auth.ABSENT, Auth.DAMAGED])
def test_being_served_on_an_invalid_token_is_a_bypass(credential: Auth) -> None:
    """One answer under a credential that is no good is enough, whichever way it is none."""
    of = expired(presenting(credential, Outcome.OK, 200, count=1))
    assert cases.failed(of) == {("authn-bypass", EXPIRED)}
    finding = cases.one(auth.authn_bypass(of))
    assert finding.hard
    assert len(finding.evidence) == 1


@pytest.mark.parametrize("status", [400, 403, 500])
def test_a_refusal_that_is_no_401_is_a_wrong_status(status: int) -> None:
    """403 tells a client to give up, and 500 to try the same again."""
    of = expired(presenting(Auth.EXPIRED, Outcome.HTTP_ERROR, status, Reason.HTTP_STATUS))
    assert cases.failed(of) == {("wrong-status", EXPIRED)}


def test_a_jsonrpc_error_under_200_is_a_wrong_status() -> None:
    """Refused, but nothing that an HTTP client would renew its token on."""
    of = expired(presenting(Auth.EXPIRED, Outcome.PROTOCOL_ERROR, 200, Reason.JSONRPC_ERROR))
    assert cases.failed(of) == {("wrong-status", EXPIRED)}


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.TOOL_ERROR, Reason.TOOL_ERROR),
        (Outcome.WRONG, Reason.NONCE_MISSING),
        (Outcome.WRONG, Reason.EXPECTATION),
    ],
)
def test_a_refusal_in_the_tools_own_words_is_masked(outcome: Outcome, reason: Reason) -> None:
    """200 with the refusal as text: one charge, and no wrong answer beside it."""
    of = expired(presenting(Auth.EXPIRED, outcome, 200, reason))
    assert cases.failed(of) == {("auth-masked", EXPIRED)}


@pytest.mark.parametrize("status", [404, 413, 429, 503])
def test_a_refusal_for_another_reason_is_not_judged(status: int) -> None:
    """A session that is gone, a body too large, a server too busy: nothing about the token."""
    of = expired(presenting(Auth.EXPIRED, Outcome.HTTP_ERROR, status, Reason.HTTP_STATUS))
    for check in auth.CHECKS:
        assert cases.one(check(of)).ruling == "unknown"


def test_a_cut_connection_says_nothing_about_a_credential() -> None:
    """No reply, no opinion."""
    of = expired(presenting(Auth.EXPIRED, Outcome.TRANSPORT_ERROR, 0, Reason.RESET))
    assert cases.one(auth.authn_bypass(of)).ruling == "unknown"


@pytest.mark.parametrize("fault", [TokenExpire(), TokenRevoke(), NoToken()])
def test_a_fault_of_identity_that_no_call_met_is_unknown(
    fault: TokenExpire | TokenRevoke | NoToken,
) -> None:
    """The question was asked and could not be answered."""
    of = cases.run(fault, auth={})
    for check in auth.CHECKS:
        finding = cases.one(check(of))
        assert (finding.ruling, finding.why) == (
            "unknown",
            "no attempt under an invalid credential came to a reply",
        )


def test_a_run_without_tokens_is_asked_nothing() -> None:
    """No authorization, no finding of any kind."""
    of = storm()
    assert [check(of) for check in auth.CHECKS] == [(), (), ()]


def test_listing_without_a_token_may_be_public() -> None:
    """Being told what there is, with no token at all, is no bypass; calling a tool is."""

    def anonymous(outcome: Outcome, call: int) -> Evidence:
        return cases.run(
            NoToken(),
            steps=(LIST, SEARCH),
            auth={},
            more=lambda made: [
                cases.preludes(
                    made,
                    cases.some(cases.kind(made, call, cases.WINDOW), 3),
                    "no_token",
                    outcome,
                    auth=Auth.ABSENT,
                )
            ],
        )

    assert cases.failed(anonymous(Outcome.OK, 0)) == set()
    assert cases.failed(anonymous(Outcome.OK, 1)) == {("authn-bypass", "1:no-token")}


def test_a_sampled_401_without_a_challenge_is_a_wrong_status() -> None:
    """The specification wants `WWW-Authenticate` on every 401; a sample shows its absence."""
    for text, verdicts in (
        ("http status 401", {("wrong-status", EXPIRED)}),
        ('http status 401; challenge: Bearer resource_metadata="x"', set()),
        ("x" * 300, set()),
    ):
        spoil = presenting(Auth.EXPIRED, Outcome.HTTP_ERROR, 401, Reason.HTTP_STATUS)
        row = cases.run(TokenExpire(), auth={}, spoil=spoil).calls
        row = row[row["auth"] == Auth.EXPIRED][0]
        sample = SampleEntry(
            at_ns=13 * S,
            session=int(row["session"]),
            index=int(row["index"]),
            attempt=1,
            text=text,
        )
        assert cases.failed(expired(spoil, extra=[sample])) == verdicts


def test_a_bypass_in_an_effect_is_one_finding() -> None:
    """A write that went through under an expired token is a bypass and nothing else."""

    def spoil(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 1, cases.WINDOW), 2)
        made["auth"][chosen] = Auth.EXPIRED

    assert cases.failed(expired(spoil, steps=(SEARCH, NOTE))) == {("authn-bypass", EXPIRED)}


def token(session: int, at_s: float, expires_s: float) -> TokenEntry:
    """Say that a session got a token."""
    return TokenEntry(
        at_ns=round(at_s * S), session=session, edge="renewed", expires_ns=round(expires_s * S)
    )


@pytest.mark.parametrize(
    ("fault", "expires_s", "ruling"),
    [
        (TokenExpire(), 14.0, "pass"),
        (TokenExpire(), 60.0, "unknown"),
        (TokenRevoke(), 60.0, "pass"),
    ],
    ids=["just-expired", "good", "revoked"],
)
def test_a_refusal_within_the_leeway_is_proof_enough(
    fault: TokenExpire | TokenRevoke, expires_s: float, ruling: str
) -> None:
    """A strict server refuses at once; the leeway only forbids to blame one that does not."""

    def refuse(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, (14.1, 15.0)), 4)
        end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=401)

    tokens = [token(number, 11.0, expires_s) for number in range(20)]
    of = cases.run(fault, auth={}, spoil=refuse, extra=tokens)
    assert [cases.one(check(of)).ruling for check in auth.CHECKS] == [ruling] * 3
