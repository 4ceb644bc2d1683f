"""From what arrived to one `Reply`: the outcome of a request, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.arrival import REFUSAL_STATUS, Arrival
from harness.wire.http import Head, Kind
from harness.wire.jsonrpc import CallId, Sort, decode, describe_error, sort_message
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.shapes import is_plain_call, is_unfinished, misshape

# RFC 9110 says what these mean whatever the body says: the credential decided, not the call.
CREDENTIAL_STATUSES: Final = frozenset({401, 403})
_LAST_TRANSPORT_REASON = Reason.STREAM_ENDED
_BROKEN_REASONS: Final = frozenset(
    {Reason.TLS_UNTRUSTED, Reason.TLS_WRONG_NAME, Reason.TLS_EXPIRED, Reason.TLS_CLIENT_REFUSED}
    | {Reason.TLS_FAILED, Reason.PROCESS_DIED}
)
_FOR_REASON = {
    Reason.HANG: (Outcome.HANG, EndedBy.DEADLINE),
    Reason.VANISHED: (Outcome.ABANDONED, EndedBy.CLIENT),
    Reason.PIPE_FULL: (Outcome.HANG, EndedBy.DEADLINE),
}
# Names for the hot path: a member of an enumeration costs three look-ups each time.
_OK, _NONE = Outcome.OK, Reason.NONE
_JSON, _SSE = Kind.JSON, Kind.SSE
BATCH_MAX: Final = 1000
_RESPONSE_MEMBERS = 3  # jsonrpc, id, result


@dataclass(slots=True)
class Call:
    """What a reply is held against."""

    call_id: CallId
    method: str
    name: str  # the tool, prompt or resource
    deadline_ns: int
    request_bytes: int
    batches: bool = False  # whether the reply may come in a batch


def read_reply(arrival: Arrival, call: Call, schemas: SchemaBook) -> Reply:
    """The reply to `call` as it arrived, judged."""
    head = arrival.head
    if arrival.reason or head is None:
        return read_failure(arrival, call)
    reply = Reply(
        _OK,
        _NONE,
        head.status,
        None,
        None,
        arrival.sent_ns,
        arrival.first_ns,
        arrival.done_ns,
        call.request_bytes,
        arrival.reply_bytes,
    )
    message: Any = arrival.message
    if message is None:
        if head.status >= REFUSAL_STATUS:
            read_refusal(reply, head, arrival, call)
        else:
            message = _read_body(reply, head, arrival, call)
    if message is not None:
        if _is_plain_success(message, call, schemas):
            reply.result = message["result"]
        else:
            _read_message(reply, message, call, schemas)
    if head.session_id:
        reply.session_id = head.session_id
    if reply.done_ns > call.deadline_ns:
        reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.LATE_REPLY
    return reply


def _is_plain_success(message: Any, call: Call, schemas: SchemaBook) -> bool:
    """The hot path's question: a right response whose tool promised no output schema."""
    return (
        type(message) is dict
        and len(message) == _RESPONSE_MEMBERS
        and "result" in message
        and "id" in message
        and message["id"] == call.call_id
        and type(message["id"]) is int
        and message.get("jsonrpc") == "2.0"
        and call.method == "tools/call"
        and call.name not in schemas.validators
        and is_plain_call(message["result"])
    )


