"""Every proxy of one server, and the rules by which the API changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from faults.toxiproxy.addresses import ListenError, resolve
from faults.toxiproxy.control.bodies import BodyError, array, decode, fields
from faults.toxiproxy.control.demands import (
    LEASE,
    PROXY,
    SETTINGS,
    TOXIC,
    ApiError,
    Given,
    lease_ms,
    new_settings,
    new_toxic,
    read,
    require,
    settings,
    text,
)
from faults.toxiproxy.control.leases import Key, Leases
from faults.toxiproxy.ledger import Ledger, Way
from faults.toxiproxy.lookups import Lookups
from faults.toxiproxy.path.alarm import Alarm
from faults.toxiproxy.path.link import Connection
from faults.toxiproxy.path.stage import Budget, Toxic
from faults.toxiproxy.proxy import Proxy

HELD_BYTES_MAX = 128 * 1024 * 1024


class PopulateError(ApiError):
    """Populating stopped half-way; `done` are the proxies that stand."""

    def __init__(self, status: int, text: str, done: list[Proxy] | None) -> None:
        """Carry what the body shows."""
        super().__init__(status, text)
        self.done = done


def show_toxic(toxic: Toxic) -> dict[str, object]:
    """A toxic as the API shows it."""
    return {
        "attributes": toxic.attributes | toxic.fractions,
        "name": toxic.name,
        "type": toxic.type,
        "stream": toxic.stream,
        "toxicity": toxic.toxicity,
    }


def show_proxy(proxy: Proxy) -> dict[str, object]:
    """A proxy as the API shows it, with the stray field of the original."""
    return {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.enabled,
        "Logger": {},
        "toxics": [show_toxic(toxic) for toxic in proxy.all_toxics()],
    }


class Store:
    """The proxies by name; the one thing that the API changes."""

    def __init__(self, seed: int, ledger: Ledger | None = None) -> None:
        """Start empty; `seed` decides every draw of every toxic."""
        self.seed = seed
        self.proxies: dict[str, Proxy] = {}
        self.ledger = ledger
        loop = asyncio.get_running_loop()
        self.leases = Leases(loop, self._expire)
        self.lookups = Lookups()
        self._budget = Budget(limit_bytes=HELD_BYTES_MAX)
        self._alarm = Alarm(loop)

    def get(self, name: str) -> Proxy:
        """The proxy of that name.

        Raises:
            ApiError: 404.
        """
        if name not in self.proxies:
            raise ApiError(404, "proxy not found")
        return self.proxies[name]

    def get_toxic(self, proxy_name: str, name: str) -> tuple[Proxy, Toxic]:
        """A proxy and one of its toxics.

        Raises:
            ApiError: 404.
        """
        proxy = self.get(proxy_name)
        toxic = proxy.find(name)
        if toxic is None:
            raise ApiError(404, "toxic not found")
        return proxy, toxic

    def make(self, given: Given) -> Proxy:
        """A proxy that nobody knows yet and that does not listen."""
        return Proxy(
            text(given, "name"),
            text(given, "listen"),
            text(given, "upstream"),
            seed=self.seed,
            budget=self._budget,
            alarm=self._alarm,
            ledger=self.ledger,
        )

    async def create(self, body: bytes) -> Proxy:
        """Make a proxy, listening unless it is to be disabled.

        Raises:
            ApiError: 400, 409, or 500 with the system's words.
        """
        given = read(body, PROXY)
        require(given, "name", "upstream")
        proxy = self.make(given)
        resolved = ""
        if proxy.name not in self.proxies and given.get("enabled", True):
            resolved = await self._resolve_to_start(proxy.listen)
        # Looked at after the wait: another call may have been quicker.
        if proxy.name in self.proxies:
            raise ApiError(409, "proxy already exists")
        if resolved:
            self._start(proxy, resolved)
        self.proxies[proxy.name] = proxy
        return proxy

    async def update(self, name: str, body: bytes) -> Proxy:
        """Change where a proxy listens or leads, or whether it is up.

        Raises:
            ApiError: 400, 404, or 500 with the system's words.
        """
        proxy = self.get(name)
        given = read(body, PROXY)
        listen = text(given, "listen", proxy.listen)
        try:
            resolved = await resolve(listen, self.lookups)
        except ListenError as error:
            raise ApiError(500, str(error)) from None
        if self.get(name) is not proxy:  # made anew while a name was looked up
            raise ApiError(404, "proxy not found")
        upstream = text(given, "upstream", proxy.upstream)
        enabled = given.get("enabled", proxy.enabled)
        if proxy.listen != resolved or proxy.upstream != upstream:
            proxy.stop()
            proxy.listen, proxy.upstream = listen, upstream
        if enabled:
            self._start(proxy, resolved)
        else:
            proxy.stop()
        return proxy

    def delete(self, name: str) -> None:
        """Stop a proxy and forget it.

        Raises:
            ApiError: 404.
        """
        self.get(name).stop()
        del self.proxies[name]
        self.leases.lift_all(name)

    async def populate(self, body: bytes) -> list[Proxy] | None:
        """Make or replace several proxies; one that is the same already is kept as it is.

        Raises:
            ApiError: 400 before anything is changed.
            PopulateError: 500 at the first that fails.
        """
        try:
            wanted = [fields(entry, PROXY) for entry in array(decode(body))]
        except BodyError as error:
            raise PopulateError(400, f"bad request body: {error}", None) from None
        for position, entry in enumerate(wanted, start=1):
            try:
                require(entry, "name", "upstream", where=f" at proxy {position}")
            except ApiError as error:
                raise PopulateError(error.status, error.text, None) from None
        done: list[Proxy] = []
        for entry in wanted:
            try:
                done.append(await self._add_or_replace(entry))
            except ApiError as error:
                raise PopulateError(error.status, error.text, done or None) from None
        return done or None

    async def reset(self) -> None:
        """Bring every proxy up and take every toxic out.

        Raises:
            ApiError: 500 at the first that will not start.
        """
        for name, proxy in tuple(self.proxies.items()):
            if not proxy.enabled:
                resolved = await self._resolve_to_start(proxy.listen)
                if self.proxies.get(name) is not proxy:
                    continue
                self._start(proxy, resolved)
            for toxic in proxy.all_toxics():
                self.drop_toxic(proxy, toxic)

    def add_toxic(self, proxy_name: str, body: bytes, *, additions: bool = False) -> Toxic:
        """Put a toxic into force; `additions` allows types of our own, and a lease from the start.

        Raises:
            ApiError: 400, 404 or 409, in the original's order of checks.
        """
        proxy = self.get(proxy_name)
        given = read(body, {**TOXIC, **LEASE} if additions else TOXIC)
        taken = {toxic.name for toxic in proxy.all_toxics()}
        toxic = new_toxic(given, taken, additions=additions)
        ttl_ms = lease_ms(given)
        proxy.add(toxic)
        if ttl_ms is not None:
            self.leases.grant((proxy_name, toxic.name), ttl_ms)
        return toxic

    def update_toxic(self, proxy_name: str, name: str, body: bytes) -> Toxic:
        """Change some of a toxic's attributes, or its toxicity, on open connections too.

        Raises:
            ApiError: 400 or 404; then nothing has changed.
        """
        proxy, toxic = self.get_toxic(proxy_name, name)
        new_settings(toxic.type, settings(toxic), read(body, SETTINGS)).apply(toxic)
        proxy.update(toxic)
        return toxic

    def remove_toxic(self, proxy_name: str, name: str) -> None:
        """Take a toxic out of force.

        Raises:
            ApiError: 404.
        """
        self.drop_toxic(*self.get_toxic(proxy_name, name))

    def drop_toxic(self, proxy: Proxy, toxic: Toxic) -> None:
        """Take a toxic out of force, and its lease with it: the name may be used again."""
        self.leases.lift((proxy.name, toxic.name))
        proxy.remove(toxic)

    def lease(self, proxy_name: str, toxic_name: str | None, body: bytes) -> int:
        """Let a proxy or a toxic end by itself after `ttl_ms` unless renewed; 0 lifts the lease.

        Raises:
            ApiError: 400 or 404.
        """
        key = self._leasable(proxy_name, toxic_name)
        ttl_ms = lease_ms(read(body, {"ttl_ms": "int"}), "ttl_ms")
        if ttl_ms is None:
            raise ApiError(400, "missing required field: ttl_ms")
        self.leases.grant(key, ttl_ms)
        return ttl_ms

    def lease_left_ms(self, proxy_name: str, toxic_name: str | None) -> int | None:
        """How long a proxy or toxic has yet; None if it has no lease.

        Raises:
            ApiError: 404.
        """
        return self.leases.left_ms(self._leasable(proxy_name, toxic_name))

    def open_ways(self) -> Iterator[tuple[Way, Connection]]:
        """Every open connection, with the way it goes."""
        for proxy in self.proxies.values():
            for connection, arrival in proxy.connections.items():
                yield arrival.way, connection

    def close(self) -> None:
        """Stop every proxy."""
        for name in tuple(self.proxies):
            self.delete(name)
        self.lookups.close()
        self._alarm.close()

    def _leasable(self, proxy_name: str, toxic_name: str | None) -> Key:
        if toxic_name is None:
            self.get(proxy_name)
        else:
            self.get_toxic(proxy_name, toxic_name)
        return proxy_name, toxic_name

    def _expire(self, key: Key) -> None:
        proxy_name, toxic_name = key
        if toxic_name is None:
            self.delete(proxy_name)
        else:
            self.remove_toxic(proxy_name, toxic_name)

    async def _resolve_to_start(self, listen: str) -> str:
        try:
            return await resolve(listen, self.lookups)
        except ListenError as error:
            raise ApiError(500, f"listen tcp: {error}") from None

    def _start(self, proxy: Proxy, resolved: str) -> None:
        try:
            proxy.start(resolved)
        except ListenError as error:
            raise ApiError(500, str(error)) from None

    async def _add_or_replace(self, given: Mapping[str, object]) -> Proxy:
        proxy = self.make(given)
        existing = self.proxies.get(proxy.name)
        if existing is not None and not await self._differs(existing, proxy):
            return existing
        resolved = ""
        if given.get("enabled", True):
            if existing is not None:
                existing.stop()
            resolved = await self._resolve_to_start(proxy.listen)
        # Another call may have made one of that name meanwhile.
        existing = self.proxies.get(proxy.name)
        if existing is not None:
            existing.stop()
            self.leases.lift_all(proxy.name)
        if resolved:
            self._start(proxy, resolved)
        self.proxies[proxy.name] = proxy
        return proxy

    async def _differs(self, existing: Proxy, wanted: Proxy) -> bool:
        try:
            resolved = await resolve(wanted.listen, self.lookups)
        except ListenError as error:
            raise ApiError(500, str(error)) from None
        return existing.listen != resolved or existing.upstream != wanted.upstream
