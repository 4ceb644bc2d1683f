"""JSON-RPC 2.0 messages: written as bytes, read back and sorted by what they are."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from pydantic_core import from_json, to_json

CallId = int | str

METHOD_NOT_FOUND: Final = -32601
UNSUPPORTED_VERSION: Final = -32022
MODERN_CODES: Final = frozenset({-32020, -32021, UNSUPPORTED_VERSION})
DETAIL_CHARACTERS: Final = 200


class Sort(IntEnum):
    """What a decoded message is, seen from a client that waits for one id."""

    RESULT = 0  # the result for the id
    ERROR = 1  # the error for the id
    NAMELESS_ERROR = 2  # an error whose id is null or missing: the server could not read ours
    OTHER_ID = 3  # a response to something else
    REQUEST = 4  # the server asks something of the client
    NOTIFICATION = 5
    BROKEN = 6  # not JSON-RPC 2.0


def encode_request(call_id: int, method: str, params: bytes) -> bytes:
    """One request; `params` is an encoded JSON object, or empty for none."""
    if params:
        return b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}' % (
            call_id,
            method.encode(),
            params,
        )
    return b'{"jsonrpc":"2.0","id":%d,"method":"%b"}' % (call_id, method.encode())


def encode_named(call_id: CallId, method: str, params: bytes) -> bytes:
    """One request under an id of any kind; `params` is an encoded JSON object."""
    name = to_json(call_id)
    return b'{"jsonrpc":"2.0","id":%b,"method":"%b","params":%b}' % (name, method.encode(), params)


def encode_notification(method: str, params: bytes) -> bytes:
    """One notification; `params` is an encoded JSON object, or empty for none."""
    if params:
        return b'{"jsonrpc":"2.0","method":"%b","params":%b}' % (method.encode(), params)
    return b'{"jsonrpc":"2.0","method":"%b"}' % method.encode()


def decode(data: bytes) -> Any:
    """The JSON value in `data`.

    Raises:
        ValueError: the bytes are not one JSON text.
    """
    return from_json(data, allow_inf_nan=False, cache_strings="keys")


def sort_message(message: object, call_id: CallId) -> Sort:
    """What `message` is for a client that waits for the response to `call_id`."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return Sort.BROKEN
    return _sort_call(message) if "method" in message else _sort_response(message, call_id)


def _sort_call(message: dict[str, Any]) -> Sort:
    if not isinstance(message["method"], str):
        return Sort.BROKEN
    if "id" not in message:
        return Sort.NOTIFICATION
    # JSON-RPC allows null; MCP does not, and no answer could name it.
    return Sort.REQUEST if isinstance(message["id"], (int, str)) else Sort.BROKEN


def _sort_response(message: dict[str, Any], call_id: CallId) -> Sort:
    has_result, has_error = "result" in message, "error" in message
    if has_result == has_error or (has_error and not _is_error(message["error"])):
        return Sort.BROKEN
    answered = message.get("id")
    # `True == 1` in Python, and 1.0 too: an id must come back as the very thing that was sent.
    if answered == call_id and type(answered) is type(call_id):
        return Sort.RESULT if has_result else Sort.ERROR
    if answered is None:
        return Sort.NAMELESS_ERROR if has_error else Sort.BROKEN
    return Sort.OTHER_ID


def _is_error(error: object) -> bool:
    return (
        isinstance(error, dict)
        and type(error.get("code")) is int
        and isinstance(error.get("message"), str)
    )


def describe_error(error: dict[str, Any]) -> str:
    """Code and message of a JSON-RPC error, short enough for a line."""
    return f"{error['code']}: {error['message']}"[:DETAIL_CHARACTERS]
