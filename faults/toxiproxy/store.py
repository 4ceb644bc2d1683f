"""Every proxy of one server, and the rules by which the API changes them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from faults.toxiproxy.bodies import BodyError, Kind, array, decode, fields, integers
from faults.toxiproxy.proxy import ListenError, Proxy, resolve
from faults.toxiproxy.stage import Budget, Toxic
from faults.toxiproxy.toxics import ATTRIBUTES, objection

_PROXY: Mapping[str, Kind] = {
    "name": "string",
    "listen": "string",
    "upstream": "string",
    "enabled": "bool",
    "logger": "object",  # the original shows it, so it reads it too
}
_TOXIC: Mapping[str, Kind] = {
    "name": "string",
    "type": "string",
    "stream": "string",
    "toxicity": "float32",
    "attributes": "object",
}
_CHANGE: Mapping[str, Kind] = {"toxicity": "float32", "attributes": "object"}
HELD_BYTES_MAX = 128 * 1024 * 1024
LEASE_MS_MAX = 24 * 3600 * 1000


class ApiError(Exception):
    """An answer that is not a success: its status, and the text under `error`."""

    def __init__(self, status: int, text: str) -> None:
        """Carry what the body shows."""
        super().__init__(text)
        self.status = status
        self.text = text


class PopulateError(ApiError):
    """Populating stopped half-way; `done` are the proxies that stand."""

    def __init__(self, status: int, text: str, done: list[Proxy] | None) -> None:
        """Carry what the body shows."""
        super().__init__(status, text)
        self.done = done


def show_toxic(toxic: Toxic) -> dict[str, object]:
    """A toxic as the API shows it."""
    return {
        "attributes": toxic.attributes,
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


def _read(body: bytes, kinds: Mapping[str, Kind]) -> dict[str, object]:
    try:
        return fields(decode(body), kinds)
    except BodyError as error:
        raise ApiError(400, f"bad request body: {error}") from None


def _text(given: Mapping[str, object], name: str, default: str = "") -> str:
    value = given.get(name, default)
    assert isinstance(value, str)
    return value


class Store:
    """The proxies by name; the one thing that the API changes."""

    def __init__(self, seed: int) -> None:
        """Start empty; `seed` decides every draw of every toxic."""
        self.seed = seed
        self.proxies: dict[str, Proxy] = {}
        self._budget = Budget(limit_bytes=HELD_BYTES_MAX)
        self._leases: dict[tuple[str, str | None], asyncio.TimerHandle] = {}

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

    async def create(self, body: bytes) -> Proxy:
        """Make a proxy, listening unless it is to be disabled.

        Raises:
            ApiError: 400, 409, or 500 with the system's words.
        """
        given = _read(body, _PROXY)
        for name in ("name", "upstream"):
            if not _text(given, name):
                raise ApiError(400, f"missing required field: {name}")
        proxy = self._make(given)
        if proxy.name in self.proxies:
            raise ApiError(409, "proxy already exists")
        if given.get("enabled", True):
            await self._start(proxy)
        if proxy.name in self.proxies:  # another call was quicker while a name was looked up
            proxy.stop()
            raise ApiError(409, "proxy already exists")
        self.proxies[proxy.name] = proxy
        return proxy

    async def update(self, name: str, body: bytes) -> Proxy:
        """Change where a proxy listens or leads, or whether it is up.

        Raises:
            ApiError: 400, 404, or 500 with the system's words.
        """
        proxy = self.get(name)
        given = _read(body, _PROXY)
        listen = _text(given, "listen", proxy.listen)
        upstream = _text(given, "upstream", proxy.upstream)
        enabled = given.get("enabled", proxy.enabled)
        if await self._differs(proxy, listen, upstream):
            proxy.stop()
            proxy.listen, proxy.upstream = listen, upstream
        if enabled and not proxy.enabled:
            await self._start(proxy)
        elif not enabled:
            proxy.stop()
        return proxy

    def delete(self, name: str) -> None:
        """Stop a proxy and forget it.

        Raises:
            ApiError: 404.
        """
        self.get(name).stop()
        del self.proxies[name]
        for key in [key for key in self._leases if key[0] == name]:
            self._leases.pop(key).cancel()

    async def populate(self, body: bytes) -> list[Proxy] | None:
        """Make or replace several proxies; one that is the same already is kept as it is.

        Raises:
            ApiError: 400 before anything is changed.
            PopulateError: 500 at the first that fails.
        """
        try:
            wanted = [fields(entry, _PROXY) for entry in array(decode(body))]
        except BodyError as error:
            raise PopulateError(400, f"bad request body: {error}", None) from None
        for position, entry in enumerate(wanted, start=1):
            for name in ("name", "upstream"):
                if not _text(entry, name):
                    text = f"missing required field: {name} at proxy {position}"
                    raise PopulateError(400, text, None)
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
        for proxy in tuple(self.proxies.values()):
            await self._start(proxy)
            for toxic in proxy.all_toxics():
                proxy.remove(toxic)

    def add_toxic(self, proxy_name: str, body: bytes) -> Toxic:
        """Put a toxic into force.

        Raises:
            ApiError: 400, 404 or 409, in the original's order of checks.
        """
        proxy = self.get(proxy_name)
        given = _read(body, _TOXIC)
        stream = _text(given, "stream", "downstream")
        if stream.lower() not in {"upstream", "downstream"}:
            text = "stream was invalid, can be either upstream or downstream"
            raise ApiError(400, text)
        kind = _text(given, "type")
        name = _text(given, "name") or f"{kind}_{stream}"
        if kind not in ATTRIBUTES:
            raise ApiError(400, "invalid toxic type")
        if proxy.find(name) is not None:
            raise ApiError(409, "toxic already exists")
        attributes = dict.fromkeys(ATTRIBUTES[kind], 0)
        toxic = Toxic(
            name=name,
            type=kind,
            stream=stream,
            upstream=stream.lower() == "upstream",
            toxicity=_number(given, 1.0),
            attributes=_merged(kind, attributes, given),
        )
        proxy.add(toxic)
        return toxic

    def update_toxic(self, proxy_name: str, name: str, body: bytes) -> Toxic:
        """Change some of a toxic's attributes, or its toxicity, on open connections too.

        Raises:
            ApiError: 400 or 404; then nothing has changed.
        """
        proxy, toxic = self.get_toxic(proxy_name, name)
        given = _read(body, _CHANGE)
        attributes = _merged(toxic.type, toxic.attributes, given)
        toxic.toxicity = _number(given, toxic.toxicity)
        toxic.attributes.update(attributes)
        proxy.update(toxic)
        return toxic

    def remove_toxic(self, proxy_name: str, name: str) -> None:
        """Take a toxic out of force.

        Raises:
            ApiError: 404.
        """
        proxy, toxic = self.get_toxic(proxy_name, name)
        proxy.remove(toxic)
        lease = self._leases.pop((proxy_name, name), None)
        if lease is not None:
            lease.cancel()

    def lease(self, proxy_name: str, toxic_name: str | None, body: bytes) -> int:
        """Let a proxy or a toxic end by itself after `ttl_ms` unless renewed; 0 lifts the lease.

        Raises:
            ApiError: 400 or 404.
        """
        proxy = self.get(proxy_name)
        if toxic_name is not None:
            self.get_toxic(proxy_name, toxic_name)
        ttl_ms = _read(body, {"ttl_ms": "int"}).get("ttl_ms")
        if not isinstance(ttl_ms, int) or not 0 <= ttl_ms <= LEASE_MS_MAX:
            raise ApiError(400, f"bad request body: ttl_ms must be in 0..{LEASE_MS_MAX}")
        key = (proxy_name, toxic_name)
        if key in self._leases:
            self._leases.pop(key).cancel()
        if ttl_ms:
            self._leases[key] = proxy.loop.call_later(ttl_ms / 1000, self._expire, key)
        return ttl_ms

    def close(self) -> None:
        """Stop every proxy."""
        for name in tuple(self.proxies):
            self.delete(name)

    def _expire(self, key: tuple[str, str | None]) -> None:
        self._leases.pop(key, None)
        proxy_name, toxic_name = key
        if toxic_name is None:
            self.delete(proxy_name)
        else:
            self.remove_toxic(proxy_name, toxic_name)

    def _make(self, given: Mapping[str, object]) -> Proxy:
        names = (_text(given, "name"), _text(given, "listen"), _text(given, "upstream"))
        return Proxy(*names, seed=self.seed, budget=self._budget)

    async def _start(self, proxy: Proxy) -> None:
        try:
            await proxy.start()
        except ListenError as error:
            raise ApiError(500, str(error)) from None

    async def _differs(self, proxy: Proxy, listen: str, upstream: str) -> bool:
        try:
            return proxy.listen != await resolve(listen) or proxy.upstream != upstream
        except ListenError as error:
            raise ApiError(500, str(error)) from None

    async def _add_or_replace(self, given: Mapping[str, object]) -> Proxy:
        proxy = self._make(given)
        existing = self.proxies.get(proxy.name)
        if existing is not None:
            if not await self._differs(existing, proxy.listen, proxy.upstream):
                return existing
            existing.stop()
        if given.get("enabled", True):
            await self._start(proxy)
        self.proxies[proxy.name] = proxy
        return proxy


def _number(given: Mapping[str, object], default: float) -> float:
    value = given.get("toxicity", default)
    assert isinstance(value, int | float)
    return float(value)


def _merged(kind: str, old: dict[str, int], given: Mapping[str, object]) -> dict[str, int]:
    """The attributes after a partial change; impossible ones are refused, not died of."""
    try:
        merged = old | integers(given.get("attributes"), ATTRIBUTES[kind])
    except BodyError as error:
        raise ApiError(400, f"bad request body: {error}") from None
    reason = objection(kind, merged)
    if reason is not None:
        raise ApiError(400, f"bad request body: {reason}")
    return merged
