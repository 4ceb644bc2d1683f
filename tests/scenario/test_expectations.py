from __future__ import annotations

from typing import Any

import pytest

from harness.outcome import Reason
from harness.scenario import expectations
from harness.scenario.marks import Marks
from harness.scenario.records import Expect

MARKS = Marks.of(7)
MINE, OTHER = MARKS.nonce(1, 2), MARKS.nonce(2, 1)
VALUES: dict[str, Any] = {"nonce": MINE, "session": MARKS.mark(1), "doc": "d7", "count": 3}


def answer(**structured: object) -> dict[str, Any]:
    """Make a tool's result."""
    return {"content": [], "structuredContent": structured, "isError": False}


def check(result: dict[str, Any], **expected: Any) -> Reason | None:
    """Ask an expectation about a result."""
    return expectations.compile(Expect(**expected))(result, VALUES)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (answer(result=[{"snippet": f"about {MINE}."}]), None),
        (answer(result=[{"snippet": OTHER}]), Reason.FOREIGN_NONCE),
        (answer(result=[{"snippet": f"{OTHER} {MINE}"}]), None),
        (answer(result=[]), Reason.NONCE_MISSING),
        (answer(result=[{"snippet": "deadbeef" * 8}]), Reason.NONCE_MISSING),
        (answer(result=[{"snippet": MINE[:-1]}]), Reason.NONCE_MISSING),
        (answer(**{MINE: 1}), Reason.NONCE_MISSING),
        ({"content": [{"type": "text", "text": f"Echo: {MINE}"}]}, None),
        ({"content": [{"type": "text", "text": f"Echo: {OTHER}"}]}, Reason.FOREIGN_NONCE),
        ({"content": [], "_meta": {"echo": MINE}}, Reason.NONCE_MISSING),
    ],
)
def test_a_reply_has_to_carry_its_own_nonce(result: dict[str, Any], reason: Reason | None) -> None:
    """Someone else's answer is told from an empty one."""
    assert check(result, carries="nonce") is reason


def test_a_session_is_not_taken_for_one_whose_number_it_begins_with() -> None:
    """Session 1 is not found in what belongs to session 12."""
    assert check(answer(owner=MARKS.mark(1)), carries="session") is None
    assert check(answer(owner=MARKS.mark(12)), carries="session") is Reason.EXPECTATION
    assert check(answer(owner=MARKS.mark(11)), carries="session") is Reason.EXPECTATION


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({"rows": ">= 2"}, None),
        ({"rows": ">= 3"}, Reason.ROWS),
        ({"rows": "1..2"}, None),
        ({"contains": "d7"}, None),
        ({"contains": "${doc}"}, None),
        ({"contains": "${gone}"}, Reason.VALUE_MISSING),
        ({"contains": "d9"}, Reason.EXPECTATION),
        ({"equals": {"result[0].id": "${doc}"}}, None),
        ({"equals": {"result[1].id": "${doc}"}}, Reason.EXPECTATION),
        ({"equals": {"result[1].n": "${count}"}}, None),
        ({"equals": {"result[1].n": "<${count}>"}}, Reason.EXPECTATION),
        ({"equals": {"result[1].n": "${gone}"}}, Reason.VALUE_MISSING),
        ({"equals": {"result[7].n": None}}, Reason.EXPECTATION),
        ({"equals": {"result[1].yes": 1}}, Reason.EXPECTATION),
        ({"equals": {"result[1].yes": True}}, None),
        ({"equals": {"result[0]": {"id": "${doc}"}}}, None),
    ],
)
def test_what_a_step_expects_is_asked_of_the_result(
    expected: dict[str, Any], reason: Reason | None
) -> None:
    """Each kind of expectation can hold and can fail."""
    result = answer(result=[{"id": "d7"}, {"id": "d8", "n": 3, "yes": True}])
    assert check(result, **expected) is reason


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (answer(notes=[{"text": "d7"}]), None),
        (answer(notes=[{"text": f"{MARKS.mark(1)} {OTHER}"}]), Reason.STALE),
        (answer(key=MARKS.mark(1), notes=[]), Reason.STALE),
        (answer(notes=[]), Reason.STALE),
        (answer(notes=[{"text": OTHER}]), Reason.FOREIGN_NONCE),
    ],
)
def test_what_was_written_last_has_to_be_read_back(
    result: dict[str, Any], reason: Reason | None
) -> None:
    """An earlier state of one's own is stale, and another's is another's."""
    assert check(result, fresh="${doc}") is reason


def test_who_has_written_nothing_yet_reads_nothing_back() -> None:
    """The write failed, so that there is nothing to hold the answer to."""
    assert check(answer(notes=[]), fresh="${gone}") is None


def test_nothing_expected_is_met_by_anything_but_an_error() -> None:
    """Without an expectation, the protocol's own word counts."""
    assert check(answer()) is None
    assert check({}) is None
    assert check({"isError": True, "content": []}) is Reason.TOOL_ERROR


def test_an_error_that_is_expected_has_to_come() -> None:
    """A tool that should refuse and does not is wrong."""
    refusal = {"isError": True, "content": [{"type": "text", "text": "no such document"}]}
    assert check(refusal, error=True) is None
    assert check(refusal, error=True, contains="no such") is None
    assert check(refusal, error=True, contains="database") is Reason.EXPECTATION
    assert check(answer(), error=True) is Reason.EXPECTATION


def test_what_is_kept_is_what_is_there() -> None:
    """A value that is absent is left out, null is not absent."""
    keep = expectations.compile_keep({"a": "result[0].id", "b": "result[5].id", "c": "none"})
    assert keep(answer(result=[{"id": "d7"}], none=None)) == {"a": "d7", "c": None}
