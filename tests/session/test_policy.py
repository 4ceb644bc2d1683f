from __future__ import annotations

from typing import Any

import pytest

from harness.outcome import Effect, EndedBy, Outcome, Reason
from harness.scenario.records import Client
from harness.session.policy import Next, backoff_s, believed_effect, decide, session_is_lost
from harness.wire.reply import Reply

EVERY = ("transport_error", "timeout", "http_5xx", "http_429")
OK = Reply(outcome=Outcome.OK, status=200)
RESET = Reply(outcome=Outcome.TRANSPORT_ERROR, reason=Reason.RESET)
LATE = Reply(outcome=Outcome.TIMEOUT, reason=Reason.DEADLINE)
HUNG = Reply(outcome=Outcome.HANG, reason=Reason.HANG)
TOOL = Reply(outcome=Outcome.TOOL_ERROR, status=200)
WRONG = Reply(outcome=Outcome.WRONG, reason=Reason.NONCE_MISSING, status=200)
RPC = Reply(outcome=Outcome.PROTOCOL_ERROR, reason=Reason.JSONRPC_ERROR, status=200)


def http(status: int, detail: str = "", outcome: Outcome = Outcome.HTTP_ERROR) -> Reply:
    """An error by its status."""
    return Reply(outcome=outcome, reason=Reason.HTTP_STATUS, status=status, detail=detail)


def client(*on: str, attempts: int = 1, reinitialize_on: tuple[str, ...] = ("404",)) -> Client:
    """A client policy."""
    return Client.model_validate(
        {
            "retry": {"attempts": attempts, "on": on, "backoff": "200ms"},
            "reinitialize_on": reinitialize_on,
        }
    )


def ask(reply: Reply, policy: Client, **words: Any) -> Next:
    """Decide on a first attempt inside a session, with a token that can be renewed."""
    given: dict[str, Any] = {
        "attempt": 1, "renewed": False, "reopened": False, "can_renew": True, "has_session": True,
    }  # fmt: skip
    return decide(reply, client=policy, **(given | words))


@pytest.mark.parametrize(
    "reply", [OK, RESET, LATE, HUNG, TOOL, WRONG, RPC, http(500), http(429), http(400), http(403)]
)
def test_without_a_declared_retry_no_call_is_repeated(reply: Reply) -> None:
    """The specification asks for none of it."""
    assert ask(reply, client()) is Next.SETTLE


@pytest.mark.parametrize(
    ("reply", "words", "follow"),
    [
        (http(401), {}, Next.RENEW),
        (http(401), {"renewed": True}, Next.SETTLE),
        (http(401), {"can_renew": False}, Next.SETTLE),
        (http(401), {"has_session": False}, Next.RENEW),
        (http(404), {}, Next.REINITIALIZE),
        (http(404, outcome=Outcome.PROTOCOL_ERROR), {}, Next.REINITIALIZE),
        (http(404), {"reopened": True}, Next.SETTLE),
        (http(404), {"has_session": False}, Next.SETTLE),
        (http(404), {"renewed": True}, Next.REINITIALIZE),
        (http(401), {"reopened": True}, Next.RENEW),
        (http(403), {"can_widen": True}, Next.WIDEN),
        (http(403), {"can_widen": True, "can_renew": False}, Next.WIDEN),
        (http(401), {"can_widen": True, "renewed": True}, Next.SETTLE),
        (http(400, "Session not found"), {}, Next.SETTLE),
    ],
)
def test_a_refusal_is_answered_as_the_specification_demands(
    reply: Reply, words: dict[str, Any], follow: Next
) -> None:
    """One renewal after a 401 and one new session after a 404, for each logical call."""
    assert ask(reply, client(), **words) is follow


