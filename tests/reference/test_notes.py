"""One contract for both stores of notes, and what only a database can do to its users."""

from __future__ import annotations

import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
import psycopg
import pytest
from anyio.abc import TaskGroup
from psycopg.rows import TupleRow

from harness.errors import UsageError
from harness.flaws import Flaw, Flaws
from harness.reference.notes import Note, Notes, NotesError, SqliteNotes
from harness.reference.postgres import CONNECTIONS_MAX, PostgresNotes
from harness.rig import ledger
from tests.reference.database import PASSWORD, Database, database

pytestmark = [pytest.mark.anyio, pytest.mark.real]

Kind = Literal["sqlite", "postgres"]
HARDENED: Flaws = frozenset()
EMPTY = "DROP TABLE IF EXISTS stored; DROP TABLE IF EXISTS executions"


@dataclass(frozen=True, kw_only=True)
class Store:
    """Notes of one kind, which can be opened again, and their ledger as others see it."""

    make: Callable[[Flaws], Notes]
    effects: Callable[[], list[str]]

    @asynccontextmanager
    async def open(self, flaws: Flaws = HARDENED) -> AsyncIterator[Notes]:
        """The store for as long as the block lasts."""
        notes = self.make(flaws)
        await notes.open()
        try:
            yield notes
        finally:
            await notes.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Database]:
    """One PostgreSQL for all tests of this module; each empties it, or brings it up again."""
    with database() as cluster:
        yield cluster


