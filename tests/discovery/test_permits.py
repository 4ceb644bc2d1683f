"""Which tools are never called, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.discovery.offers import Tool
from harness.discovery.permits import Permit, refusal


def tool(**hints: Any) -> Tool:
    """A tool with these annotations."""
    return Tool(name="drop_table", description="", schema={}, hints=hints)


@pytest.mark.parametrize(
    ("hints", "why"),
    [
        ({}, "not annotated"),
        ({"readOnlyHint": "yes"}, "not annotated"),
        ({"destructiveHint": True}, "destructive"),
        ({"readOnlyHint": False}, "does not say that it destroys nothing"),
        ({"readOnlyHint": False, "destructiveHint": True}, "destructive"),
        ({"readOnlyHint": False, "destructiveHint": False}, "it writes"),
        ({"idempotentHint": True}, "not annotated"),
    ],
)
def test_only_what_says_that_it_reads_is_called(hints: dict[str, Any], why: str) -> None:
    """Everything else is named with its reason, until effects are allowed."""
    refused = refusal(tool(**hints), Permit())
    assert refused is not None
    assert why in refused.why
    assert "--allow-effects" in refused.why
    assert refusal(tool(**hints), Permit(effects=True)) is None


def test_what_reads_is_called_and_what_is_skipped_is_not() -> None:
    """To skip a tool outranks all that is allowed."""
    reads = tool(readOnlyHint=True)
    assert refusal(reads, Permit()) is None
    refused = refusal(reads, Permit(effects=True, skipped=("drop_*",)))
    assert refused is not None
    assert refused.why == "skipped, as --skip drop_* says"
