"""Reading the ledger of effects."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import RigError
from harness.reference.notes import SqliteNotes
from harness.rig.ledger import Execution, read


@pytest.mark.anyio
async def test_a_ledger_is_read_while_it_is_written_and_after(tmp_path: Path) -> None:
    """Every effect is there as soon as its call was answered, and stays."""
    path = tmp_path / "ledger.db"
    notes = SqliteNotes(path, flaws=frozenset())
    started_ns = time.monotonic_ns()
    await notes.append(key="k", text="a", client="c", subject="s", idempotency_key="")
    during = read(path)
    await notes.append(key="k", text="b", client="c", subject="s", idempotency_key="")
    await notes.close()
    after = read(path)
    assert during == after[:1]
    assert [execution.key for execution in after] == ["a", "b"]
    assert started_ns < after[0].at_ns < after[1].at_ns < time.monotonic_ns()
    assert after[0] == Execution(
        at_ns=after[0].at_ns, tool="append_note", key="a", subject="s", client="c"
    )


@pytest.mark.anyio
async def test_a_restarted_server_remembers_its_idempotency_keys(tmp_path: Path) -> None:
    """A repeat after a crash takes no effect again."""
    kept = []
    for text in ("a", "changed"):
        notes = SqliteNotes(tmp_path / "ledger.db", flaws=frozenset())
        note = await notes.append(
            key="k", text=text, client="c", subject="s", idempotency_key="once"
        )
        kept.append(note)
        await notes.close()
    assert kept[0] == kept[1] == {"key": "k", "text": "a", "sequence": 1}
    assert len(read(tmp_path / "ledger.db")) == 1


def test_a_missing_ledger_is_one_clear_sentence(tmp_path: Path) -> None:
    """And none is made by looking for it."""
    with pytest.raises(RigError, match="found no file"):
        read(tmp_path / "ledger.db")
    assert not (tmp_path / "ledger.db").exists()


def test_a_file_that_is_no_ledger_is_one_clear_sentence(tmp_path: Path) -> None:
    """Another database, and no database at all."""
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE something (a)")
    text = tmp_path / "text"
    text.write_text("not a database, but long enough to be taken for one" * 100)
    for path in (other, text):
        with pytest.raises(RigError, match="expected a ledger at"):
            read(path)
