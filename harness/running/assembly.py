"""Builds around the target what a scenario needs, and nothing more; takes it all down again."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio

from faults import levers
from faults.network import IdleCut
from faults.toxiproxy.addresses import UNIX, format_address
from harness.errors import UsageError
from harness.rig import server
from harness.rig.issuer import control as issuers
from harness.rig.issuer.control import Issuer
from harness.rig.launched import Launched, kept
from harness.rig.network import Network
from harness.rig.probe import Spoken
from harness.rig.process import named
from harness.rig.reaching import http_client
from harness.rig.spans import control as spans_of
from harness.rig.spans.control import Spans
from harness.rig.standing import standing
from harness.rig.toxiproxy.proxy import Proxy
from harness.rig.toxiproxy.serving import serve
from harness.running import dependencies
from harness.running.dependencies import Dependencies, Standing
from harness.running.guard import check_target, check_transport
from harness.running.identity import Identity
from harness.scenario.auth import Auth
from harness.scenario.records import (
    LaunchTarget,
    ReferenceTarget,
    Scenario,
    StdioTarget,
    Target,
    UrlTarget,
)
from harness.scenario.transports import is_piped
from harness.session.access import Access, Doors
from harness.session.admission import ARMS, admit
from harness.session.commands import command_of
from harness.trust import SYSTEM, Trust, check_files
from harness.wire.endpoint import address_of


@dataclass(frozen=True, kw_only=True)
class Rig:
    """What stands around the target while a run lasts."""

    doors: Doors
    access: Access
    pid: int | None  # of a target that squall launched
    launched: Launched | None  # the same, whatever process serves it later
    network: levers.NetworkLever | None  # None: the target has no network before it
    identity: Identity | None
    ledger: Path | None
    dependency: Dependencies | None
    dependency_ledgers: Mapping[str, Path]  # by the names of squall's own
    dependency_proxies: Mapping[str, Proxy]  # of the others, which keep no ledger
    toxiproxy_kind: str
    toxiproxy_version: str
    proxy_pid: int | None  # of a Toxiproxy that squall started
    proxies_lost: Callable[[], Awaitable[str]]  # returns when the arms' proxies are no more
    spans: Spans | None = None  # where the target sends its own, when that was asked for
    # Where the bundled server's ledger is when it is in no file; there is a password in it.
    notes_url: str = field(default="", repr=False)


@asynccontextmanager
async def build(
    scenario: Scenario,
    *,
    run_id: str,
    toxiproxy_url: str | None,
    allowed: tuple[str, ...],
    folder: Path,
) -> AsyncIterator[Rig]:
    """Stand everything up for as long as the block lasts.

    Raises:
        TargetError: when the target is not there, not allowed, or not an MCP server.
        RigError: when a part does not start.
        NotHealedError: on the way out, when a proxy cannot be shown to be gone.
    """
    logs = folder / "logs"
    _check_audit(scenario, allowed)
    if is_piped(scenario.target):
        async with _piped(scenario, run_id=run_id, folder=folder) as rig:
            yield rig
        return
    trust, unix_socket = _trust(scenario.target), _unix_socket(scenario.target)
    async with AsyncExitStack() as stack:
        # The issuer and the proxy come up side by side; the target has to know the issuer.
        # What the original cannot do is asked of squall's own.
        ours = bool(unix_socket) or any(isinstance(w.fault, IdleCut) for w in scenario.faults)
        wanted = serve(url=toxiproxy_url, prefer_binary=not ours, log_dir=logs)
        proxying = await stack.enter_async_context(standing(wanted))
        issuer = await _issuer(stack, scenario, logs)
        depends_on: tuple[Standing, ...] = ()
        if scenario.dependencies:
            proxies = await proxying.ready()
            depends_on = await dependencies.stand(
                stack, scenario, proxies, run_id=run_id, folder=folder
            )
        spans = await _spans(stack, scenario, logs)
        ledgers = {one.name: one.own.ledger for one in depends_on if one.own is not None}
        ledger, notes_url = next(iter(ledgers.values()), None), ""
        if ledger is None and isinstance(scenario.target, ReferenceTarget):
            notes_url = next((one.database.url for one in depends_on if one.database), "")
            ledger = None if notes_url else folder / "ledger.sqlite"
        target = await _target(
            stack, scenario, issuer, ledger=ledger, logs=logs, depends_on=depends_on, spans=spans
        )
        launched = await stack.enter_async_context(kept(target))
        spoken = await _answering(scenario, target.url, allowed)
        upstream = UNIX + unix_socket if unix_socket else format_address(*address_of(target.url))
        proxies = await proxying.ready()
        doors = [
            await proxies.create_proxy(f"squall-{run_id}-{arm}", upstream=upstream) for arm in ARMS
        ]
        control, treated = doors
        for one in depends_on:
            if one.own is not None:
                await one.own.know_callers(target.url)
        yield Rig(
            doors=Doors(
                url=target.url,
                control=(control.host, control.port),
                treated=(treated.host, treated.port),
                trust=trust,
                unix_socket=unix_socket,
                transport=spoken,
            ),
            access=await admit(
                scenario.auth,
                target.url,
                issuer,
                http_client(target.url, trust=trust, unix_socket=unix_socket),
                transport=spoken,
            ),
            pid=target.pid,
            launched=launched,
            network=Network(treated),
            identity=Identity(issuer, ttl_s=_ttl_s(scenario.auth)) if issuer else None,
            ledger=ledger,
            dependency=Dependencies(depends_on) if depends_on else None,
            dependency_ledgers=ledgers,
            dependency_proxies={one.name: one.proxy for one in depends_on if one.own is None},
            toxiproxy_kind=proxies.server.kind,
            toxiproxy_version=proxies.server.version,
            proxy_pid=proxies.pid,
            proxies_lost=proxies.lost,
            spans=spans,
            notes_url=notes_url,
        )


async def look_ahead(scenario: Scenario, allowed: tuple[str, ...]) -> None:
    """See that a target which runs already may be hit and answers; nothing is started for that.

    Raises:
        TargetError: when it is not there, not allowed, or not an MCP server.
        UsageError: when what it takes to ask it is missing.
    """
    _check_audit(scenario, allowed)
    if isinstance(scenario.target, UrlTarget):
        await _answering(scenario, scenario.target.url, allowed)


def _check_audit(scenario: Scenario, allowed: tuple[str, ...]) -> None:
    if scenario.audit is not None and scenario.audit.http:
        check_target(scenario.audit.http, allowed)


async def _answering(scenario: Scenario, url: str, allowed: tuple[str, ...]) -> Spoken:
    """What an MCP server that may be hit answers in at the target's address."""
    target = scenario.target
    check_target(url, allowed, unix_socket=_unix_socket(target))
    spoken = await server.probe(
        url,
        headers=_bearer(scenario.auth),
        trust=_trust(target),
        unix_socket=_unix_socket(target),
        transport=_announced(target),
    )
    check_transport(scenario, spoken)
    return spoken


