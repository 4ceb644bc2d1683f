"""What a client does after a reply it did not want; pure, the session carries it out.

That is the specification's MUSTs, and beyond them no more than the scenario declares.
"""

from __future__ import annotations

from enum import Enum

from harness.outcome import Effect, EndedBy, Outcome, Reason
from harness.scenario.records import Client
from harness.wire.reply import Reply

UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
BAD_REQUEST = 400
TOO_MANY = 429
REFUSALS = range(400, 500)
# What servers that keep no map of their sessions say of one that they do not know.
_NO_SESSION = ("session", "not initialized")


class Next(Enum):
    """The step after an attempt."""

    SETTLE = "the attempt decides the call"
    RENEW = "get a new token, then ask again"
    WIDEN = "get a token of the scopes that were missing, then ask again"
    REINITIALIZE = "start a new session, then ask again"
    RETRY = "wait, then ask again"


def decide(
    reply: Reply,
    *,
    client: Client,
    attempt: int,
    renewed: bool,
    reopened: bool,
    can_renew: bool,
    has_session: bool,
    can_widen: bool = False,
) -> Next:
    """Say what follows `reply` to attempt number `attempt` of a logical call.

    A 401 is answered with one renewal and a 404 with one new session per logical call, so no
    server can draw a client into a loop; `can_widen` says that a 403 asks for scopes that were
    never asked for, which holds a few times per session.
    """
    if reply.outcome is Outcome.OK:
        return Next.SETTLE
    if reply.status == UNAUTHORIZED and can_renew and not renewed:
        return Next.RENEW
    if reply.status == FORBIDDEN and can_widen:
        return Next.WIDEN
    if has_session and not reopened and _session_is_gone(reply, client):
        return Next.REINITIALIZE
    if attempt < client.retry.attempts and _worth_retrying(reply, client):
        return Next.RETRY
    return Next.SETTLE


def session_is_lost(reply: Reply) -> bool:
    """Whether the server says, in the right way or the known wrong one, that it has no session."""
    if reply.reason is Reason.STREAM_LOST:
        return True
    if reply.status == NOT_FOUND:
        return reply.outcome in {Outcome.HTTP_ERROR, Outcome.PROTOCOL_ERROR}
    said = reply.detail.lower()
    return reply.status == BAD_REQUEST and any(word in said for word in _NO_SESSION)


def _session_is_gone(reply: Reply, client: Client) -> bool:
    if reply.reason is Reason.STREAM_LOST:
        return True  # over HTTP+SSE the stream is the session, and nothing else can follow
    if reply.status == NOT_FOUND:
        return "404" in client.reinitialize_on and session_is_lost(reply)
    return "400" in client.reinitialize_on and session_is_lost(reply)


def _worth_retrying(reply: Reply, client: Client) -> bool:
    on = client.retry.on
    if reply.outcome is Outcome.TRANSPORT_ERROR:
        return "transport_error" in on
    if reply.outcome in {Outcome.TIMEOUT, Outcome.HANG}:
        return "timeout" in on
    if reply.reason is Reason.HTTP_STATUS and reply.status == TOO_MANY:
        return "http_429" in on
    return reply.reason is Reason.HTTP_STATUS and reply.status >= 500 and "http_5xx" in on  # noqa: PLR2004


def backoff_s(client: Client, attempt: int) -> float:
    """Seconds to wait after attempt number `attempt`, doubling from the scenario's first one."""
    return client.retry.backoff_s * float(2 ** (attempt - 1))


def words(reply: Reply) -> str:
    """Say in a few words what came instead of an answer."""
    status = f"http {reply.status} " if reply.status else ""
    return f"{status}{reply.reason.name.lower()} {reply.detail}".strip()[:200]


def believed_effect(reply: Reply) -> Effect:
    """Say what the client may believe about the effect of one attempt at an effectful step."""
    if reply.outcome is Outcome.OK:
        return Effect.HAPPENED
    refused = reply.outcome is Outcome.HTTP_ERROR and reply.status in REFUSALS
    if refused or reply.ended_by is EndedBy.NEVER_SENT:
        return Effect.ABSENT
    return Effect.UNKNOWN
