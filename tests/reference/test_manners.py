"""Sound servers that are unlike others do what they say, and nothing that is wrong."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from harness.flaws import MANNERS
from harness.reference.documents import Documents
from harness.reference.manners import CALLS_PER_S, RARELY, Refusing, SparseDocuments
from harness.scenario.records import ReferenceTarget

pytestmark = pytest.mark.anyio

SENT: list[Any] = []


async def served(scope: Any, receive: Any, send: Any) -> None:
    """Answer everything with 200."""
    del scope
    SENT.append(await receive())
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def ask(app: Refusing, body: bytes, *, session: str = "s", method: str = "POST") -> Any:
    """Send one request and give the head of its answer."""
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    headers = [(b"mcp-session-id", session.encode())]
    scope: Any = {"type": "http", "method": method, "path": "/mcp", "headers": headers}
    await app(scope, receive, send)
    return told[0]


def call(size_bytes: int = 0, padding: int = 0) -> bytes:
    """Make a tool's call."""
    return (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"big","arguments":'
        b'{"size_bytes":%d,"label":"%b"}}}' % (size_bytes, b"x" * padding)
    )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (call(), 200),
        (call(size_bytes=1_000_000), 403),
        (call(padding=300_000), 413),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', 200),
        (b"nonsense", 200),
    ],
    ids=["usual", "much", "long", "other", "nonsense"],
)
async def test_what_is_too_long_or_too_much_is_refused_before_it_is_begun(
    body: bytes, status: int
) -> None:
    """The rest reaches the server as it came."""
    SENT.clear()
    assert (await ask(Refusing(served), body))["status"] == status
    assert [message["body"] for message in SENT] == ([body] if status == 200 else [])


async def test_a_session_that_calls_too_often_is_told_when_to_come_again() -> None:
    """Others are not held to its rate."""
    app = Refusing(served)
    heads = [await ask(app, call()) for _ in range(CALLS_PER_S + 1)]
    assert [head["status"] for head in heads] == [200] * CALLS_PER_S + [429]
    assert dict(heads[-1]["headers"])[b"retry-after"] == b"1"
    assert (await ask(app, call(), session="other"))["status"] == 200
    assert (await ask(app, b"", method="GET"))["status"] == 200


async def test_now_and_then_a_call_is_refused_whoever_makes_it() -> None:
    """A gateway's quota is not one session's doing."""
    app = Refusing(served)
    heads = [await ask(app, call(), session=str(turn)) for turn in range(RARELY)]
    assert [head["status"] for head in heads].count(429) == 1


async def test_few_rows_are_the_first_of_those_that_there_are() -> None:
    """One or two, the same for the same question."""
    documents = Documents(flaws=frozenset())
    sparse = SparseDocuments(documents)
    try:
        with anyio.fail_after(10):
            counts = set()
            for query in ("a", "b", "c"):
                rows = await sparse.search(query, 20)
                assert rows == (await documents.search(query, 20))[: len(rows)]
                assert rows == await sparse.search(query, 20)
                counts.add(len(rows))
            assert counts == {1, 2}
            assert await sparse.fetch(3) == await documents.fetch(3)
    finally:
        sparse.close()


def test_a_scenario_may_name_every_manner() -> None:
    """And no other."""
    for manner in MANNERS:
        assert ReferenceTarget.model_validate({"reference": "hardened", "manner": manner})
    with pytest.raises(ValueError, match="manner"):
        ReferenceTarget.model_validate({"reference": "hardened", "manner": "rude"})
