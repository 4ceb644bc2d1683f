"""The fuzz in short, and that it could find something."""

from __future__ import annotations

import pytest

from tests.faults.toxiproxy.fuzz import WrongError, _judge, fuzz
from tests.faults.toxiproxy.fuzz_requests import Request, Requests


@pytest.mark.anyio
async def test_whatever_is_asked_the_server_stays_well() -> None:
    """No answer of 5xx but for addresses, nothing said, no task and no descriptor left."""
    figures = await fuzz(3000, seed=3)
    assert figures.requests == 3000
    # It would prove little if everything were refused, or nothing.
    for status in (200, 201, 400, 404, 405, 409):
        assert figures.statuses[status] > 10, figures.statuses
    assert figures.rude > 10
    assert figures.streams > 10


def test_a_seed_repeats_every_request() -> None:
    """So that what was found can be found again."""
    first, second, other = (Requests(seed, ["127.0.0.1:1"]) for seed in (1, 1, 2))
    asked = [first.next() for _ in range(500)]
    assert asked == [second.next() for _ in range(500)]
    assert asked != [other.next() for _ in range(500)]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b'{"error":"KeyError","status":500}'),
        (502, b""),
        (503, b"<html>"),
        (413, b'{"error":"too large"}'),
    ],
)
def test_a_wrong_answer_is_found(status: int, body: bytes) -> None:
    """A check that cannot fail checks nothing."""
    with pytest.raises(WrongError):
        _judge(Request("GET", b""), status, body)


def test_an_address_that_cannot_be_had_is_no_mistake() -> None:
    """It is the one thing that the original answers with 500."""
    for text in (b"listen tcp 127.0.0.1:1: bind: permission denied", b"lookup x: no such host"):
        _judge(Request("GET", b""), 500, b'{"error":"%s"}' % text)
