"""One of our proxies: its toxics, its switch, and what it has touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import httpx

from harness.errors import RigError
from harness.rig.promises import Promises
from harness.rig.toxiproxy.answers import Exposure, RefusalError, check_integers, check_name
from harness.rig.toxiproxy.library import stock_proxy

T = TypeVar("T")
# Only squall's own proxy has these, and only on a route of its own.
OWN_TYPES = frozenset({"idle"})


class Owner(Protocol):
    """The server that a proxy is on."""

    promises: Promises

    async def ask(self, what: str, work: Callable[[Any], T]) -> T:
        """Do something through the stock client."""
        ...

    async def ask_directly(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, object] | Sequence[object] | None = None,
        *,
        after_others: bool = False,
    ) -> httpx.Response:
        """Do what the stock client cannot."""
        ...

    async def exposure(self, proxy: str, toxic: str | None) -> Exposure:
        """What a proxy, or one of its toxics, has touched."""
        ...

    async def delete(self, name: str) -> None:
        """Remove one of our proxies."""
        ...

    async def gone(self) -> bool:
        """Whether it was a server of our own and has ended."""
        ...


class Proxy:
    """One of our proxies."""

    def __init__(self, owner: Owner, name: str) -> None:
        """Belong to a server; the address comes with its answer."""
        self._owner = owner
        self.name = name
        self.host = "127.0.0.1"
        self.port = 0

    async def add_toxic(
        self,
        name: str,
        *,
        type: str,  # noqa: A002 - Toxiproxy's own word
        stream: str,
        attributes: Mapping[str, int],
        toxicity: float = 1.0,
    ) -> None:
        """Put a toxic into force, on open connections too.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        check_name(name)
        check_integers(name, attributes)
        await self._owner.promises.give("remove_toxic", proxy=self.name, name=name)
        what = f"add toxic {name} to {self.name}"
        try:
            if type in OWN_TYPES:
                body = {"name": name, "type": type, "stream": stream, "toxicity": toxicity}
                await self._owner.ask_directly(
                    what,
                    "POST",
                    f"/squall/proxies/{quote(self.name)}/toxics",
                    {**body, "attributes": dict(attributes)},
                )
                return
            await self._owner.ask(
                what,
                lambda server: stock_proxy(server, self.name).add_toxic(
                    name=name,
                    type=type,
                    stream=stream,
                    toxicity=toxicity,
                    attributes=dict(attributes),
                ),
            )
        except RefusalError:
            self._owner.promises.kept("remove_toxic", self.name, name)
            raise

    async def update_toxic(
        self,
        name: str,
        *,
        attributes: Mapping[str, int] | None = None,
        toxicity: float | None = None,
    ) -> None:
        """Change some of a toxic's attributes, or its toxicity.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        body: dict[str, object] = {}
        if attributes is not None:
            check_integers(name, attributes)
            body["attributes"] = dict(attributes)
        if toxicity is not None:
            body["toxicity"] = toxicity
        what = f"update toxic {name} of {self.name}"
        # POST and not PATCH, which servers before 2.6 do not know.
        await self._owner.ask_directly(what, "POST", self._path(name), body)

    async def remove_toxic(self, name: str) -> None:
        """Take a toxic out of force; one that is gone already is no error.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        what = f"remove toxic {name} from {self.name}"
        try:
            # The call that added it may have been given up and still be on its way.
            await self._owner.ask_directly(what, "DELETE", self._path(name), after_others=True)
        except RefusalError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        except RigError:
            if not await self._owner.gone():
                raise
        self._owner.promises.kept("remove_toxic", self.name, name)

    async def set_enabled(self, enabled: bool) -> None:
        """Bring the proxy up, or down: connections closed, new ones refused.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        verb = "enable" if enabled else "disable"
        if not enabled:
            await self._owner.promises.give("enable_proxy", name=self.name)
        try:
            await self._owner.ask(
                f"{verb} {self.name}",
                lambda server: getattr(stock_proxy(server, self.name), verb)(),
            )
        except RigError:
            if not enabled or not await self._owner.gone():
                raise
        if enabled:
            self._owner.promises.kept("enable_proxy", self.name)

    async def exposure(self, toxic: str | None) -> Exposure:
        """What one toxic has touched since it was added; None asks about the whole proxy.

        For the whole proxy `hits` are the connections closed by going down.

        Raises:
            RigError: the server does not answer, or knows no such toxic.
        """
        return await self._owner.exposure(self.name, toxic)

    async def toxics(self) -> tuple[str, ...]:
        """The names of the toxics in force.

        Raises:
            RigError: the server does not answer.
        """
        found = await self._owner.ask(
            f"list the toxics of {self.name}",
            lambda server: stock_proxy(server, self.name).toxics(),
        )
        return tuple(found)

    async def delete(self) -> None:
        """Remove the proxy.

        Raises:
            RigError: the server refuses, or does not answer.
        """
        await self._owner.delete(self.name)

    def _path(self, toxic: str) -> str:
        return f"/proxies/{quote(self.name)}/toxics/{quote(toxic)}"
