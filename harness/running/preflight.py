"""Before any load: one session through each arm's door, and a look at what the target offers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final, Literal

import anyio
import httpx
from pydantic_core import to_json

from harness.clock import NS_PER_S, RunClock
from harness.errors import TargetError
from harness.outcome import Outcome
from harness.redaction import redact
from harness.rig.reaching import http_client
from harness.scenario.records import CallStep, ParallelStep, Scenario
from harness.session.access import Access, Doors, creditor
from harness.session.connecting import connector
from harness.session.processes import Processes
from harness.session.talker import compile_rules
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook, header_mistake
from harness.wire.speaker import Speaker

ARMS: Final[tuple[Literal["treated", "control"], ...]] = ("treated", "control")
PAGES_MAX = 50
LAST_WORDS_S: Final = 1.0
LAST_WORDS_MAX: Final = 300
CHECK_S = 30.0  # a target that has just been started may be slow to wake


async def check(scenario: Scenario, doors: Doors, access: Access) -> tuple[dict[str, Any], ...]:
    """Give the pages of the target's `tools/list`.

    Raises:
        TargetError: when a session cannot be opened through one of the proxies, or the target
            lacks a tool that the scenario calls.
    """
    clock = RunClock()
    if doors.command is None:
        return await _check(scenario, doors, access, clock, None)
    async with Processes(doors.command, now_ns=clock.now_ns, writer=None) as processes:
        return await _check(scenario, doors, access, clock, processes)


async def _check(
    scenario: Scenario, doors: Doors, access: Access, clock: RunClock, processes: Processes | None
) -> tuple[dict[str, Any], ...]:
    pages: tuple[dict[str, Any], ...] = ()
    rules = compile_rules(scenario)  # a server may offer more to a client that offers more
    modern = False
    connect = connector(scenario, doors, SchemaBook(), clock.now_ns, processes)
    route = "over the pipes of" if doors.command is not None else "through the proxy to"
    for arm in ARMS:
        token = "" if processes is not None else await token_of(access, arm, doors, clock)
        client = connect(arm)
        client.inbox.rules = rules
        if token:
            client.authorization = b"Bearer " + token.encode()
        try:
            deadline_ns = clock.now_ns() + round(CHECK_S * NS_PER_S)
            opened = await client.open(deadline_ns=deadline_ns)
            if opened.outcome is not Outcome.OK:
                said = redact(words(opened), (token,))
                if processes is not None:
                    said += await last_words(processes)
                raise TargetError(f"no session {route} {doors.url}: {said}")
            if arm == "control":
                pages = await _tools(client, deadline_ns, token)
                modern = client.era == "modern"
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(2):
                await client.close(deadline_ns=clock.now_ns() + 2 * NS_PER_S)
            client.drop_connections()
    _check_tools(scenario, pages, doors.url, modern=modern)
    return pages


async def last_words(processes: Processes) -> str:
    """Give what the server said last on its standard error; the run's folder, and log, will go."""
    with anyio.move_on_after(LAST_WORDS_S):
        while not processes.log.last:  # noqa: ASYNC110  nobody rings when a line is there
            await anyio.sleep(LAST_WORDS_S / 50)
    return f"; it said: {processes.log.last[:LAST_WORDS_MAX]}" if processes.log.last else ""


async def token_of(access: Access, arm: str, doors: Doors, clock: RunClock) -> str:
    """A token of an arm's, for whoever stands outside the load; "" where none is asked for."""
    way = http_client(doors.url, trust=doors.trust, unix_socket=doors.unix_socket)
    async with way as http:
        return await _token(access, arm, http, clock)


async def _token(access: Access, arm: str, http: httpx.AsyncClient, clock: RunClock) -> str:
    credential = creditor(access, http, clock.now_ns)(arm)
    if credential is None:
        return ""
    await credential.obtain()
    return credential.token


async def _tools(client: Speaker, deadline_ns: int, token: str) -> tuple[dict[str, Any], ...]:
    pages: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        params = to_json({"cursor": cursor} if cursor else {})
        reply = await client.request("tools/list", params, deadline_ns=deadline_ns)
        if reply.outcome is Outcome.PROTOCOL_ERROR and not pages:
            return ()  # a server without tools
        if reply.outcome is not Outcome.OK or not isinstance(reply.result, dict):
            said = redact(words(reply), (token,))
            raise TargetError(f"the target does not list its tools: {said}")
        pages.append(reply.result)
        cursor = reply.result.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            break
    return tuple(pages)


def _check_tools(
    scenario: Scenario, pages: tuple[Mapping[str, Any], ...], url: str, *, modern: bool
) -> None:
    offered = {
        str(tool.get("name")): tool
        for page in pages
        for tool in page.get("tools", ())
        if isinstance(tool, dict)
    }
    wanted = [
        single.call
        for agent in scenario.agents
        for step in agent.steps
        for single in (step.parallel if isinstance(step, ParallelStep) else (step,))
        if isinstance(single, CallStep)
    ]
    if scenario.audit is not None and scenario.audit.call:
        wanted.append(scenario.audit.call)
    for name in dict.fromkeys(wanted):
        if name in offered:
            mistake = header_mistake(offered[name]) if modern else ""
            if not mistake:
                continue
            raise TargetError(
                f"the scenario calls the tool {name!r}, which no client of this era may call as "
                f"{url} describes it: {mistake}; mend its inputSchema"
            )
        close = difflib.get_close_matches(name, offered, n=1, cutoff=0.75)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        few = ", ".join(list(offered)[:12]) or "none"
        raise TargetError(
            f"the scenario calls the tool {name!r}, which {url} does not offer{hint}; "
            f"it offers: {few}"
        )


def words(reply: Reply) -> str:
    """Say what came of a request, for an error's sentence."""
    status = f"HTTP {reply.status}, " if reply.status else ""
    error = f" ({reply.error.get('message')})" if reply.error else ""
    if reply.detail == f"HTTP {reply.status}":  # nothing but the status again
        return f"{reply.detail}{error}"[:300]
    detail = f": {reply.detail}" if reply.detail else ""
    return f"{status}{reply.reason.name.lower().replace('_', ' ')}{detail}{error}"[:300]
