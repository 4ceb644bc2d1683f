from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from harness.wire.jsonrpc import (
    Sort,
    decode,
    encode_notification,
    encode_request,
    sort_message,
)


def test_requests_and_notifications_are_json() -> None:
    """With parameters and without."""
    assert from_json(encode_request(3, "tools/call", b'{"a":1}')) == {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"a": 1},
    }
    assert from_json(encode_request(3, "ping", b"")) == {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "ping",
    }
    assert "id" not in from_json(encode_notification("notifications/x", b"{}"))


@pytest.mark.parametrize(
    ("message", "sort"),
    [
        ({"id": 1, "result": None}, Sort.RESULT),
        ({"id": 1, "error": {"code": 1, "message": ""}}, Sort.ERROR),
        ({"id": None, "error": {"code": 1, "message": ""}}, Sort.NAMELESS_ERROR),
        ({"error": {"code": 1, "message": ""}}, Sort.NAMELESS_ERROR),
        ({"id": 2, "result": {}}, Sort.OTHER_ID),
        ({"id": "1", "result": {}}, Sort.OTHER_ID),
        ({"id": 1, "method": "ping"}, Sort.REQUEST),
        ({"method": "notifications/x"}, Sort.NOTIFICATION),
        ({"id": None, "result": {}}, Sort.BROKEN),
        ({"id": None, "method": "ping"}, Sort.BROKEN),
        ({"id": 1, "method": 7}, Sort.BROKEN),
        ({"id": 1}, Sort.BROKEN),
        ({"id": 1, "result": {}, "error": {"code": 1, "message": ""}}, Sort.BROKEN),
        ({"id": 1, "error": "no"}, Sort.BROKEN),
        ({"id": 1, "error": {"code": "1", "message": ""}}, Sort.BROKEN),
        ({"id": 1, "error": {"code": 1}}, Sort.BROKEN),
    ],
)
def test_every_message_has_its_sort(message: dict[str, object], sort: Sort) -> None:
    """Seen from a client that waits for id 1."""
    assert sort_message({"jsonrpc": "2.0", **message}, 1) is sort
    assert sort_message(message, 1) is Sort.BROKEN  # without its version


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["jsonrpc", "id", "result", "error", "method", "code"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(message=_JSON)
def test_any_json_value_is_sorted(message: object) -> None:
    """No value makes the sorting crash."""
    assert isinstance(sort_message(message, 1), Sort)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_json_or_a_value_error(data: bytes) -> None:
    """The one exception that callers must expect."""
    try:
        decode(data)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b"[" * 100_000, b"{} {}", b""])
def test_what_json_does_not_allow_is_refused(data: bytes) -> None:
    """Not a number, no end, two values, nothing."""
    with pytest.raises(ValueError, match=r"."):
        decode(data)
