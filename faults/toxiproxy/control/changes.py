"""Several changes in one call: all of them, in one turn of the loop, or none.

First every change is checked against what the ones before it will have made of the proxies; then
every listener is opened that will be needed; and only when nothing can fail any more is anything
done. A connection sees the state before or the state after, and nothing between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from faults.toxiproxy.addresses import ListenError, open_listener, resolve
from faults.toxiproxy.control.bodies import BodyError, Kind, array, decode, fields
from faults.toxiproxy.control.demands import (
    LEASE,
    PROXY,
    TOXIC,
    ApiError,
    Given,
    Settings,
    lease_ms,
    new_settings,
    new_toxic,
    require,
    settings,
    text,
)
from faults.toxiproxy.control.store import Store, show_proxy, show_toxic
from faults.toxiproxy.path.stage import Toxic
from faults.toxiproxy.proxy import Proxy

CHANGES_MAX = 1000  # in one call

_KINDS: Final[Mapping[str, Kind]] = {
    **PROXY,
    **TOXIC,
    **LEASE,
    "op": "string",
    "proxy": "string",
    "toxic": "string",
}


class ChangeError(ApiError):
    """One of several changes cannot be made, so none has been."""

    def __init__(self, status: int, text: str, index: int) -> None:
        """Carry what the body shows; `index` counts from 0."""
        super().__init__(status, f"{text} at index {index}")
        self.index = index


@dataclass(slots=True)
class _Draft:
    """What a proxy will be once the changes so far have happened."""

    proxy: Proxy
    listen: str
    upstream: str
    enabled: bool
    toxics: dict[str, tuple[Toxic, Settings]] = field(default_factory=dict)
    bound_by: _Step | None = None  # the step whose listener is the proxy's


@dataclass(slots=True, kw_only=True)
class _Step:
    """One change: the listener it gives up or needs, and what it does once that is there."""

    index: int
    draft: _Draft
    act: Callable[[_Step], object]
    frees: bool = False
    binds: str | None = None
    listener: socket.socket | None = None


async def apply(store: Store, body: bytes) -> list[object]:
    """Make every change of a body; gives what each has made, or None where it was an end.

    Raises:
        ApiError: the body is no list of changes.
        ChangeError: one of them cannot be made.
    """
    wanted = _read(body)
    batch = _Batch(store, await _resolve_all(store, wanted))
    for index, given in enumerate(wanted):
        try:
            batch.plan(index, given)
        except ApiError as error:
            raise ChangeError(error.status, error.text, index) from None
    batch.bind()
    return batch.act()


def _read(body: bytes) -> list[Given]:
    try:
        entries = array(decode(body))
    except BodyError as error:
        raise ApiError(400, f"bad request body: {error}") from None
    if len(entries) > CHANGES_MAX:
        raise ApiError(400, f"bad request body: over {CHANGES_MAX} changes")
    wanted: list[Given] = []
    for index, entry in enumerate(entries):
        try:
            wanted.append(fields(entry, _KINDS))
        except BodyError as error:
            raise ChangeError(400, f"bad request body: {error}", index) from None
    return wanted


async def _resolve_all(store: Store, wanted: list[Given]) -> dict[str, str | ListenError]:
    """The only wait: names are looked up before anything is looked at."""
    listens = {text(given, "listen") for given in wanted}
    for name in {text(given, "proxy") for given in wanted}:
        proxy = store.proxies.get(name)
        if proxy is not None:
            listens.add(proxy.listen)

    async def look_up(listen: str) -> str | ListenError:
        try:
            return await resolve(listen, store.lookups)
        except ListenError as error:
            return error

    order = sorted(listens)
    return dict(zip(order, await asyncio.gather(*map(look_up, order)), strict=True))


class _Batch:
    """The changes of one call, from their check to their end."""

    def __init__(self, store: Store, resolved: Mapping[str, str | ListenError]) -> None:
        self._store = store
        # A numeric address is its own numeric form: a draft may come back to one.
        numeric = (found for found in resolved.values() if isinstance(found, str))
        self._resolved = {**{found: found for found in numeric}, **resolved}
        self._drafts: dict[str, _Draft] = {
            name: _draft(proxy) for name, proxy in store.proxies.items()
        }
        self._steps: list[_Step] = []
        self._plans: dict[str, Callable[[int, Given], _Step]] = {
            "create": self._create,
            "update": self._update,
            "delete": self._delete,
            "add": self._add,
            "change": self._change,
            "remove": self._remove,
        }

    def plan(self, index: int, given: Given) -> None:
        """Check one change; the drafts then show the state after it."""
        plan = self._plans.get(text(given, "op"))
        if plan is None:
            raise ApiError(400, f"op must be one of {', '.join(self._plans)}")
        self._steps.append(plan(index, given))

    def bind(self) -> None:
        """Open every listener; if one cannot be had, everything listens as it did before."""
        silenced: list[Proxy] = []
        for step in self._steps:
            try:
                _bind(step, silenced)
            except ListenError as error:
                self._unbind(silenced)
                raise ChangeError(500, str(error), step.index) from None

    def act(self) -> list[object]:
        """Do all of it; nothing here can fail, and nothing here waits."""
        return [step.act(step) for step in self._steps]

    def _unbind(self, silenced: list[Proxy]) -> None:
        for step in self._steps:
            if step.listener is not None:
                step.listener.close()
        for proxy in reversed(silenced):
            try:
                proxy.adopt(open_listener(proxy.listen))
            except ListenError:  # its port was taken in that moment, and by another program
                proxy.stop()

    def _draft_of(self, given: Given) -> _Draft:
        require(given, "proxy")
        draft = self._drafts.get(text(given, "proxy"))
        if draft is None:
            raise ApiError(404, "proxy not found")
        return draft

    def _toxic_of(self, given: Given) -> tuple[_Draft, Toxic, Settings]:
        draft = self._draft_of(given)
        require(given, "toxic")
        found = draft.toxics.get(text(given, "toxic"))
        if found is None:
            raise ApiError(404, "toxic not found")
        return draft, *found

    def _numeric(self, listen: str, said_by: str = "") -> str:
        found = self._resolved.get(listen)
        if found is None:
            raise ApiError(409, "proxy changed meanwhile")
        if isinstance(found, ListenError):
            raise ApiError(500, f"{said_by}{found}")
        return found

    def _lease(self, given: Given, proxy: Proxy, toxic: Toxic | None = None) -> Callable[[], None]:
        ttl_ms = lease_ms(given)
        key = (proxy.name, None if toxic is None else toxic.name)
        return lambda: None if ttl_ms is None else self._store.leases.grant(key, ttl_ms)

    def _create(self, index: int, given: Given) -> _Step:
        require(given, "name", "upstream")
        proxy = self._store.make(given)
        if proxy.name in self._drafts:
            raise ApiError(409, "proxy already exists")
        draft = _draft(proxy)
        draft.enabled = bool(given.get("enabled", True))
        binds = None
        if draft.enabled:
            draft.listen = binds = self._numeric(proxy.listen, "listen tcp: ")
        grant = self._lease(given, proxy)

        def act(step: _Step) -> object:
            self._store.proxies[proxy.name] = proxy
            if step.listener is not None:
                proxy.adopt(step.listener)
            grant()
            return show_proxy(proxy)

        self._drafts[proxy.name] = draft
        return _Step(index=index, draft=draft, act=act, binds=binds)

    def _update(self, index: int, given: Given) -> _Step:
        draft = self._draft_of(given)
        proxy = draft.proxy
        listen = text(given, "listen", draft.listen)
        upstream = text(given, "upstream", draft.upstream)
        enabled = bool(given.get("enabled", draft.enabled))
        # A port that this call has yet to bind is 0 in the draft: 0 again is no move.
        numeric = self._numeric(listen)
        moves = numeric != draft.listen or upstream != draft.upstream
        frees = draft.enabled and (moves or not enabled)
        binds = numeric if enabled and (moves or not draft.enabled) else None
        grant = self._lease(given, proxy)

        def act(step: _Step) -> object:
            if frees:
                proxy.stop()
            if moves:
                proxy.listen, proxy.upstream = listen, upstream
            if step.listener is not None:
                proxy.adopt(step.listener)
            grant()
            return show_proxy(proxy)

        draft.listen = numeric if enabled else listen
        draft.upstream, draft.enabled = upstream, enabled
        return _Step(index=index, draft=draft, act=act, frees=frees, binds=binds)

    def _delete(self, index: int, given: Given) -> _Step:
        draft = self._draft_of(given)
        name = draft.proxy.name
        del self._drafts[name]
        return _Step(
            index=index, draft=draft, act=lambda _: self._store.delete(name), frees=draft.enabled
        )

    def _add(self, index: int, given: Given) -> _Step:
        draft = self._draft_of(given)
        proxy = draft.proxy
        toxic = new_toxic(given, draft.toxics, additions=True)
        grant = self._lease(given, proxy, toxic)

        def act(_: _Step) -> object:
            proxy.add(toxic)
            grant()
            return show_toxic(toxic)

        draft.toxics[toxic.name] = (toxic, settings(toxic))
        return _Step(index=index, draft=draft, act=act)

    def _change(self, index: int, given: Given) -> _Step:
        draft, toxic, old = self._toxic_of(given)
        new = new_settings(toxic.type, old, given)
        grant = self._lease(given, draft.proxy, toxic)

        def act(_: _Step) -> object:
            new.apply(toxic)
            draft.proxy.update(toxic)
            grant()
            return show_toxic(toxic)

        draft.toxics[toxic.name] = (toxic, new)
        return _Step(index=index, draft=draft, act=act)

    def _remove(self, index: int, given: Given) -> _Step:
        draft, toxic, _ = self._toxic_of(given)
        del draft.toxics[toxic.name]
        return _Step(
            index=index, draft=draft, act=lambda _: self._store.drop_toxic(draft.proxy, toxic)
        )


def _draft(proxy: Proxy) -> _Draft:
    toxics = {toxic.name: (toxic, settings(toxic)) for toxic in proxy.all_toxics()}
    return _Draft(proxy, proxy.listen, proxy.upstream, proxy.enabled, toxics)


def _bind(step: _Step, silenced: list[Proxy]) -> None:
    draft = step.draft
    if step.frees:
        before = draft.bound_by
        if before is not None:
            assert before.listener is not None
            before.listener.close()
            before.listener = draft.bound_by = None
        elif draft.proxy not in silenced:
            draft.proxy.close_listener()
            silenced.append(draft.proxy)
    if step.binds is not None:
        step.listener = open_listener(step.binds)
        draft.bound_by = step
