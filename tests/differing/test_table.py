"""Every row of the table has a test."""

from __future__ import annotations

from tests.differing import test_calls, test_replies, test_sessions
from tests.differing.table import untested


def test_every_row_has_a_test() -> None:
    """Who adds a row says how it is held."""
    assert all((test_calls, test_replies, test_sessions))
    assert untested() == []
