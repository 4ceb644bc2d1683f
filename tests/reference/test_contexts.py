"""What is remembered is known to every process that serves the same file, and to few by flaw."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.flaws import Flaw, Flaws
from harness.reference import notes as notes_of
from harness.reference.callers import Caller
from harness.reference.contexts import Contexts
from harness.reference.notes import SqliteNotes

pytestmark = pytest.mark.anyio
ANNA = Caller(client="a", subject="anna", holder="a")
BERT = Caller(client="b", subject="bert", holder="b")


async def replicas(folder: Path, flaws: Flaws) -> tuple[str | None, str | None, str | None]:
    """What a second process says after the first was told something: once, anew, to another."""
    stores = [SqliteNotes(folder / "ledger.sqlite", flaws=flaws) for _ in range(2)]
    first, second = (Contexts(flaws=flaws, store=store) for store in stores)
    await first.put(ANNA, "s1", "task", "one")
    once = await second.get(ANNA, "s1", "task")
    await first.put(ANNA, "s1", "task", "two")
    anew = await second.get(ANNA, "s1", "task")
    foreign = await second.get(BERT, "s1", "task")
    for store in stores:
        await store.close()
    return once, anew, foreign


async def test_another_process_knows_what_one_was_told(tmp_path: Path) -> None:
    """As it stands now, and to nobody but its owner."""
    assert await replicas(tmp_path, frozenset()) == ("one", "two", None)


async def test_state_in_memory_is_known_to_one_process_alone(tmp_path: Path) -> None:
    """The flaw ram-state."""
    assert await replicas(tmp_path, frozenset({Flaw.RAM_STATE})) == (None, None, None)


@pytest.mark.parametrize("flaws", [frozenset[Flaw](), frozenset({Flaw.RAM_STATE})])
async def test_the_oldest_value_gives_way(
    flaws: Flaws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody fills a disk or a memory by remembering."""
    monkeypatch.setattr(notes_of, "CONTEXTS_MAX", 2)
    monkeypatch.setattr("harness.reference.contexts.CONTEXTS_MAX", 2)
    store = SqliteNotes(tmp_path / "ledger.sqlite", flaws=flaws)
    contexts = Contexts(flaws=flaws, store=store)
    for number in range(3):
        await contexts.put(ANNA, "s1", f"key-{number}", str(number))
    said = [await contexts.get(ANNA, "s1", f"key-{number}") for number in range(3)]
    assert said == [None, "1", "2"]
    await store.close()
