"""Replies to what has no JSON-RPC response: notifications, DELETE, and what was never connected."""

from __future__ import annotations

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.arrival import REFUSAL_STATUS, Arrival
from harness.wire.pool import Unconnected
from harness.wire.reading import Call, read_failure, read_refusal
from harness.wire.reply import Reply


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
