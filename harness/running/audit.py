"""Asks the target how many effects it counts: before the load, between faults, and after it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import anyio
import httpx
from pydantic_core import from_json, to_json

from harness.clock import NS_PER_S, RunClock
from harness.errors import TargetError
from harness.journal import AuditEntry, JournalWriter
from harness.outcome import Outcome
from harness.plan import Plan
from harness.redaction import redact
from harness.running.assembly import Rig
from harness.running.preflight import token_of, words
from harness.scenario import results
from harness.scenario.audit import Audit
from harness.scenario.records import Scenario
from harness.scenario.results import MISSING
from harness.session.access import Access, Doors
from harness.session.connecting import connector
from harness.session.processes import Processes
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker

ASK_S: Final = 5.0  # how long one answer may take
PATIENCE_S: Final = 10.0  # how long the last question is repeated: a target may still recover
PAUSE_S: Final = 0.25
AHEAD_NS: Final = 500_000_000  # asked so long before the next fault may strike the answer
BODY_BYTES_MAX: Final = 64 * 1024
Edge = Literal["before", "baseline", "recovery", "after"]


class _NoCountError(Exception):
    """No number came; the text says why, for people."""


@dataclass(frozen=True, kw_only=True)
class Auditor:
    """One who stands outside the load, and asks; each time in a session of its own."""

    audit: Audit
    scenario: Scenario
    doors: Doors
    access: Access
    schemas: SchemaBook
    clock: RunClock

    async def ask(self, edge: Edge, window: int = 0, *, patience_s: float = 0.0) -> AuditEntry:
        """The count, or why there is none; asked again for so long where there is none."""
        until_ns = self.clock.now_ns() + round(patience_s * NS_PER_S)
        while True:
            asked_ns = self.clock.now_ns()
            count, why = None, ""
            try:
                with anyio.fail_after(ASK_S):
                    count = await self._count()
            except _NoCountError as error:
                why = str(error)
            except TimeoutError:
                why = f"no answer within {ASK_S:g} s"
            now_ns = self.clock.now_ns()
            if count is None and now_ns < until_ns:
                await anyio.sleep(PAUSE_S)
                continue
            return AuditEntry(
                at_ns=asked_ns, answered_ns=now_ns, edge=edge, window=window, count=count, why=why
            )

    async def _count(self) -> int:
        if self.audit.http:
            return await _by_http(self.audit)
        if self.doors.command is None:
            return await self._by_call(None)
        command = self.doors.command
        async with Processes(command, now_ns=self.clock.now_ns, writer=None) as processes:
            return await self._by_call(processes)

    async def _by_call(self, processes: Processes | None) -> int:
        now_ns = self.clock.now_ns
        client = connector(self.scenario, self.doors, self.schemas, now_ns, processes)("control")
        token = ""
        if processes is None:
            token = await token_of(self.access, "control", self.doors, self.clock)
            client.authorization = f"Bearer {token}".encode() if token else b""
        deadline_ns = now_ns() + round(ASK_S * NS_PER_S)
        try:
            opened = await client.open(deadline_ns=deadline_ns)
            if opened.outcome is not Outcome.OK:
                raise _NoCountError(redact(f"no session: {words(opened)}", (token,)))
            return await _call(client, self.audit, token, deadline_ns)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await client.close(deadline_ns=now_ns() + NS_PER_S)
            client.drop_connections()


def auditor(
    scenario: Scenario, rig: Rig, tools: tuple[dict[str, Any], ...], clock: RunClock
) -> Auditor | None:
    """Whoever asks for a scenario's audit; None where it has none."""
    if scenario.audit is None:
        return None
    schemas = SchemaBook()
    for page in tools:
        schemas.learn(page)
    return Auditor(
        audit=scenario.audit,
        scenario=scenario,
        doors=rig.doors,
        access=rig.access,
        schemas=schemas,
        clock=clock,
    )


async def begin(
    scenario: Scenario, rig: Rig, tools: tuple[dict[str, Any], ...]
) -> tuple[AuditEntry, ...]:
    """The count before any load, stamped with the run's zero; () without an audit.

    Raises:
        TargetError: no number can be had, so that the run could not be audited.
    """
    asking = auditor(scenario, rig, tools, RunClock())
    if asking is None:
        return ()
    first = await asking.ask("before")
    if first.count is None:
        raise TargetError(
            f"the scenario's audit gives no count: {first.why}; "
            "mend audit: call, http, with or counts"
        )
    return (replace(first, at_ns=0, answered_ns=0),)


async def watch(asking: Auditor | None, plan: Plan, writer: JournalWriter) -> None:
    """Ask at the end of the baseline, and between one fault's recovery and the next fault."""
    if asking is None:
        return
    moments: list[tuple[int, Edge, int]] = [(plan.baseline_end_ns, "baseline", 0)]
    moments += [(one.recovery_end_ns, "recovery", one.window) for one in plan.windows]
    for at_ns, edge, window in sorted(moments)[:-1]:  # the last one is asked after the load
        await asking.clock.sleep_until(at_ns - AHEAD_NS)
        writer.append(await asking.ask(edge, window))


async def end(asking: Auditor | None, writer: JournalWriter) -> None:
    """Ask once more when nothing is under way any longer."""
    if asking is not None:
        writer.append(await asking.ask("after", patience_s=PATIENCE_S))


async def _call(client: Speaker, audit: Audit, token: str, deadline_ns: int) -> int:
    name = audit.call
    params = to_json({"name": name, "arguments": audit.arguments})
    reply = await client.request("tools/call", params, name=name, deadline_ns=deadline_ns)
    if reply.outcome is not Outcome.OK or not isinstance(reply.result, dict):
        raise _NoCountError(redact(f"{name} gave no result: {words(reply)}", (token,)))
    return _number(reply.result, audit.counts)


async def _by_http(audit: Audit) -> int:
    body = b""
    try:
        async with (
            httpx.AsyncClient(trust_env=False, timeout=ASK_S) as http,
            http.stream("GET", audit.http) as answer,
        ):
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise _NoCountError(f"the answer has more than {BODY_BYTES_MAX} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _NoCountError(f"no answer: {type(error).__name__}") from None
    if answer.status_code != httpx.codes.OK:
        raise _NoCountError(f"HTTP {answer.status_code}")
    try:
        value: object = from_json(body)
    except ValueError:
        raise _NoCountError("the answer is no JSON") from None
    return _number({"structuredContent": value, "result": value}, audit.counts)


def _number(result: dict[str, Any], place: str) -> int:
    """The whole number at a path; where a tool answers in text alone, `result` is that text."""
    steps = results.parse_path(place)
    found = results.find(result, steps)
    if found is MISSING and steps[0] == "result":  # the whole answer may be meant by it
        found = results.find(result, steps[1:]) if steps[1:] else MISSING
    if found is MISSING and place == "result":
        found = next(results.texts(result), MISSING)
    if isinstance(found, str) and found.strip().isdecimal():
        return int(found)
    if isinstance(found, int | float) and not isinstance(found, bool) and found == int(found):
        return int(found)
    what = "nothing" if found is MISSING else type(found).__name__
    raise _NoCountError(f"expected a whole number at {place}, found {what}")
