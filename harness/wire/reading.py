"""From what arrived on a connection to one `Reply`: the outcome of a request, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.connection import Connection
from harness.wire.http import Head, Kind
from harness.wire.jsonrpc import Sort, decode, describe_error, sort_message
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.shapes import misshape

OK_STATUS: Final = 200
REFUSAL_STATUS: Final = 300
# RFC 9110 says what these mean whatever the body says: the credential decided, not the call.
CREDENTIAL_STATUSES: Final = frozenset({401, 403})
_LAST_TRANSPORT_REASON = Reason.STREAM_ENDED
_FOR_REASON = {
    Reason.HANG: (Outcome.HANG, EndedBy.DEADLINE),
    Reason.VANISHED: (Outcome.ABANDONED, EndedBy.CLIENT),
}


@dataclass(slots=True)
class Call:
    """What a reply is held against."""

    call_id: int
    method: str
    name: str  # the tool, prompt or resource
    deadline_ns: int
    request_bytes: int


def read_reply(connection: Connection, call: Call, schemas: SchemaBook) -> Reply:
    """The reply to `call` as the connection holds it, judged."""
    head = connection.head
    if connection.reason or head is None:
        return read_failure(connection, call)
    reply = Reply(
        Outcome.OK,
        Reason.NONE,
        head.status,
        None,
        None,
        connection.sent_ns,
        connection.first_ns,
        connection.done_ns,
        call.request_bytes,
        connection.reply_bytes,
    )
    if head.session_id:
        reply.session_id = head.session_id
    message: Any = connection.message
    if message is None:
        if head.status >= REFUSAL_STATUS:
            read_refusal(reply, head, connection, call)
        else:
            message = _read_body(reply, head, connection)
    if message is not None:
        _read_message(reply, message, call, schemas)
    if reply.done_ns > call.deadline_ns:
        reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.LATE_REPLY
    return reply


def _read_body(reply: Reply, head: Head, connection: Connection) -> Any:
    body = connection.body
    if not body:
        _break(reply, Reason.NO_REPLY, f"HTTP {head.status} without a body")
        return None
    if head.kind is not Kind.JSON:
        _break(reply, Reason.WRONG_CONTENT_TYPE, "the reply is neither JSON nor an event stream")
        return None
    try:
        message = decode(bytes(body))
    except ValueError as error:
        _break(reply, Reason.MALFORMED_JSON, str(error))
        return None
    if isinstance(message, list) and len(message) == 1:
        message = message[0]  # a batch of one, which 2025-03-26 allows
    if message is None:
        _break(reply, Reason.NOT_JSONRPC, "the reply is null")
    return message


def _read_message(reply: Reply, message: Any, call: Call, schemas: SchemaBook) -> None:
    sort = sort_message(message, call.call_id)
    if sort is Sort.RESULT:
        reply.result = result = message["result"]
        wrong = misshape(call.method, result)
        if wrong is not None:
            reply.outcome, reply.reason, reply.detail = Outcome.WRONG, Reason.RESULT_SHAPE, wrong
        elif call.method == "tools/call":
            _check_tool_result(reply, result, call.name, schemas)
        elif call.method == "tools/list":
            schemas.learn(result)
    elif sort in (Sort.ERROR, Sort.NAMELESS_ERROR):
        reply.error = message["error"]
        _break(reply, Reason.JSONRPC_ERROR, describe_error(message["error"]))
    elif sort is Sort.OTHER_ID:
        _break(reply, Reason.WRONG_ID, "the response answers another id")
    else:
        _break(reply, Reason.NOT_JSONRPC, "the reply is no JSON-RPC 2.0 response")


def _check_tool_result(
    reply: Reply, result: dict[str, Any], tool: str, schemas: SchemaBook
) -> None:
    if result.get("isError"):
        reply.outcome, reply.reason = Outcome.TOOL_ERROR, Reason.TOOL_ERROR
        return
    violation = schemas.violation(tool, result.get("structuredContent"))
    if violation is not None:
        reply.outcome, reply.reason, reply.detail = Outcome.WRONG, Reason.SCHEMA, violation


def read_refusal(reply: Reply, head: Head, connection: Connection, call: Call) -> None:
    """Fill in what a status outside 2xx says, and the JSON-RPC error that came with it."""
    reply.outcome, reply.reason = Outcome.HTTP_ERROR, Reason.HTTP_STATUS
    reply.detail = f"HTTP {head.status}"
    reply.challenge, reply.retry_after = head.challenge, head.retry_after
    if head.kind is not Kind.JSON or not connection.body:
        return
    try:
        message = decode(bytes(connection.body))
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


def read_failure(connection: Connection, call: Call) -> Reply:
    """The reply to a call whose reply never became whole."""
    head, reason = connection.head, connection.reason
    reply = Reply(
        outcome=Outcome.PROTOCOL_ERROR,
        reason=reason,
        status=head.status if head else 0,
        sent_ns=connection.sent_ns,
        first_ns=connection.first_ns,
        request_bytes=call.request_bytes,
        reply_bytes=connection.reply_bytes,
        challenge=head.challenge if head else "",
        retry_after=head.retry_after if head else "",
        detail=connection.detail,
    )
    if reason in _FOR_REASON:
        reply.outcome, reply.ended_by = _FOR_REASON[reason]
        if reason is Reason.HANG and connection.partial:
            reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.DEADLINE
            reply.detail = f"a reply was still trickling in, {connection.reply_bytes} bytes so far"
    elif reason <= _LAST_TRANSPORT_REASON:
        reply.outcome, reply.ended_by = Outcome.TRANSPORT_ERROR, EndedBy.CLOSED
        if reason is Reason.STREAM_ENDED and connection.other_ids:
            _break(reply, Reason.WRONG_ID, "the stream ended with a response to another id only")
        elif connection.ended_ns > call.deadline_ns:
            reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.DEADLINE
    elif connection.ended_ns > call.deadline_ns:
        reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.LATE_REPLY
        reply.done_ns = connection.ended_ns
    return reply
