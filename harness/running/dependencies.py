"""Stands up what the target depends on, each behind a proxy of its own, and gives the lever."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from faults import levers
from faults.levers import Exposure, FaultError, Programme
from faults.toxiproxy.addresses import format_address
from harness.errors import UsageError
from harness.journal import DependencyEntry, PoolEntry
from harness.redaction import redact_logs
from harness.rig.databases import serving as databases
from harness.rig.databases.database import Database, Kind
from harness.rig.dependency import control, recorded
from harness.rig.dependency.control import Dependency
from harness.rig.looks import Look, joined
from harness.rig.network import Network, as_fault
from harness.rig.toxiproxy.proxy import Proxy
from harness.rig.toxiproxy.server import Toxiproxy
from harness.scenario.dependencies import (
    EmbeddedDependency,
    PostgresDependency,
    RedisDependency,
    UpstreamDependency,
)
from harness.scenario.depending import PLACEHOLDER
from harness.scenario.records import LaunchTarget, Scenario


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One dependency as the target gets to see it."""

    name: str
    proxy: Proxy
    address: str  # how the target reaches it, without a secret
    variable: str  # "": the target is told otherwise
    value: str  # of the variable; it may hold a secret
    own: Dependency | None = None  # squall's own, which can be told how to answer
    database: Database | None = None  # a real one that squall started


async def stand(
    stack: AsyncExitStack, scenario: Scenario, proxies: Toxiproxy, *, run_id: str, folder: Path
) -> tuple[Standing, ...]:
    """Stand up every dependency of a scenario for as long as the stack holds.

    Raises:
        RigError: one did not start, or its proxy cannot be made.
        UsageError: the value of a variable does not say where the dependency is.
    """
    standing = tuple(
        [
            await _one(stack, scenario, proxies, name, run_id=run_id, folder=folder)
            for name in scenario.dependencies
        ]
    )
    # When it runs, the target has ended, and its log holds all that it had to say.
    stack.callback(redact_logs, folder / "logs", tuple(map(_secret, standing)))
    return standing


async def _one(
    stack: AsyncExitStack,
    scenario: Scenario,
    proxies: Toxiproxy,
    name: str,
    *,
    run_id: str,
    folder: Path,
) -> Standing:
    proxy_name = f"squall-{run_id}-dependency-{name}"
    match scenario.dependencies[name]:
        case EmbeddedDependency(embedded=embedded, variable=variable):
            if not proxies.is_here:
                raise UsageError(
                    f"expected a Toxiproxy on this machine, from which alone {name} can be "
                    f"reached, and {proxies.server.url} is none; leave --toxiproxy out"
                )
            own = await stack.enter_async_context(
                control.serve(
                    ledger=folder / f"{name}.sqlite",
                    log=folder / "logs" / f"{name}.log",
                    ttl_s=embedded.token_ttl_s,
                    seed=scenario.seed,
                )
            )
            proxy = await proxies.create_proxy(proxy_name, upstream=own.upstream)
            at = format_address(proxy.host, proxy.port)
            return Standing(
                name=name,
                proxy=proxy,
                address=f"http://{at}",
                variable=variable,
                value=f"http://{own.client}@{at}",
                own=own,
            )
        case UpstreamDependency(upstream=upstream, variable=variable):
            given = _given(scenario, variable)
            moved(given, variable, upstream, to=upstream)  # before anything is made
            proxy = await proxies.create_proxy(proxy_name, upstream=upstream)
            at = format_address(proxy.host, proxy.port)
            value = moved(given, variable, upstream, to=at)
            return Standing(name=name, proxy=proxy, address=at, variable=variable, value=value)
        case PostgresDependency(postgres=wanted, variable=variable):
            kind: Kind = "postgres"
        case RedisDependency(redis=wanted, variable=variable):
            kind = "redis"
    log = folder / "logs" / f"{name}.log"
    database = await stack.enter_async_context(
        databases.serve(kind, log=log, connections=wanted.connections)
    )
    upstream = format_address(database.host, database.port)
    proxy = await proxies.create_proxy(proxy_name, upstream=upstream)
    at = format_address(proxy.host, proxy.port)
    value = database.url.replace(upstream, at)
    return Standing(
        name=name, proxy=proxy, address=at, variable=variable, value=value, database=database
    )


def _given(scenario: Scenario, variable: str) -> str:
    """What the variable would say without squall."""
    target = scenario.target
    own = target.environment if isinstance(target, LaunchTarget) else {}
    return own.get(variable, os.environ.get(variable, ""))


