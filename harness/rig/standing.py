"""Stands the parts of a rig up at the same time, and takes them down one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar

import anyio

from harness.errors import NotHealedError

T = TypeVar("T")


class Part(Generic[T]):
    """A part that is coming up."""

    def __init__(self, manager: AbstractAsyncContextManager[T]) -> None:
        """Hold what makes the part; nothing is started."""
        self._manager = manager
        self._settled = anyio.Event()  # it stands, or failed to
        self._released = anyio.Event()
        self._gone = anyio.Event()
        self._value: T | None = None
        self._failure: Exception | None = None

    async def ready(self) -> T:
        """The part, once it stands.

        Raises:
            Exception: whatever kept it from standing.
        """
        await self._settled.wait()
        if self._failure is not None:
            failure, self._failure = self._failure, None  # told once
            raise failure
        assert self._value is not None
        return self._value

    @property
    def coming_up(self) -> bool:
        """Whether it neither stands nor has failed to."""
        return not self._settled.is_set()

    async def stand(self) -> None:
        """Be the part's whole life: entered and left in one task, as its own tasks demand."""
        try:
            async with self._manager as self._value:
                self._settled.set()
                await self._released.wait()
        except Exception as error:  # noqa: BLE001 - raised by `ready` or `take_down`
            self._failure = error
        finally:
            self._settled.set()
            self._gone.set()

    async def take_down(self) -> None:
        """Let it go, and wait until it has gone.

        Raises:
            Exception: whatever went wrong with that.
        """
        self._released.set()
        await self._gone.wait()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure


@asynccontextmanager
async def standing(manager: AbstractAsyncContextManager[T]) -> AsyncIterator[Part[T]]:
    """A part that begins to come up now and is down when the block ends.

    Raises:
        NotHealedError: the part could not be shown to be gone.
        Exception: whatever the block raised, else whatever the part raised on the way down.
    """
    part = Part(manager)
    failure: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(part.stand)
        try:
            yield part
        except Exception as error:  # noqa: BLE001 - raised again below, unchanged
            failure = error
        finally:
            with anyio.CancelScope(shield=True):
                try:
                    if part.coming_up:
                        group.cancel_scope.cancel()
                    await part.take_down()
                except NotHealedError as error:
                    failure = error  # outranks whatever the block raised
                except Exception as error:  # noqa: BLE001 - raised below
                    failure = failure or error
    if failure is not None:
        raise failure
