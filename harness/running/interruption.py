"""Signals to end: they end the set-up, or else the storm; nothing cuts the healing short."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
from anyio.abc import TaskStatus

from harness.errors import InterruptedRunError

ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Interruption:
    """What the first signal does; the ones after it do nothing."""

    def __init__(self) -> None:
        """Let a signal cancel the block, until there is something better to do."""
        self.scope = anyio.CancelScope()
        self._seen = ""
        self._end: Callable[[str], None] | None = None

    def arm(self, end: Callable[[str], None]) -> None:
        """From now on a signal calls `end` with its name, and cancels nothing."""
        self._end = end

    def signal(self, name: str) -> None:
        """Take a signal."""
        if self._seen:
            return
        self._seen = name
        if self._end is None:
            self.scope.cancel()
        else:
            self._end(name)

    @property
    def seen(self) -> str:
        """The first signal's name; "" when none has come."""
        return self._seen


@asynccontextmanager
async def interruptible() -> AsyncIterator[Interruption]:
    """Hear signals for as long as the block lasts, its way out included.

    Raises:
        InterruptedRunError: a signal came before the block armed the interruption.
    """
    interruption = Interruption()
    failure: Exception | None = None
    # The body's error is carried past the task group, which would wrap it in a group of one.
    async with anyio.create_task_group() as listening:
        await listening.start(_listen, interruption)
        with interruption.scope:
            try:
                yield interruption
            except Exception as error:  # noqa: BLE001 - raised again below, unchanged
                failure = error
        listening.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if interruption.scope.cancelled_caught:
        raise InterruptedRunError(
            f"{interruption.seen} before the storm began; everything that was started has ended"
        )


async def _listen(
    interruption: Interruption, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    # nohup ignores this one beforehand, and means that a run shall outlive its terminal.
    kept = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heard = [each for each in ENDING if not (kept and each is signal.SIGHUP)]
    with anyio.open_signal_receiver(*heard) as received:
        task_status.started()
        async for number in received:
            interruption.signal(signal.Signals(number).name)
