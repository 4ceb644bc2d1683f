from __future__ import annotations

from typing import Any

import pytest

from faults.network import TcpReset, TcpSlice, TcpTruncate
from harness.checks import protocol
from harness.journal import Calls, SessionEntry
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.journals import S, Spoil, end, storm

BROKEN = [
    Reason.MALFORMED_HTTP,
    Reason.ENCODED,
    Reason.WRONG_CONTENT_TYPE,
    Reason.MALFORMED_JSON,
    Reason.NOT_JSONRPC,
    Reason.NO_REPLY,
    Reason.MALFORMED_SSE,
]


def lost(session: int, at_s: float, why: str, era: str = "legacy") -> SessionEntry:
    """Say that a session was found dead."""
    return SessionEntry(at_ns=round(at_s * S), session=session, edge="lost", era=era, why=why)


def back(session: int, at_s: float) -> SessionEntry:
    """Say that it was opened anew."""
    return SessionEntry(at_ns=round(at_s * S), session=session, edge="reopened", era="legacy")


# --- dead sessions --------------------------------------------------------------------------


def test_a_dead_session_answered_404_passes() -> None:
    """404 is the rule, and the client opened anew."""
    of = cases.run(extra=[lost(1, 5.0, "http 404 http_status"), back(1, 5.1)])
    finding = cases.one(protocol.dead_session_status(of))
    assert (finding.ruling, finding.observed) == ("pass", 0.0)


def test_a_dead_session_answered_400_fails_and_says_what_it_prevents() -> None:
    """The MUST is named, and so is the recovery that does not happen."""

    def refuse(made: Calls) -> None:
        chosen = (made["session"] == 3) & (made["due_ns"] > 5 * S)
        end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=400)

    extra = [lost(3, 5.0 + n, "http 400 http_status No valid session ID") for n in range(3)]
    of = cases.run(spoil=refuse, extra=extra)
    finding = cases.one(protocol.dead_session_status(of))
    assert (finding.verdict, finding.ruling, finding.observed) == ("wrong-status", "fail", 1.0)
    assert "404" in finding.source
    assert "stay dead" in finding.why
    assert finding.evidence[0].startswith("s3.")


def test_nothing_but_400_to_the_end_is_a_dead_session_without_its_clients_word() -> None:
    """A server that does not mention the session in its refusal is found out all the same."""

    def refuse(made: Calls) -> None:
        chosen = (made["session"] == 3) & (made["due_ns"] > 5 * S)
        end(made, chosen, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=400)

    finding = cases.one(protocol.dead_session_status(cases.run(spoil=refuse)))
    assert (finding.ruling, finding.observed) == ("fail", 1.0)
    # In the modern era there is no session that could die.
    assert protocol.dead_session_status(cases.run(spoil=refuse, era="modern")) == ()


def test_a_tool_that_is_always_refused_does_not_make_its_session_dead() -> None:
    """400 for one kind of call, while others are answered, is about the call."""

    def refuse(made: Calls) -> None:
        end(made, made["call"] == 0, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=400)

    assert protocol.dead_session_status(cases.run(spoil=refuse)) == ()


def test_a_run_that_ends_on_refused_calls_does_not_make_its_sessions_dead() -> None:
    """A kind of call that nobody is ever answered on says nothing about a session."""
    names = ("good", "bad", "worse", "worst")
    kinds: list[dict[str, Any]] = [{"call": name, "with": {}} for name in names]

    def refuse(made: Calls) -> None:
        end(made, made["call"] > 0, Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status=400)

    assert protocol.dead_session_status(cases.run(steps=kinds, spoil=refuse)) == ()


def test_a_wrong_status_in_the_control_arm_as_well_blames_no_fault() -> None:
    """Sessions of both arms died while a fault was in force on one: one finding, no fault."""
    words = "http 400 no session"
    arms = {who.arm: who.session for who in storm(TcpReset()).plan.sessions}
    alone = cases.run(TcpReset(), extra=[lost(arms["treated"], 14.0, words)])
    assert cases.one(protocol.dead_session_status(alone)).fault == "1:tcp-reset"
    both = cases.run(TcpReset(), extra=[lost(number, 14.0, words) for number in arms.values()])
    finding = cases.one(protocol.dead_session_status(both))
    assert (finding.fault, finding.observed) == ("", 2.0)