@asynccontextmanager
async def _piped(scenario: Scenario, *, run_id: str, folder: Path) -> AsyncIterator[Rig]:
    """What a target over pipes needs: nothing but a promise that its processes will end."""
    bundled = isinstance(scenario.target, ReferenceTarget)
    ledger = folder / "ledger.sqlite" if bundled else None
    async with AsyncExitStack() as stack:
        spans = await _spans(stack, scenario, folder / "logs")
        command = await command_of(
            scenario.target,
            run_id=run_id,
            folder=folder,
            ledger=ledger,
            told={} if spans is None else spans.environment,
        )
        yield Rig(
            doors=Doors(url=f"stdio:{named(command.argv)}", command=command),
            access=Access(),
            pid=None,
            launched=None,
            network=None,
            identity=None,
            ledger=ledger,
            dependency=None,
            dependency_ledgers={},
            dependency_proxies={},
            toxiproxy_kind="none",
            toxiproxy_version="",
            proxy_pid=None,
            proxies_lost=_never,
            spans=spans,
        )


async def _never() -> str:
    """There are no proxies to lose."""
    await anyio.sleep_forever()
    return ""


async def _spans(stack: AsyncExitStack, scenario: Scenario, logs: Path) -> Spans | None:
    if not scenario.observe.traces:
        return None
    return await stack.enter_async_context(spans_of.serve(port=scenario.observe.port, log_dir=logs))


