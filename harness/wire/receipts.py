"""Replies to what has no JSON-RPC response: notifications, DELETE, and what was never connected."""

from __future__ import annotations

import asyncio

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.arrival import REFUSAL_STATUS, Arrival
from harness.wire.pool import Unconnected
from harness.wire.reading import Call, read_failure, read_refusal, read_reply
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook


def read_receipt(arrival: Arrival, call: Call, *, also_fine: tuple[int, ...] = ()) -> Reply:
    """OK when the server took the message, by any success status or one that is `also_fine`."""
    head = arrival.head
    if head is None or (arrival.reason and arrival.reason is not Reason.STREAM_ENDED):
        return read_failure(arrival, call)
    reply = Reply(
        outcome=Outcome.OK,
        status=head.status,
        sent_ns=arrival.sent_ns,
        first_ns=arrival.first_ns,
        done_ns=arrival.done_ns if arrival.done_ns >= 0 else arrival.ended_ns,
        request_bytes=call.request_bytes,
        reply_bytes=arrival.reply_bytes,
    )
    if head.status >= REFUSAL_STATUS and head.status not in also_fine:
        read_refusal(reply, head, arrival, call)
    if reply.done_ns > call.deadline_ns:
        reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.LATE_REPLY
    return reply


def read_listening(
    acknowledged: asyncio.Future[Arrival | None],
    method: str,
    sent_ns: int,
    now_ns: int,
    schemas: SchemaBook,
) -> Reply:
    """What came of asking to listen: OK when acknowledged, else as the stream ended or began."""
    if not acknowledged.done():
        return Reply(Outcome.HANG, Reason.HANG, sent_ns=sent_ns, ended_by=EndedBy.DEADLINE)
    arrival = acknowledged.result()
    if arrival is None:
        return Reply(
            outcome=Outcome.OK, status=200, sent_ns=sent_ns, first_ns=now_ns, done_ns=now_ns
        )
    if arrival.head is None and not arrival.reason:
        arrival.reason = Reason.CONNECT_FAILED
    if arrival.head is not None and arrival.sse is not None and not arrival.reason:
        arrival.reason = Reason.STREAM_ENDED  # before anything was acknowledged
    arrival.sent_ns = sent_ns
    return read_reply(arrival, Call(arrival.call_id, method, "", now_ns, 0), schemas)


def read_unconnected(failure: Unconnected) -> Reply:
    """The reply of a request for which there was no connection."""
    return Reply(
        outcome=Outcome.TRANSPORT_ERROR,
        reason=failure.reason,
        ended_by=EndedBy.NEVER_SENT,
        detail=failure.detail,
    )


def read_withheld(reply: Reply) -> Reply:
    """What the agent knows when a whole reply was thrown away before it could see it."""
    reply.outcome, reply.reason = Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST
    reply.ended_by = EndedBy.CLIENT
    reply.result, reply.error, reply.detail = None, None, ""
    return reply
