"""The clock that every waiting toxic shares."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import AsyncIterator

import pytest
from anyio import fail_after

from faults.toxiproxy.path import alarm as alarms
from faults.toxiproxy.path.alarm import Alarm

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["system", "loop"])
async def alarm(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Alarm]:
    """An alarm on the system's timer, if it has one, and one on the loop's."""
    if request.param == "loop":
        monkeypatch.setattr(alarms._SystemTimer, "open", lambda: None)
    made = Alarm(asyncio.get_running_loop())
    yield made
    made.close()


async def test_it_calls_in_the_order_of_the_times_and_never_early(alarm: Alarm) -> None:
    """Whatever the order in which they were set."""
    rng, called, done = random.Random(1), list[tuple[float, float]](), asyncio.Event()
    began_s = time.monotonic()
    dues_s = [began_s + rng.random() * 0.1 for _ in range(300)]

    def note(due_s: float) -> None:
        called.append((due_s, time.monotonic()))
        if len(called) == len(dues_s):
            done.set()

    for due_s in dues_s:
        alarm.at(due_s, functools.partial(note, due_s))
    with fail_after(5):
        await done.wait()
    assert [due_s for due_s, _ in called] == sorted(dues_s)
    assert all(now_s >= due_s for due_s, now_s in called)


async def test_a_time_that_has_passed_is_called_soon_but_not_at_once(alarm: Alarm) -> None:
    """The caller is never called back from within its own call."""
    done = asyncio.Event()
    alarm.at(0.0, done.set)
    assert not done.is_set()
    with fail_after(5):
        await done.wait()


async def test_a_sooner_time_overtakes_one_that_was_set_before(alarm: Alarm) -> None:
    """And what is set while it rings is called as well."""
    called, done = list[str](), asyncio.Event()

    def first() -> None:
        called.append("first")
        alarm.at(time.monotonic() + 0.001, lambda: called.append("second"))

    alarm.at(time.monotonic() + 0.1, done.set)
    alarm.at(time.monotonic() + 0.001, first)
    with fail_after(5):
        await done.wait()
    assert called == ["first", "second"]


async def test_what_is_cancelled_is_not_called_and_not_kept(alarm: Alarm) -> None:
    """A toxic of an hour on connections that come and go leaves nothing behind."""
    done = asyncio.Event()
    for _ in range(5000):
        alarm.at(time.monotonic() + 3600, done.set).cancel()
    assert len(alarm._wakes) < 2500
    soon = alarm.at(time.monotonic() + 0.001, done.set)
    soon.cancel()
    soon.cancel()
    later = asyncio.Event()
    alarm.at(time.monotonic() + 0.02, later.set)
    with fail_after(5):
        await later.wait()
    assert not done.is_set()


async def test_one_that_fails_does_not_silence_the_others(alarm: Alarm) -> None:
    """The loop hears of it, and the next one has its time."""
    loop, heard, done = asyncio.get_running_loop(), list[object](), asyncio.Event()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))

    def fail() -> None:
        raise ValueError("on purpose")

    now_s = time.monotonic()
    alarm.at(now_s + 0.001, fail)
    alarm.at(now_s + 0.001, done.set)
    with fail_after(5):
        await done.wait()
    loop.set_exception_handler(None)
    assert [str(error) for error in heard] == ["on purpose"]


async def test_a_closed_alarm_calls_nobody() -> None:
    """Neither later nor through a timer that is still set."""
    alarm, called = Alarm(asyncio.get_running_loop()), list[int]()
    alarm.at(time.monotonic() + 0.001, lambda: called.append(1))
    alarm.close()
    await asyncio.sleep(0.01)
    assert called == []


async def test_many_that_are_due_at_once_let_others_in(alarm: Alarm) -> None:
    """A control call must not wait until every connection of a crowd has been served."""
    loop, rung, between, done = asyncio.get_running_loop(), 0, list[int](), asyncio.Event()

    def ring() -> None:
        nonlocal rung
        until_s = time.monotonic() + 0.001
        while time.monotonic() < until_s:
            pass
        rung += 1
        if rung == 1:
            loop.call_soon(lambda: between.append(rung))
        if rung == 100:
            done.set()

    now_s = time.monotonic()
    for _ in range(100):
        alarm.at(now_s, ring)
    with fail_after(5):
        await done.wait()
    assert between[0] < 50