@pytest.fixture
def empty(running: Database) -> Database:
    """The database without a table."""
    running.ask(EMPTY)
    return running


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind, empty."""
    kind: Kind = request.param
    if kind == "sqlite":
        file = tmp_path / "ledger.db"
        return Store(
            make=lambda flaws: SqliteNotes(file, flaws=flaws),
            effects=lambda: [row.key for row in ledger.read(file)],
        )
    cluster: Database = request.getfixturevalue("empty")
    return Store(
        make=lambda flaws: PostgresNotes(cluster.url, flaws=flaws),
        effects=lambda: effects(cluster),
    )


def effects(cluster: Database) -> list[str]:
    """What the ledger in the database shows, in order."""
    return [key for (key,) in cluster.ask("SELECT key FROM executions ORDER BY sequence")]


async def write(  # noqa: PLR0917 - in the order in which tests care
    notes: Notes, text: str, once: str = "", key: str = "k", client: str = "c", subject: str = "s"
) -> Note:
    """Append a note, with an idempotency key or without."""
    return await notes.append(
        key=key, text=text, client=client, subject=subject, idempotency_key=once
    )


async def test_every_note_without_a_key_takes_effect(store: Store) -> None:
    """Each gets a number of its own, above the one before, and the ledger shows it at once."""
    with anyio.fail_after(20):
        async with store.open() as notes:
            first, second = await write(notes, "a"), await write(notes, "a")
            assert store.effects() == ["a", "a"]
    assert first["text"] == second["text"] == "a"
    assert first["sequence"] < second["sequence"]


async def test_a_repeated_key_gives_the_first_note_as_it_was(store: Store) -> None:
    """Whatever the repeat says; and the ledger shows one effect."""
    with anyio.fail_after(20):
        async with store.open() as notes:
            first = await write(notes, "a", "once")
            again = await write(notes, "changed", "once", key="other")
    assert first == again
    assert store.effects() == ["a"]


async def test_many_repeats_at_the_same_time_take_effect_once(store: Store) -> None:
    """The memory of a key and its effect are one transaction."""
    answers: list[Note] = []

    async def repeat(notes: Notes) -> None:
        answers.append(await write(notes, "a", "once"))

    with anyio.fail_after(20):
        async with store.open() as notes, anyio.create_task_group() as group:
            for _ in range(40):
                group.start_soon(repeat, notes)
    assert len(answers) == 40
    assert all(answer == answers[0] for answer in answers)
    assert store.effects() == ["a"]


async def test_a_key_belongs_to_its_client_and_subject(store: Store) -> None:
    """Strangers who chose the same one are all served."""
    with anyio.fail_after(20):
        async with store.open() as notes:
            for client, subject in (("c", "s"), ("d", "s"), ("c", "t")):
                await write(notes, client + subject, "once", client=client, subject=subject)
    assert sorted(store.effects()) == ["cs", "ct", "ds"]


async def test_a_store_that_is_opened_again_remembers(store: Store) -> None:
    """A repeat after a restart takes no effect again."""
    with anyio.fail_after(20):
        async with store.open() as notes:
            first = await write(notes, "a", "once")
        async with store.open() as notes:
            again = await write(notes, "a", "once")
            later = await write(notes, "b")
    assert first == again
    assert later["sequence"] > first["sequence"]
    assert store.effects() == ["a", "b"]


async def test_the_flaw_forgets_every_key(store: Store) -> None:
    """A repeated call takes effect again, which is what the flaw is for."""
    with anyio.fail_after(20):
        async with store.open(frozenset({Flaw.NO_DEDUP})) as notes:
            first, again = await write(notes, "a", "once"), await write(notes, "a", "once")
    assert first["sequence"] != again["sequence"]
    assert store.effects() == ["a", "a"]


@pytest.mark.parametrize(
    "text", ["", "'; DROP TABLE stored; --", "%s ${x} é 語 🌀", "x" * 1_000_000]
)
async def test_a_text_comes_back_as_it_was(store: Store, text: str) -> None:
    """Empty, hostile, foreign and long ones."""
    with anyio.fail_after(20):
        async with store.open() as notes:
            await write(notes, text, "once")
            again = await write(notes, "", "once")
    assert again["text"] == text
    assert store.effects() == [text]


async def test_an_open_store_is_ready(store: Store) -> None:
    """Which is what a health check asks."""
    with anyio.fail_after(20):
        async with store.open() as notes:
            await notes.check()


async def test_a_refused_effect_leaves_no_memory_of_its_key(empty: Database) -> None:
    """So that the repeat is done, not answered from a memory of nothing."""
    with anyio.fail_after(20):
        async with Store(
            make=lambda flaws: PostgresNotes(empty.url, flaws=flaws), effects=list
        ).open() as notes:
            await notes.check()
            empty.ask("ALTER TABLE executions ADD CONSTRAINT sour CHECK (key <> 'a')")
            with pytest.raises(NotesError, match="nothing was written"):
                await write(notes, "a", "once")
            empty.ask("ALTER TABLE executions DROP CONSTRAINT sour")
            await write(notes, "a", "once")
    assert effects(empty) == ["a"]


async def test_two_servers_on_one_empty_database_write_a_note_once(empty: Database) -> None:
    """They make its tables at the same time, and share its memory."""
    stores = [PostgresNotes(empty.url, flaws=HARDENED) for _ in range(2)]
    answers: list[Note] = []

    async def repeat(notes: Notes) -> None:
        answers.append(await write(notes, "a", "once"))

    with anyio.fail_after(20):
        for notes in stores:
            await notes.open()
        async with anyio.create_task_group() as group:
            for index in range(20):
                group.start_soon(repeat, stores[index % 2])
        for notes in stores:
            await notes.close()
    assert len(answers) == 20
    assert effects(empty) == ["a"]


async def test_a_database_that_comes_late_is_used_when_it_is_there(empty: Database) -> None:
    """Until then every call is told in words that nothing was written."""
    empty.stop()
    notes = PostgresNotes(empty.url, flaws=HARDENED)
    with anyio.fail_after(40):
        await notes.open()
        try:
            with pytest.raises(NotesError, match="connections to the database could be had"):
                await write(notes, "early", "once")
            with pytest.raises(NotesError, match="nothing was written"):
                await notes.check()
        finally:
            empty.start()
        await write_when_it_is_back(notes, "late")
        await notes.close()
    assert effects(empty) == ["late"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_database_that_was_away_is_used_again(empty: Database, how: int) -> None:
    """Connections that died are replaced; what was written before is remembered."""
    notes = PostgresNotes(empty.url, flaws=HARDENED)
    with anyio.fail_after(40):
        await notes.open()
        first = await write(notes, "a", "once")
        empty.stop(how=how)
        try:
            with pytest.raises(NotesError):
                await write(notes, "b")
        finally:
            empty.start()
        await write_when_it_is_back(notes, "c")
        again = await write(notes, "a", "once")
        await notes.close()
    assert first == again
    assert effects(empty) == ["a", "c"]


async def write_when_it_is_back(notes: Notes, text: str) -> None:
    """Repeat a note under one key until it is written, as a client would."""
    while True:
        try:
            await write(notes, text, text)
        except NotesError:
            await anyio.sleep(0.05)
        else:
            return


async def test_a_busy_pool_is_an_error_in_words(empty: Database) -> None:
    """Calls that find every connection taken are told so within seconds, and nothing is written."""
    notes = PostgresNotes(empty.url, flaws=HARDENED)
    refused: list[str] = []
    enough = anyio.Event()

    async def wait(text: str) -> None:
        try:
            await write(notes, text, "once")
        except NotesError as error:
            refused.append(str(error))
            if len(refused) == 4:
                enough.set()

    with anyio.fail_after(40):
        await notes.open()
        await write(notes, "a", "once")
        async with await empty.connection() as other:
            await other.execute("LOCK TABLE stored")
            async with anyio.create_task_group() as group:
                for index in range(CONNECTIONS_MAX + 4):
                    group.start_soon(wait, f"b{index}")
                await enough.wait()
                await other.rollback()
        await notes.close()
    assert len(refused) == 4
    assert all("could be had" in error for error in refused)
    assert effects(empty) == ["a"]


async def test_a_database_that_does_not_answer_leaves_the_note_in_doubt(empty: Database) -> None:
    """The caller is told to repeat it, after a bounded wait; the repeat settles it."""
    notes = PostgresNotes(empty.url, flaws=HARDENED)
    with anyio.fail_after(40):
        await notes.open()
        await notes.check()
        async with await empty.connection() as other:
            await other.execute("LOCK TABLE stored")
            with pytest.raises(NotesError, match="repeat the call"):
                await write(notes, "a", "once")
        await write(notes, "a", "once")
        await notes.close()
    assert effects(empty) == ["a"]


async def test_a_database_that_falls_silent_is_given_up_in_time(empty: Database) -> None:
    """No wait is for ever, neither for an answer nor for a check; then all is well again."""
    notes = PostgresNotes(empty.url, flaws=HARDENED)
    with anyio.fail_after(60):
        await notes.open()
        first = await write(notes, "a", "once")
        with empty.frozen():
            for _ in range(2):
                with pytest.raises(NotesError):
                    await write(notes, "b")
        await write_when_it_is_back(notes, "c")
        again = await write(notes, "a", "once")
        await notes.close()
    assert first == again
    assert effects(empty) == ["a", "c"]


async def test_callers_that_leave_take_no_connection_with_them(empty: Database) -> None:
    """Cancelled amid their statements, as many as there are connections; the next one is served."""
    notes = PostgresNotes(empty.url, flaws=HARDENED)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    async def leave(group: TaskGroup, other: psycopg.AsyncConnection[TupleRow]) -> None:
        while empty.ask(waiting) != [(CONNECTIONS_MAX,)]:  # noqa: ASYNC110 - it tells nobody
            await anyio.sleep(0.02)
        group.cancel_scope.cancel()
        await other.rollback()

    with anyio.fail_after(40):
        await notes.open()
        await notes.check()
        for _ in range(2):
            async with await empty.connection() as other, anyio.create_task_group() as outer:
                await other.execute("LOCK TABLE stored")
                async with anyio.create_task_group() as group:
                    outer.start_soon(leave, group, other)
                    for index in range(CONNECTIONS_MAX):
                        group.start_soon(write, notes, f"n{index}", f"n{index}")
        last = await write(notes, "last", "last")
        await notes.close()
    assert last["text"] == "last"
    assert sorted(effects(empty)) == ["last", *(f"n{index}" for index in range(CONNECTIONS_MAX))]


async def test_no_word_about_a_refused_password_holds_it(
    empty: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the error that callers read nor the log."""
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-" + PASSWORD
    notes = PostgresNotes(empty.url.replace(PASSWORD, wrong), flaws=HARDENED)
    with anyio.fail_after(20):
        await notes.open()
        with pytest.raises(NotesError) as caught:
            await write(notes, "a")
        await notes.close()
    assert "error connecting" in caplog.text
    assert PASSWORD not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    "url", [f"postgresql://squall:{PASSWORD}@h:port:2/x%zz", f"squall {PASSWORD}", f"k={PASSWORD}"]
)
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(UsageError) as caught:
        PostgresNotes(url, flaws=HARDENED)
    assert PASSWORD not in str(caught.value)
    assert "postgresql://" in str(caught.value)
