from __future__ import annotations

import json

import pytest

from harness.scenario.results import MISSING, parse_path, path, rows, texts

STRUCTURED = {"structuredContent": {"result": [{"id": "a"}, {"id": "b"}]}, "content": []}
TEXT = {"content": [{"type": "text", "text": json.dumps({"result": [{"id": "t"}]})}]}


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("id", ("id",)),
        ("result[0].id", ("result", 0, "id")),
        ("result.0.id", ("result", 0, "id")),
        ("[1].id", (1, "id")),
        ("a[0][12].b-c", ("a", 0, 12, "b-c")),
    ],
)
def test_a_path_is_read_step_by_step(text: str, steps: tuple[str | int, ...]) -> None:
    """Brackets and dots say the same."""
    assert parse_path(text) == steps


@pytest.mark.parametrize("text", ["", ".", "a.", "a[", "a[x]", "a[-1]", "a..b", "a b", "a[1]b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    """A path that finds nothing ever would make every step miss its value."""
    with pytest.raises(ValueError, match="no path"):
        parse_path(text)


def test_structured_content_is_looked_at_first() -> None:
    """Then the text block's JSON, then the raw result."""
    both = STRUCTURED | TEXT
    assert path(both, "result[0].id") == "a"
    assert path(TEXT, "result[0].id") == "t"
    assert path(both, "content[0].type") == "text"
    assert path({"tools": [{"name": "x"}]}, "tools[0].name") == "x"


@pytest.mark.parametrize("text", ["result[2].id", "result.id", "result[0].id.x", "nothing"])
def test_what_is_not_there_is_missing(text: str) -> None:
    """Missing is no value, not even null."""
    assert path(STRUCTURED, text) is MISSING
    assert path({"structuredContent": {"nothing": None}}, "nothing") is None


@pytest.mark.parametrize(
    ("result", "count"),
    [
        (STRUCTURED, 2),
        ({"structuredContent": [1, 2, 3], "content": []}, 3),
        ({"structuredContent": {"items": [1], "total": 9}, "content": []}, 1),
        ({"structuredContent": {"result": []}, "content": []}, 0),
        (TEXT, 1),
        ({"content": [{"type": "text", "text": "[1, 2]"}]}, 2),
        ({"content": [{"type": "text", "text": "words"}, {"type": "text", "text": "more"}]}, 2),
        ({"content": [{"type": "text", "text": "{broken"}]}, 1),
        ({"structuredContent": {"id": "one"}, "content": [{"type": "text", "text": "x"}]}, 1),
        ({"tools": [1, 2]}, 2),
        ({"resources": []}, 0),
        ({"contents": [{}]}, 1),
        ({"anything": 1}, -1),
        ({}, -1),
        ({"content": "nonsense"}, -1),
    ],
)
def test_rows_are_counted_where_a_tool_puts_them(result: dict[str, object], count: int) -> None:
    """-1 when nothing in a result can be counted."""
    assert rows(result) == count


def test_the_texts_of_a_result_are_values_and_not_keys() -> None:
    """Those of its content; what a protocol adds beside it is nobody's answer."""
    result = {
        "_meta": {"a": "hidden"},
        "content": [{"text": "seen"}],
        "structuredContent": {"k": 1},
    }
    assert list(texts(result)) == ["seen"]
    assert list(texts({"tools": [{"name": "x"}]})) == ["x"]