async def _issuer(stack: AsyncExitStack, scenario: Scenario, logs: Path) -> Issuer | None:
    auth = scenario.auth
    if auth is None or auth.issuer != "embedded" or auth.grant == "bearer":
        return None
    return await stack.enter_async_context(issuers.serve(log_dir=logs))


async def _target(
    stack: AsyncExitStack,
    scenario: Scenario,
    issuer: Issuer | None,
    *,
    ledger: Path | None,
    logs: Path,
    depends_on: tuple[Standing, ...],
    spans: Spans | None,
) -> server.Target:
    told = {} if spans is None else dict(spans.environment)
    match scenario.target:
        case UrlTarget(url=url):
            return server.Target(url=url)
        case ReferenceTarget() as wanted:
            return await stack.enter_async_context(
                server.reference(
                    issuer=issuer.url if issuer else None,
                    ledger=ledger,
                    dependency=next((one.value for one in depends_on), ""),
                    flaws=wanted.flaws,
                    manner=wanted.manner,
                    sse=wanted.transport == "sse",
                    log=logs / "reference.log",
                    env=told,
                )
            )
        case LaunchTarget() as wanted:
            given = {"port": str(_free_port()), "issuer": issuer.url if issuer else ""}
            fill = _filler(given, depends_on)
            known = dependencies.environment(depends_on)
            return await stack.enter_async_context(
                server.launch(
                    [fill(word) for word in wanted.launch],
                    url=fill(wanted.url),
                    trust=_trust(wanted),
                    unix_socket=_unix_socket(wanted),
                    env={n: fill(value) for n, value in wanted.environment.items()} | known | told,
                    log=logs / "target.log",
                    ready_s=wanted.ready_s,
                )
            )
        case StdioTarget():
            raise AssertionError("a target over pipes has no address")


def _filler(given: Mapping[str, str], depends_on: tuple[Standing, ...]) -> Callable[[str], str]:
    def fill(text: str) -> str:
        text = dependencies.told(text, depends_on)
        for name, value in given.items():
            text = text.replace("${" + name + "}", value)
        return text

    return fill


def _free_port() -> int:
    """Ask the kernel for a port that is free now; the target binds it a moment later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _announced(target: Target) -> Literal["auto", "http", "sse"]:
    assert target.transport != "stdio"
    return target.transport


def _trust(target: Target) -> Trust:
    """Whom to trust, by files that are there and fit together.

    Raises:
        UsageError: one of them does not.
    """
    if not isinstance(target, UrlTarget | LaunchTarget):
        return SYSTEM
    files = {name: str(Path(path).absolute()) for name, path in target.tls if path}
    trust = Trust(**files)
    check_files(trust)
    return trust


def _unix_socket(target: Target) -> str:
    if not isinstance(target, UrlTarget | LaunchTarget) or not target.unix_socket:
        return ""
    return str(Path(target.unix_socket).absolute())


def _bearer(auth: Auth | None) -> dict[str, str]:
    if auth is None or auth.grant != "bearer":
        return {}
    token = os.environ.get(auth.token_variable, "").strip()
    if not token:
        raise UsageError(
            f"expected a bearer token in the environment variable {auth.token_variable}, "
            f"found it empty; export {auth.token_variable} and run again"
        )
    return {"authorization": f"Bearer {token}"}


def _ttl_s(auth: Auth | None) -> float:
    assert auth is not None
    return auth.ttl_s