def test_a_rule_of_the_legacy_era_is_not_judged_on_a_modern_run() -> None:
    """Sessions do not exist there, whatever the server says."""
    of = cases.run(extra=[lost(1, 5.0, "http 400 bad", era="modern")], era="modern")
    assert protocol.dead_session_status(of) == ()


def test_a_session_lost_with_its_connection_says_nothing_of_statuses() -> None:
    """Only a status in the client's own words counts, and no death is no question."""
    of = cases.run(extra=[lost(1, 5.0, "reset 4000 bytes in")])
    assert protocol.dead_session_status(of) == ()
    assert protocol.dead_session_status(storm()) == ()


# --- schemas and grammars -------------------------------------------------------------------


def test_a_result_that_breaks_its_own_schema_is_drift_and_nothing_else() -> None:
    """One charge a call: drift is no wrong answer as well."""

    def drift(made: Calls) -> None:
        chosen = cases.some(cases.kind(made, 0, cases.WINDOW), 4)
        end(made, chosen, Outcome.WRONG, Reason.SCHEMA, status=200)

    of = cases.run(TcpSlice(), spoil=drift)
    assert cases.failed(of) == {("schema-drift", "1:tcp-slice")}
    assert not cases.one(protocol.schema_drift(of)).hard


def breaking(reason: Reason, outcome: Outcome = Outcome.PROTOCOL_ERROR, status: int = 200) -> Spoil:
    """Let the treated searches of the window end so."""

    def spoil(made: Calls) -> None:
        end(made, cases.kind(made, 0, cases.WINDOW), outcome, reason, status=status)

    return spoil


@pytest.mark.parametrize("reason", BROKEN)
def test_a_reply_that_breaks_a_grammar_on_a_whole_wire_is_a_wrong_answer(reason: Reason) -> None:
    """Small pieces carry the same bytes, so what they break was broken before."""
    assert cases.failed(cases.run(TcpSlice(), spoil=breaking(reason))) == {
        ("wrong-answer", "1:tcp-slice")
    }


@pytest.mark.parametrize("reason", BROKEN)
@pytest.mark.parametrize("fault", [TcpTruncate(), TcpReset()])
def test_what_a_cut_wire_breaks_is_the_wires(reason: Reason, fault: TcpTruncate | TcpReset) -> None:
    """No reply can be whole on a wire that ends in the middle of it."""
    assert cases.failed(cases.run(fault, spoil=breaking(reason))) == set()


REFUSALS: list[tuple[str, Any]] = [
    ("error code 0 under 200", breaking(Reason.JSONRPC_ERROR)),
    ("unknown method", breaking(Reason.JSONRPC_ERROR, status=404)),
    ("body too large", breaking(Reason.HTTP_STATUS, Outcome.HTTP_ERROR, 413)),
    ("too busy", breaking(Reason.HTTP_STATUS, Outcome.HTTP_ERROR, 429)),
    ("foreign host", breaking(Reason.HTTP_STATUS, Outcome.HTTP_ERROR, 403)),
    ("misdirected", breaking(Reason.HTTP_STATUS, Outcome.HTTP_ERROR, 421)),
    ("plain text or HTML under 400", breaking(Reason.HTTP_STATUS, Outcome.HTTP_ERROR, 400)),
    ("isError", breaking(Reason.TOOL_ERROR, Outcome.TOOL_ERROR)),
]


@pytest.mark.parametrize("spoil", [spoil for _, spoil in REFUSALS], ids=[n for n, _ in REFUSALS])
def test_a_server_that_refuses_politely_comes_out_clean(spoil: Spoil) -> None:
    """An error that says it is one is no defect, whatever its code or body."""
    assert cases.failed(cases.run(TcpSlice(), spoil=spoil)) == set()


def test_no_answer_at_all_is_unknown() -> None:
    """Nobody can say that replies are well-formed where there are none."""

    def silence(made: Calls) -> None:
        end(made, slice(None), Outcome.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)

    of = cases.run(spoil=silence)
    assert cases.one(protocol.malformed(of)).ruling == "unknown"
    assert cases.one(protocol.schema_drift(of)).ruling == "unknown"
