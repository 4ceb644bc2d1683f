"""What a scenario says of a tool: the first sentence of its description."""

from __future__ import annotations

import pytest

from harness.discovery.trying import _sentence


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Read one room. It must exist.", "Read one room"),
        ("Read a room by its id, e.g. r1, i.e. what a list gives. More.", None),
        ("Is it there? Says so.", "Is it there?"),
        ("Two\n lines  as one.", "Two lines as one"),
    ],
)
def test_a_sentence_ends_at_its_stop_and_not_at_that_of_a_short_form(
    text: str, first: str | None
) -> None:
    """A comment that breaks off at "e.g." says nothing."""
    assert _sentence(text) == (first or "Read a room by its id, e.g. r1, i.e. what a list gives")