@pytest.mark.parametrize(
    ("reply", "on", "follow"),
    [
        (http(404), ("400",), Next.SETTLE),
        (http(404), (), Next.SETTLE),
        (http(400, "no valid SESSION id"), ("400",), Next.REINITIALIZE),
        (http(400, "no valid session id"), ("404", "400"), Next.REINITIALIZE),
        (http(400, "missing argument"), ("400",), Next.SETTLE),
    ],
)
def test_what_makes_a_session_anew_is_declared(
    reply: Reply, on: tuple[str, ...], follow: Next
) -> None:
    """A 400 counts only where the scenario says so and the server speaks of a session."""
    assert ask(reply, client(reinitialize_on=on)) is follow


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (RESET, "transport_error"), (LATE, "timeout"), (HUNG, "timeout"),
        (http(500), "http_5xx"), (http(503), "http_5xx"), (http(429), "http_429"),
    ],
)  # fmt: skip
def test_each_cause_of_a_retry_is_declared_by_itself(reply: Reply, cause: str) -> None:
    """Its own word and no other, while attempts are left."""
    for word in EVERY:
        expected = Next.RETRY if word == cause else Next.SETTLE
        assert ask(reply, client(word, attempts=3)) is expected
    assert ask(reply, client(*EVERY, attempts=3), attempt=2) is Next.RETRY
    assert ask(reply, client(*EVERY, attempts=3), attempt=3) is Next.SETTLE


@pytest.mark.parametrize("reply", [OK, TOOL, WRONG, RPC, http(400), http(403), http(413)])
def test_what_a_repeat_cannot_mend_is_never_repeated(reply: Reply) -> None:
    """An answer is an answer, whatever the policy."""
    assert ask(reply, client(*EVERY, attempts=10)) is Next.SETTLE


def test_no_server_can_draw_a_client_into_a_loop() -> None:
    """Whatever it answers, in whatever order, a call ends."""
    policy = client(*EVERY, attempts=4, reinitialize_on=("404", "400"))
    for reply in (http(401), http(404), http(400, "session"), http(503), http(429), RESET, HUNG):
        for other in (http(401), http(404), http(503)):
            attempt, done = 1, set[Next]()
            while True:
                follow = ask(
                    reply if attempt % 2 else other,
                    policy,
                    attempt=attempt,
                    renewed=Next.RENEW in done,
                    reopened=Next.REINITIALIZE in done,
                )
                if follow is Next.SETTLE:
                    break
                done.add(follow)
                attempt += 1
                assert attempt <= 6


def test_the_wait_doubles_after_every_attempt() -> None:
    """From the scenario's first one."""
    waits_s = [backoff_s(client(), attempt) for attempt in (1, 2, 3, 4)]
    assert waits_s == pytest.approx([0.2, 0.4, 0.8, 1.6])


@pytest.mark.parametrize(
    ("reply", "lost"),
    [
        (http(404), True), (http(400, "Bad session"), True), (http(400, "bad"), False),
        (http(400, "Server not initialized"), True),
        (http(500, "session"), False), (RESET, False), (OK, False),
    ],
)  # fmt: skip
def test_a_session_is_lost_when_the_server_says_so(reply: Reply, lost: bool) -> None:
    """In the right way, or in the known wrong one."""
    assert session_is_lost(reply) is lost


@pytest.mark.parametrize(
    ("reply", "effect"),
    [
        (OK, Effect.HAPPENED),
        (http(400), Effect.ABSENT),
        (http(499), Effect.ABSENT),
        (http(500), Effect.UNKNOWN),
        (RESET, Effect.UNKNOWN),
        (LATE, Effect.UNKNOWN),
        (WRONG, Effect.UNKNOWN),
        (TOOL, Effect.UNKNOWN),
        (
            Reply(outcome=Outcome.TRANSPORT_ERROR, ended_by=EndedBy.NEVER_SENT),
            Effect.ABSENT,
        ),
    ],
)
def test_a_lost_reply_leaves_the_effect_unknown(reply: Reply, effect: Effect) -> None:
    """Only an answer, a refusal or a call that never left says anything about the effect."""
    assert believed_effect(reply) is effect