def _read_body(reply: Reply, head: Head, arrival: Arrival, call: Call) -> Any:
    body = arrival.body
    if not body:
        _break(reply, Reason.NO_REPLY, f"HTTP {head.status} without a body")
        return None
    if head.kind is not _JSON and head.kind is not _SSE:
        _break(reply, Reason.WRONG_CONTENT_TYPE, "the reply is neither JSON nor an event stream")
        return None
    try:
        message = from_json(body, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        _break(reply, Reason.MALFORMED_JSON, str(error))
        return None
    if type(message) is list and call.batches and 0 < len(message) <= BATCH_MAX:
        replies = (Sort.RESULT, Sort.ERROR)
        message = next((m for m in message if sort_message(m, call.call_id) in replies), message[0])
    if message is None:
        _break(reply, Reason.NOT_JSONRPC, "the reply is null")
    return message


def _read_message(reply: Reply, message: Any, call: Call, schemas: SchemaBook) -> None:
    sort = sort_message(message, call.call_id)
    if sort is Sort.RESULT:
        _read_result(reply, message["result"], call, schemas)
    elif sort in (Sort.ERROR, Sort.NAMELESS_ERROR):
        reply.error = message["error"]
        _break(reply, Reason.JSONRPC_ERROR, describe_error(message["error"]))
    elif sort is Sort.OTHER_ID:
        _break(reply, Reason.WRONG_ID, "the response answers another id")
    else:
        _break(reply, Reason.NOT_JSONRPC, "the reply is no JSON-RPC 2.0 response")


def _read_result(reply: Reply, result: Any, call: Call, schemas: SchemaBook) -> None:
    reply.result = result
    method = call.method
    wrong = misshape(method, result)
    if wrong is not None:
        reply.outcome, reply.reason, reply.detail = Outcome.WRONG, Reason.RESULT_SHAPE, wrong
        if isinstance(result, dict) and is_unfinished(result):
            reply.reason = Reason.RESULT_TYPE
    elif method == "tools/call":
        _check_tool_result(reply, result, call.name, schemas)
    elif method == "tools/list":
        schemas.learn(result)


def _check_tool_result(
    reply: Reply, result: dict[str, Any], tool: str, schemas: SchemaBook
) -> None:
    structured = result.get("structuredContent")
    if result.get("isError"):
        reply.outcome, reply.reason = Outcome.TOOL_ERROR, Reason.TOOL_ERROR
        # An error needs none; but clients hold what is there against the schema all the same, and
        # then tell their agent of a bad result instead of the error.
        if structured is not None and (bad := schemas.violation(tool, structured)) is not None:
            reply.reason, reply.detail = Reason.SCHEMA, bad
        return
    violation = schemas.violation(tool, structured)
    if violation is not None:
        reply.outcome, reply.reason, reply.detail = Outcome.WRONG, Reason.SCHEMA, violation


def read_refusal(reply: Reply, head: Head, arrival: Arrival, call: Call) -> None:
    """Fill in what a status outside 2xx says, and the JSON-RPC error that came with it."""
    reply.outcome, reply.reason = Outcome.HTTP_ERROR, Reason.HTTP_STATUS
    reply.detail = f"HTTP {head.status}"
    reply.challenge, reply.retry_after = head.challenge, head.retry_after
    if head.kind is not _JSON or not arrival.body:
        return
    try:
        message = decode(bytes(arrival.body))
    except ValueError:
        return
    sort = sort_message(message, call.call_id)
    if sort in (Sort.ERROR, Sort.NAMELESS_ERROR) or (sort is Sort.OTHER_ID and "error" in message):
        reply.error = message["error"]
        reply.detail = f"HTTP {head.status}, {describe_error(message['error'])}"
    if sort is Sort.ERROR and head.status not in CREDENTIAL_STATUSES:
        reply.outcome, reply.reason = Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR


def _break(reply: Reply, reason: Reason, detail: str) -> None:
    reply.outcome, reply.reason, reply.detail = Outcome.PROTOCOL_ERROR, reason, detail


def read_failure(arrival: Arrival, call: Call) -> Reply:
    """The reply to a call whose reply never became whole."""
    head, reason = arrival.head, arrival.reason
    reply = Reply(
        outcome=Outcome.PROTOCOL_ERROR,
        reason=reason,
        status=head.status if head else 0,
        sent_ns=arrival.sent_ns,
        first_ns=arrival.first_ns,
        request_bytes=call.request_bytes,
        reply_bytes=arrival.reply_bytes,
        challenge=head.challenge if head else "",
        retry_after=head.retry_after if head else "",
        detail=arrival.detail,
    )
    late = arrival.ended_ns > call.deadline_ns
    if reason in _FOR_REASON:
        reply.outcome, reply.ended_by = _FOR_REASON[reason]
        if reason is Reason.HANG and arrival.partial:
            reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.DEADLINE
            reply.detail = f"a reply was still trickling in, {arrival.reply_bytes} bytes so far"
    elif reason <= _LAST_TRANSPORT_REASON or reason in _BROKEN_REASONS:
        reply.outcome, reply.ended_by = Outcome.TRANSPORT_ERROR, EndedBy.CLOSED
        reply.broken_ns = arrival.ended_ns
        if arrival.pieces is not None and arrival.pieces.other_ids:
            _break(reply, Reason.WRONG_ID, "the stream ended with a response to another id only")
        elif late:
            reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.DEADLINE
    else:
        reply.done_ns = arrival.ended_ns
        if late:
            reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.LATE_REPLY
    return reply
