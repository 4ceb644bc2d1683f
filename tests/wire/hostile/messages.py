"""JSON-RPC as a hostile server writes it: right, nearly right, and nothing of the kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pydantic_core import to_json

from tests.wire.hostile.tape import Tape

DEEP: Final = 20_000
FILLER: Final = b'{"jsonrpc":"2.0","method":"notifications/message"}'
METHODS: Final = (
    "ping",
    "sampling/createMessage",
    "elicitation/create",
    "roots/list",
    "notifications/progress",
    "notifications/message",
    "notifications/tools/list_changed",
    "notifications/resources/updated",
    "notifications/cancelled",
    "",
    "\u0000",
)
_INITIALIZE: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "hostile", "version": "1"},
}
_DISCOVER: Final = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "hostile", "version": "1"},
}


def right_result(method: str, nonce: str) -> dict[str, Any]:
    """What a good server would answer."""
    match method:
        case "initialize":
            return dict(_INITIALIZE)
        case "server/discover":
            return dict(_DISCOVER)
        case "tools/list":
            return {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
    return {"content": [{"type": "text", "text": nonce}]}


def right(call_id: object, method: str, nonce: str) -> bytes:
    """A good response."""
    return to_json({"jsonrpc": "2.0", "id": call_id, "result": right_result(method, nonce)})


def message(tape: Tape, call_id: Any, method: str, nonce: str) -> bytes:
    """One message; the first kind is the right response."""
    result = right_result(method, nonce)
    return tape.one(_KINDS)(tape, call_id, result)


def _right(_: Tape, call_id: Any, result: dict[str, Any]) -> bytes:
    return to_json({"jsonrpc": "2.0", "id": call_id, "result": result})


def _other_id(tape: Tape, call_id: Any, result: dict[str, Any]) -> bytes:
    number = call_id if isinstance(call_id, int) else 0
    odd: tuple[Any, ...] = (
        number + 1, number - 1, str(call_id), float(number), number + 0.5, None, True, [call_id],
        {"id": call_id}, 10**400, -1, "",
    )  # fmt: skip
    return to_json({"jsonrpc": "2.0", "id": tape.one(odd), "result": result})


def _odd_result(tape: Tape, call_id: Any, result: dict[str, Any]) -> bytes:
    odd: tuple[Any, ...] = (
        None, [], "text", 0, True, {}, {"content": None}, {"content": {}}, {"content": [None]},
        {"content": [{}]}, {"content": [], "isError": "yes"}, {**result, "isError": True},
        {**result, "isError": None}, {**result, "structuredContent": []},
        {**result, "resultType": "input_required"},
        {"resultType": "input_required", "inputRequests": {"a": {"method": "roots/list"}}},
        {"resultType": "input_required", "inputRequests": {}, "requestState": 7},
        {"resultType": "task", "taskId": None}, {**result, "resultType": 5},
        {"task": {"taskId": "t", "status": "working"}}, {"protocolVersion": 1},
        {"protocolVersion": "1999-01-01", "capabilities": {}, "serverInfo": {}},
        {"supportedVersions": "2026-07-28"}, {"tools": [{"name": None}]}, {"tools": [7]},
        {"content": [{"type": "text", "text": "x" * 40_000}]}, {"_meta": 5, **result},
    )  # fmt: skip
    return to_json({"jsonrpc": "2.0", "id": call_id, "result": tape.one(odd)})


def _error(tape: Tape, call_id: Any, _: dict[str, Any]) -> bytes:
    codes: tuple[Any, ...] = (-32601, -32022, -32020, 0, None, "code", 10**30, -32600.5, True)
    texts: tuple[Any, ...] = ("no", "", None, 7, "x" * 9_000, "\u202e\u0000\x1b[2J")
    odd: tuple[Any, ...] = (
        {"code": tape.one(codes), "message": tape.one(texts)}, {}, None, [], "error",
        {"message": "no"}, {"code": 1}, {"code": 1, "message": "m", "data": {"supported": 7}},
    )  # fmt: skip
    ids: tuple[Any, ...] = (call_id, None, "other")
    return to_json({"jsonrpc": "2.0", "id": tape.one(ids), "error": tape.one(odd)})


def _odd_envelope(tape: Tape, call_id: Any, result: dict[str, Any]) -> bytes:
    whole = {"jsonrpc": "2.0", "id": call_id, "result": result}
    no_error = {"code": 1, "message": "m"}
    odd: tuple[Any, ...] = (
        {"id": call_id, "result": result}, {**whole, "jsonrpc": "1.0"}, {**whole, "jsonrpc": 2},
        {"jsonrpc": "2.0", "result": result}, {"jsonrpc": "2.0", "id": call_id},
        {**whole, "error": no_error}, {**whole, "error": None}, {**whole, "method": "ping"},
        {**whole, "extra": [1] * 50}, [whole], [whole, whole], [], [[whole]], [None], None, 7, "a",
        True, {}, [whole, {"jsonrpc": "2.0", "method": "notifications/message"}],
    )  # fmt: skip
    return to_json(tape.one(odd))


def _request(tape: Tape, _: Any, result: dict[str, Any]) -> bytes:
    ids: tuple[Any, ...] = (1, "a", None, 1.5, [], True, 2**70)
    params: tuple[Any, ...] = (
        {}, None, [], "p", {"progressToken": 1, "progress": 1}, {"progress": "far"},
        {"messages": [], "maxTokens": 1}, {"requestedSchema": {"type": "object"}, "message": "?"},
        {"requestedSchema": {"properties": {"a": {"enum": []}}}, "message": 7}, {"uri": 7}, result,
    )  # fmt: skip
    method = tape.one(METHODS)
    made: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": tape.one(params)}
    if tape.below(2):
        made["id"] = tape.one(ids)
    return to_json(made)


def _text(tape: Tape, call_id: Any, result: dict[str, Any]) -> bytes:
    """What no writer of JSON writes."""
    whole = _right(tape, call_id, result)
    odd: tuple[bytes, ...] = (
        b"", b" ", whole[:-1], whole[: len(whole) // 2], whole + b"x", whole + whole,
        b"\xef\xbb\xbf" + whole, whole.decode().encode("utf-16"), b" " * 9_000 + whole,
        b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP,
        whole.replace(b'"2.0"', b'"2.0","jsonrpc":"2.0"'),
        whole.replace(b'"id":', b'"id":null,"id":'), whole.replace(b'"result"', b'"\\u0072esult"'),
        whole.replace(b"{", b"{ \t\r\n", 1), b"NaN", b"1e999", b"-", b"9" * 5_000,
        whole.replace(b'"text":"', b'"text":"\\ud800'), whole.replace(b'"text":"', b'"text":"\xff'),
        whole.replace(b'"text":"', b'"text":"\x00'), b"null", b"<html>502</html>", b"\x00" * 64,
        b'{"jsonrpc":"2.0","id":' + b"1" * 6_000 + b',"result":{}}',
    )  # fmt: skip
    return tape.one(odd)


_KINDS: Final[tuple[Callable[[Tape, Any, dict[str, Any]], bytes], ...]] = (
    _right, _right, _right, _right, _other_id, _odd_result, _error, _odd_envelope, _request, _text,
)  # fmt: skip
