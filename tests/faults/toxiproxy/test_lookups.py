"""Names looked up in threads: how many, for how long, and who waits for whom."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import anyio
import pytest

from faults.toxiproxy import lookups
from faults.toxiproxy.lookups import Lookups

WAIT_S = 10.0


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What every lookup waits for."""
    opened = threading.Event()

    def ask(host: str, port: int, flags: int) -> list[str]:
        if flags == socket.AI_NUMERICHOST:
            raise socket.gaierror
        opened.wait(WAIT_S)
        if host == "nobody":
            raise socket.gaierror
        return [f"{host}:{port}"]

    monkeypatch.setattr(lookups, "_ask", ask)
    yield opened
    opened.set()


@pytest.fixture
def threads() -> Callable[[], int]:
    """Count who has come to look names up since the test began; earlier ones go when they like."""
    others = set(threading.enumerate())

    def count() -> int:
        now = set(threading.enumerate()) - others
        return sum(thread.name == lookups.THREAD for thread in now)

    return count


async def none_left(threads: Callable[[], int]) -> None:
    """They have been told to end, and do so in their own time."""
    with anyio.fail_after(WAIT_S):
        while threads():  # noqa: ASYNC110 - a thread's end is no event of the loop
            await anyio.sleep(0.001)


@pytest.mark.anyio
async def test_what_is_numeric_needs_no_thread(threads: Callable[[], int]) -> None:
    """It is known at once."""
    names = Lookups()
    assert await names.hosts("127.0.0.1", 1) == ["127.0.0.1"]
    assert await names.hosts("::1", 1) == ["::1"]
    assert threads() == 0


@pytest.mark.anyio
async def test_a_name_is_looked_up_and_the_threads_end_with_it(
    threads: Callable[[], int],
) -> None:
    """A close leaves nothing behind, and what comes later is looked up all the same."""
    names = Lookups()
    for _ in range(2):
        assert "127.0.0.1" in await names.hosts("localhost", 1)
        assert threads() == 1
        names.close()
        await none_left(threads)


@pytest.mark.anyio
async def test_no_more_threads_than_allowed_and_everyone_is_answered(
    gate: threading.Event, threads: Callable[[], int]
) -> None:
    """The others wait their turn; an error is its own asker's alone."""
    names = Lookups(threads_max=2)
    answers: dict[int, list[str] | None] = {}

    async def ask(number: int) -> None:
        host = "nobody" if number == 3 else "somebody"
        try:
            answers[number] = await names.hosts(host, number)
        except OSError:
            answers[number] = None

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(ask, number)
            await anyio.wait_all_tasks_blocked()
            assert threads() == 2
            gate.set()
    assert answers == {n: None if n == 3 else [f"somebody:{n}"] for n in range(8)}
    names.close()


@pytest.mark.anyio
async def test_who_gives_up_is_not_waited_for(gate: threading.Event) -> None:
    """Neither by a later lookup nor at the end, though the thread is still away."""
    names = Lookups(threads_max=2)
    with anyio.fail_after(WAIT_S):
        with anyio.move_on_after(0.05) as patience:
            await names.hosts("somebody", 1)
        assert patience.cancelled_caught
        gate.set()
        assert await names.hosts("somebody", 2) == ["somebody:2"]
        names.close()
