"""Other stacks behave otherwise: what is right there, what is a defect, and what is not judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.agent import ClientVanish, PayloadRequest
from faults.agent_calls import CallCancel
from faults.network import TcpSlice
from harness.journal import Calls, SessionEntry
from harness.outcome import Outcome, Reason
from tests.checks import cases
from tests.journals import MS, S, Spoil, end

Prelude = Callable[[Calls], list[Calls]]


def died(said: str, *sessions: int) -> tuple[SessionEntry, ...]:
    """Sessions that ended with these words of their client, and began anew at once."""
    entries: list[SessionEntry] = []
    for number in sessions:
        at_ns = 14 * S + number
        entries += [
            SessionEntry(at_ns=at_ns, session=number, edge="lost", era="legacy", why=said),
            SessionEntry(at_ns=at_ns + MS, session=number, edge="reopened", era="legacy"),
        ]
    return tuple(entries)


def preceded(
    behaviour: str, outcome: Outcome, reason: Reason = Reason.NONE, status: int = 0
) -> Prelude:
    """Let some treated calls of the window be preceded by such an attempt."""

    def more(made: Calls) -> list[Calls]:
        which = cases.some(cases.kind(made, 0, cases.WINDOW), 12)
        return [
            cases.preludes(made, which, behaviour, outcome, reason=reason, status=status),
        ]

    return more


def everywhere(outcome: Outcome, reason: Reason, status: int = 200) -> Spoil:
    """Let a few searches of both arms end so, with nothing broken yet."""

    def spoil(made: Calls) -> None:
        for treated in (0, 1):
            which = cases.some(cases.kind(made, 0, cases.BASELINE, treated), 5)
            end(made, which, outcome, reason, status=status)

    return spoil


def test_404_for_a_dead_session_is_right_and_a_naive_servers_400_is_named() -> None:
    """A session map of the application's own answers 404; without one it is 400, and no other."""
    assert cases.failed(cases.run(TcpSlice(), extra=died("http 404 -32001", 1, 2, 3))) == set()
    naive = cases.failed(cases.run(TcpSlice(), extra=died("http 400 Server not initialized", 1, 2)))
    assert {verdict for verdict, _ in naive} == {"wrong-status"}


@pytest.mark.parametrize(
    ("outcome", "reason", "status"),
    [
        (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, 200),  # code 0, -32601, -32602, -32800
        (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, 400),
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 400),  # text/plain or HTML
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 406),
        (Outcome.TOOL_ERROR, Reason.TOOL_ERROR, 200),
    ],
)
def test_an_error_is_an_error_in_whatever_dress_it_comes(
    outcome: Outcome, reason: Reason, status: int
) -> None:
    """Unknown tools and methods, missing ids and wrong headers are refused in many ways."""
    assert cases.failed(cases.run(TcpSlice(), spoil=everywhere(outcome, reason, status))) == set()


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome.ABANDONED, Reason.CANCELLED),  # never answered, the stream left open
        (Outcome.TOOL_ERROR, Reason.TOOL_ERROR),  # "context canceled", at once
        (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR),  # -32800
    ],
)
def test_a_cancelled_call_may_be_answered_or_not(outcome: Outcome, reason: Reason) -> None:
    """Neither is a hang: the client has called it off."""
    fault = CallCancel()
    of = cases.run(fault, more=preceded("cancel_call", outcome, reason))
    assert cases.failed(of) == set()


def test_work_may_go_on_when_a_client_of_the_legacy_era_vanishes() -> None:
    """To vanish is not to cancel there, so it is nobody's orphan."""
    of = cases.run(
        ClientVanish(),
        more=preceded("vanish", Outcome.ABANDONED, Reason.VANISHED),
        era="legacy",
    )
    assert cases.failed(of) == set()


@pytest.mark.parametrize(
    ("outcome", "reason", "status"),
    [
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 413),
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 400),
        (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, 200),
        (Outcome.TRANSPORT_ERROR, Reason.RESET, 0),  # some builds, while the body is sent
    ],
)
def test_a_body_over_the_limit_is_refused_in_any_of_these_ways(
    outcome: Outcome, reason: Reason, status: int
) -> None:
    """Ugly is not wrong."""
    of = cases.run(PayloadRequest(), more=preceded("payload_request", outcome, reason, status))
    assert cases.failed(of) == set()


def test_a_process_that_a_panic_ended_is_a_crash() -> None:
    """On stacks where one tool's panic is everybody's end."""
    of = cases.run(
        TcpSlice(),
        extra=[*cases.vitals((5.0, 60.0), (13.0, 60.0)), *cases.vitals((15.0, None), alive=False)],
    )
    assert "crash" in {verdict for verdict, _ in cases.failed(of)}


@pytest.mark.parametrize(
    ("reason", "verdict"),
    [(Reason.FOREIGN_NONCE, "crosstalk"), (Reason.NONCE_MISSING, "wrong-answer")],
)
def test_a_mix_up_that_needs_no_fault_is_the_servers_own(reason: Reason, verdict: str) -> None:
    """In both arms and at the baseline: a finding, and no fault is blamed for it."""
    of = cases.run(TcpSlice(), spoil=everywhere(Outcome.WRONG, reason))
    assert cases.failed(of) == {(verdict, "")}


def test_an_empty_answer_that_needs_no_fault_is_the_servers_own() -> None:
    """Where the author says that there are rows."""

    def empty(made: Calls) -> None:
        for treated in (0, 1):
            which = cases.some(cases.kind(made, 0, cases.BASELINE, treated), 5)
            end(made, which, Outcome.WRONG, Reason.ROWS, status=200)
            made["rows"][which] = 0

    of = cases.run(TcpSlice(), steps=(cases.ROWS,), spoil=empty)
    assert cases.failed(of) == {("silent-empty", "")}
