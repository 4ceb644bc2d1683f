from __future__ import annotations

import anyio
import pytest

from harness.flaws import Flaw
from harness.reference.records import RECORDS_MAX, Records

pytestmark = pytest.mark.anyio

EDITS = 20


@pytest.mark.parametrize("flaw", [None, Flaw.LOST_UPDATE])
async def test_parallel_edits_are_all_kept(flaw: Flaw | None) -> None:
    """Unless a record is read, changed and written back by several at once."""
    records = Records(flaws=frozenset({flaw} if flaw else ()))
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for number in range(EDITS):
                group.start_soon(records.add, "shared", f"entry-{number}")
        kept = await records.entries("shared")
    if flaw is None:
        assert sorted(kept) == sorted(f"entry-{number}" for number in range(EDITS))
    else:
        assert 0 < len(kept) < EDITS


async def test_records_are_kept_apart_and_their_number_is_bounded() -> None:
    """An unknown one is empty, and the oldest gives way."""
    records = Records(flaws=frozenset())
    assert await records.add("first", "a") == 1
    assert await records.entries("second") == []
    for number in range(RECORDS_MAX):
        records._record(str(number))
    assert await records.entries("first") == []
