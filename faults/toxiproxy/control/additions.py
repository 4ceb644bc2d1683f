"""What is served under /squall/ and nowhere else, so that strict routes stay strict."""

from __future__ import annotations

import time
from typing import Final

from faults.toxiproxy.control.store import Store
from faults.toxiproxy.path.arrivals import Arrival
from faults.toxiproxy.path.link import Connection, Link
from faults.toxiproxy.path.stage import Stage, Toxic
from faults.toxiproxy.proxy import Proxy

Pattern = tuple[str, ...]

LEASE: Final[Pattern] = ("squall", "proxies", "*", "lease")
TOXIC_LEASE: Final[Pattern] = ("squall", "proxies", "*", "toxics", "*", "lease")
TOXICS: Final[Pattern] = ("squall", "proxies", "*", "toxics")
CHANGES: Final[Pattern] = ("squall", "changes")
CONNECTIONS: Final[Pattern] = ("squall", "connections")
EXPOSURE: Final[Pattern] = ("squall", "exposure")
INDEX: Final[Pattern] = ("squall",)

METHODS: Final[dict[Pattern, tuple[str, ...]]] = {
    INDEX: ("GET",),
    EXPOSURE: ("GET",),
    CONNECTIONS: ("GET",),
    CHANGES: ("POST",),
    TOXICS: ("POST",),
    LEASE: ("GET", "POST"),
    TOXIC_LEASE: ("GET", "POST"),
}

_GUIDE: Final = {
    "GET /squall": "this list",
    "GET /squall/exposure": "what passed through each proxy, and what each toxic touched",
    "GET /squall/connections": "open connections, with the toxics that hit each of them",
    "POST /squall/changes": "several changes at once: all of them or none",
    "POST /squall/proxies/{proxy}/toxics": "a toxic, also cut, idle or slow_accept, with lease_ms",
    "GET /squall/proxies/{proxy}/lease": "how long the proxy has yet: left_ms, or null",
    "POST /squall/proxies/{proxy}/lease": "ends the proxy after ttl_ms unless renewed; 0 never",
    "GET /squall/proxies/{proxy}/toxics/{toxic}/lease": "how long the toxic has yet",
    "POST /squall/proxies/{proxy}/toxics/{toxic}/lease": "ends the toxic after ttl_ms",
}


def index() -> dict[str, object]:
    """The routes that the original does not have, with what each is for."""
    return {"additions": _GUIDE}


def exposure(store: Store) -> dict[str, object]:
    """What passed through each proxy, and what each of its toxics touched."""
    proxies = {name: _proxy_exposure(store, proxy) for name, proxy in sorted(store.proxies.items())}
    return {"seed": store.seed, "proxies": proxies}


def _proxy_exposure(store: Store, proxy: Proxy) -> dict[str, object]:
    upstream_bytes, downstream_bytes = proxy.carried()
    active = proxy.all_toxics()
    toxics = {
        toxic.name: {
            "type": toxic.type,
            "active": position >= len(proxy.past_toxics),
            "connections": toxic.exposure.connections,
            "bytes": toxic.exposure.bytes,
            "hits": toxic.exposure.hits,
            "lease_left_ms": store.leases.left_ms((proxy.name, toxic.name)),
        }
        for position, toxic in enumerate([*proxy.past_toxics.values(), *active])
    }
    return {
        "connections": proxy.traffic.connections,
        "open": len(proxy.connections),
        "upstream_bytes": upstream_bytes,
        "downstream_bytes": downstream_bytes,
        "closed_by_disable": proxy.traffic.closed_by_disable,
        "failed_dials": proxy.traffic.failed_dials,
        "lease_left_ms": store.leases.left_ms((proxy.name, None)),
        "toxics": toxics,
    }


def connections(store: Store) -> list[dict[str, object]]:
    """Every open connection, with the toxics in its way."""
    now_s = time.monotonic()
    return [
        _shown(proxy, connection, arrival, now_s)
        for _, proxy in sorted(store.proxies.items())
        for connection, arrival in proxy.connections.items()
    ]


def _shown(
    proxy: Proxy, connection: Connection, arrival: Arrival, now_s: float
) -> dict[str, object]:
    links = (connection.up, connection.down)
    stages = {stage.toxic.name: stage for link in links for stage in link.stages}
    return {
        "proxy": proxy.name,
        "number": connection.number,
        "client": arrival.client,
        "age_ms": round((now_s - arrival.at_s) * 1000),
        "state": _state(connection.up),
        "upstream_bytes": connection.up.bytes,
        "downstream_bytes": connection.down.bytes,
        "toxics": {
            toxic.name: _hit(proxy, connection, toxic, stages.get(toxic.name), arrival)
            for toxic in proxy.all_toxics()
        },
    }


def _state(link: Link) -> str:
    """Where a connection stands: `open`, or `opening` while it waits for the upstream."""
    return "opening" if link.far is None else "open"


def _hit(
    proxy: Proxy, connection: Connection, toxic: Toxic, stage: Stage | None, arrival: Arrival
) -> dict[str, object]:
    """What one toxic has done to one connection; `hit` is what its draw has decided."""
    delayed = toxic.name in arrival.delayed_by
    return {
        "hit": proxy.draws.draw(toxic, connection.number) < toxic.toxicity,
        "bytes": 0 if stage is None else stage.bytes,
        "hits": int(delayed) + (0 if stage is None else stage.hits),
    }
