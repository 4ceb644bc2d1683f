from __future__ import annotations

from typing import Any

from harness.plan import make
from harness.session.inspection import (
    FIELDS_MAX,
    LOOKS_MAX,
    SESSIONS_MAX,
    VALUES_MAX,
    Inspector,
    fields,
)
from harness.session.steps import Step, compile_agent
from tests.journals import scenario

ROWS = [{"id": 1, "title": None}, {"id": 2, "title": "two", "tags": ["a", None]}]


def inspected(inspector: Inspector, session: int = 0) -> Step:
    """Give the search of a session as this inspector has equipped it."""
    of = scenario()
    by = make(of)
    return inspector.equip(compile_agent(of, by, 0), by.planned(session))[0]


def answer(step: Step, *, index: int = 0, **result: Any) -> None:
    """Let a step see an answer."""
    assert step.expect(result, {"index": index}) is None


def test_fields_are_named_by_their_path_and_counted_with_their_nulls() -> None:
    """Lists are one field, whatever their length."""
    assert fields({"result": ROWS}) == {
        ".result[].id": (2, 0),
        ".result[].title": (2, 1),
        ".result[].tags[]": (2, 1),
    }
    assert fields(None) == {"": (1, 1)}


def test_an_answer_without_end_is_looked_at_up_to_a_bound() -> None:
    """So many values, so many fields, and no deeper than so."""
    assert sum(count for count, _ in fields([1] * 100_000).values()) == VALUES_MAX
    assert len(fields({str(number): number for number in range(500)})) == FIELDS_MAX
    nested: Any = 1
    for _ in range(5000):
        nested = [nested]
    assert sum(count for count, _ in fields(nested).values()) == 1


def test_a_second_of_looks_becomes_one_entry_with_the_worst_answers_as_examples() -> None:
    """The call id names the answer with most nulls first."""
    inspector = Inspector(iter(range(100)).__next__)
    step = inspected(inspector)
    answer(step, index=3, structuredContent={"result": [{"id": 1, "title": "one"}]})
    answer(step, index=5, structuredContent={"result": ROWS})
    (entry,) = inspector.entries()
    assert (entry.from_ns, entry.at_ns, entry.call, entry.treated) == (0, 1, step.call, False)
    assert entry.answers == 2
    assert entry.fields["result[].title"] == (2, 3, 1)
    assert entry.fields["result[].tags[]"] == (1, 2, 1)
    assert entry.examples == ("s0.5.1", "s0.3.1")
    assert list(inspector.entries()) == []


def test_answers_without_rows_errors_and_plain_text_are_passed_over() -> None:
    """An empty list has no fields to lose, and a text has none to begin with."""
    inspector = Inspector(lambda: 1)
    step = inspected(inspector)
    answer(step, structuredContent={"result": []})
    assert step.expect({"structuredContent": {"result": ROWS}, "isError": True}, {}) is not None
    answer(step, content=[{"type": "text", "text": "no JSON"}])
    assert list(inspector.entries()) == []


def test_only_so_many_answers_a_second_are_looked_into() -> None:
    """The books allow as many again."""
    inspector = Inspector(lambda: 1)
    step = inspected(inspector)
    for _ in range(2):
        for index in range(LOOKS_MAX + 5):
            answer(step, index=index, structuredContent={"result": ROWS})
        assert [entry.answers for entry in inspector.entries()] == [LOOKS_MAX]


def test_only_so_many_sessions_look_and_the_rest_keep_their_steps() -> None:
    """The hot path of everybody else is untouched."""
    of = scenario()
    by = make(of)
    steps = compile_agent(of, by, 0)
    inspector = Inspector(lambda: 1)
    kept = [inspector.equip(steps, planned) is steps for planned in by.sessions]
    assert kept.count(False) == 2 * SESSIONS_MAX
    assert all(kept[2 * SESSIONS_MAX :])