def moved(given: str, variable: str, upstream: str, *, to: str) -> str:
    """A variable's value with another address in the place of the dependency's.

    Raises:
        UsageError: the value says nothing of the dependency's address; it is not quoted, for it
            may hold a password.
    """
    if not given:
        return to
    host, _, port = upstream.rpartition(":")
    parts = urlsplit(given) if "://" in given else None
    named = parts is not None and (parts.hostname or "") == host.strip("[]").lower()
    if parts is not None and named and _port(parts) in {int(port), None}:
        account, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{account}{at}{to}").geturl()
    if upstream in given:
        return given.replace(upstream, to)
    raise UsageError(
        f"expected the variable {variable} to hold the dependency's address {upstream}, "
        f"and it does not; correct upstream:, or {variable}"
    )


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        return -1


def _secret(one: Standing) -> str:
    """What must not be read in a log: the password in a dependency's URL."""
    parts = urlsplit(one.value) if "://" in one.value else None
    return "" if parts is None or parts.password is None else parts.password


def environment(standing: tuple[Standing, ...]) -> dict[str, str]:
    """The variables that tell a target where its dependencies are."""
    return {one.variable: one.value for one in standing if one.variable}


def told(text: str, standing: tuple[Standing, ...]) -> str:
    """A word of the target's launch with the addresses of its dependencies in it."""
    addresses = {one.name: one.address for one in standing}
    only = next(iter(addresses.values()), "")
    return PLACEHOLDER.sub(
        lambda found: only if found[1] is None else addresses.get(found[1], found[0]), text
    )


class Dependencies:
    """The dependency lever: what the target depends on, as faults see it."""

    def __init__(self, standing: tuple[Standing, ...]) -> None:
        """Pull on these."""
        self._standing: Mapping[str, Standing] = {one.name: one for one in standing}

    def network(self, name: str) -> levers.NetworkLever:
        """Give the proxy in front of a dependency."""
        return Network(self._of(name).proxy)

    async def engage(self, name: str, label: str, programme: Programme) -> None:
        """Let the embedded dependency behave so from now on."""
        with as_fault():
            await self._own(name).engage(label, programme)

    async def disengage(self, name: str, label: str) -> None:
        """Take the programme out again."""
        with as_fault():
            await self._own(name).disengage(label)

    async def exposure(self, name: str, label: str) -> Exposure:
        """Count the requests that the programme has hit."""
        with as_fault():
            count = await self._own(name).hits(label)
        return Exposure(count=count, unit="requests", source="injector")

    async def look(self) -> Look:
        """See what squall's own dependencies were told and still do; the proxies tell the rest.

        Raises:
            RigError: one does not answer.
        """
        looks = []
        for name, one in self._standing.items():
            if one.own is not None:
                left = await one.own.programmes()
                stands = (f"the dependency {name} still does what {', '.join(left)} told it",)
                seen = (f"the dependency {name} says that it does nothing odd",)
                looks.append(Look(stands=stands) if left else Look(seen=seen))
        return joined(looks)

    def _of(self, name: str) -> Standing:
        found = self._standing.get(name) if name else next(iter(self._standing.values()), None)
        if found is None:
            raise FaultError(f"there is no dependency {name!r} in this run")
        return found

    def _own(self, name: str) -> Dependency:
        own = self._of(name).own
        if own is None:
            raise FaultError(f"the dependency {name!r} is not squall's own: it cannot be told")
        return own


def _credential(shown: str) -> Literal["none", "own", "caller", "other"]:
    match shown:
        case "own" | "expired":  # the status says which
            return "own"
        case "caller":
            return "caller"
        case "none":
            return "none"
    return "other"


def seen(ledger: Path, name: str, *, origin_ns: int) -> Iterator[DependencyEntry | PoolEntry]:
    """Give what a dependency's own ledger holds, on the run's clock; nothing secret is in it.

    Raises:
        RigError: the ledger cannot be read.
    """
    for request in recorded.requests(ledger):
        yield DependencyEntry(
            at_ns=request.at_ns - origin_ns,
            operation=request.operation,
            dependency=name,
            key=request.key,
            subject=request.subject,
            credential=_credential(request.credential),
            audience=request.audience,
            took_ns=request.done_ns - request.at_ns,
            status=request.status,
            executed=bool(request.executed),
            answered=bool(request.answered),
            rows=request.rows,
            total=request.total,
            fault=request.programme,
            retry_after_s=max(0.0, request.retry_after_s),
            connection=request.connection,
        )
    for pool in recorded.pools(ledger):
        yield PoolEntry(
            at_ns=pool.at_ns - origin_ns,
            dependency=name,
            open=pool.open,
            busy=pool.busy,
            refused=pool.refused,
        )
