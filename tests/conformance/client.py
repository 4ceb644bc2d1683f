"""The command that the official conformance suite drives: squall's client, told what to do by name.

Sessions with tokens are lived by the product's own `Session`, so that refusals are answered as in
a run; the rest talks through the wire's client alone.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
from pydantic_core import to_json

from harness import journal
from harness.clock import NS_PER_S, RunClock
from harness.errors import SquallError
from harness.journal import JournalWriter
from harness.outcome import Outcome
from harness.plan import make
from harness.rig.reaching import http_client
from harness.scenario.records import Scenario
from harness.session.access import Doors, creditor
from harness.session.admission import admit
from harness.session.conduct import Conduct
from harness.session.connecting import connector
from harness.session.life import Session
from harness.session.record import Recorder
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.session.talker import compile_rules
from harness.wire.answering import Rules
from harness.wire.endpoint import Endpoint
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker

MODERN: Final = "2026-07-28"
DOCUMENT: Final = "https://conformance-test.local/client-metadata.json"
PACE, PACE_MS = "20/s", 50
DEADLINE_S: Final = 15.0
STUCK_S: Final = 40  # before the suite gives up on this process without a word
SEEN_S: Final = 0.5  # the suite's server asks on the GET stream, and does not say when it has one

LIST: Final = {"method": "tools/list"}
CALL: Final = {"call": "test-tool"}
LISTS: Final = tuple(
    {"method": method} for method in ("tools/list", "resources/list", "prompts/list")
)


def scenario(url: str, version: str, steps: list[dict[str, Any]], **more: Any) -> Scenario:
    """One session that takes each step once."""
    return Scenario.model_validate(
        {
            "question": "Does the client do what the suite asks of it?",
            "target": {"url": url},
            "era": "modern" if version == MODERN else "legacy",
            "agents": [{"name": "suite", "pace": PACE, "steps": steps}],
            "load": {"sessions": 1, "ramp": "0s", "treated": "0%"},
            "phases": {"warmup": "0s", "baseline": f"{len(steps) * PACE_MS}ms"},
            "client": {"deadline": f"{DEADLINE_S:g}s"},
            **more,
        }
    )


def connected(made: Scenario, url: str, schemas: SchemaBook, clock: RunClock) -> Speaker:
    """The client that a run would use, without a proxy between."""
    end = Endpoint.from_url(url)
    door = (end.connect_host, end.connect_port)
    doors = Doors(url=url, control=door, treated=door)
    return connector(made, doors, schemas, clock.now_ns)("control")


async def live(made: Scenario, url: str) -> bool:
    """Live one session of a run; whether every step was answered well."""
    clock, plan = RunClock(), make(made)
    access = await admit(made.auth, url, None, http_client(url))
    with tempfile.TemporaryDirectory() as folder:
        async with http_client(url) as http:
            credential = creditor(access, http, clock.now_ns)
            with JournalWriter(Path(folder)) as writer:
                stage = Stage(
                    scenario=made,
                    plan=plan,
                    clock=clock,
                    conduct=Conduct(),
                    recorder=Recorder(writer),
                    writer=writer,
                    steps=(compile_agent(made, plan, 0),),
                    connect=lambda _: connected(made, url, SchemaBook(), clock),
                    credential=lambda planned: credential(planned.arm),
                    rules=compile_rules(made),
                )
                await Session(stage=stage, planned=plan.sessions[0]).run()
        told = journal.read(Path(folder))
    for entry in told.entries:
        sys.stderr.write(f"{entry}\n")
    last = told.calls[told.calls["last"] == 1]
    return len(last) > 0 and bool((last["outcome"] == Outcome.OK).all())


class Talk:
    """Requests by hand, one after another."""

    def __init__(self, url: str, version: str, *, listen: bool = False) -> None:
        """Nothing is sent yet; `listen` opens the GET stream too."""
        self.clock = RunClock()
        self.schemas = SchemaBook()
        policy = {"deadline": f"{DEADLINE_S:g}s", "listen": listen}
        made = scenario(url, version, [LIST], client=policy)
        self.client = connected(made, url, self.schemas, self.clock)

    @property
    def deadline_ns(self) -> int:
        """Of a request that begins now."""
        return self.clock.now_ns() + round(DEADLINE_S * NS_PER_S)

    async def ask(self, method: str, params: dict[str, Any], name: str = "") -> Any:
        """Ask, and give the result.

        Raises:
            SquallError: it did not go well.
        """
        reply = await self.client.request(
            method, to_json(params), name=name, deadline_ns=self.deadline_ns
        )
        return _result(reply)

    async def open(self) -> list[dict[str, Any]]:
        """Open, and give the tools that may be called."""
        _result(await self.client.open(deadline_ns=self.deadline_ns))
        listed = await self.ask("tools/list", {})
        self.schemas.learn(listed)
        return [tool for tool in listed["tools"] if tool["name"] not in self.schemas.refused]

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call a tool."""
        return await self.ask("tools/call", {"name": name, "arguments": arguments}, name)

    async def close(self) -> None:
        """Say goodbye."""
        await self.client.close(deadline_ns=self.deadline_ns)
        self.client.drop_connections()


def _result(reply: Reply) -> Any:
    if reply.outcome is not Outcome.OK:
        raise SquallError(f"{reply.outcome.name} {reply.reason.name} {reply.status} {reply.detail}")
    return reply.result


async def call_all(talk: Talk, context: dict[str, Any]) -> None:
    """Call every tool that may be called, or what the suite wants called."""
    tools = await talk.open()
    wanted = context.get("toolCalls")
    if wanted is None:
        wanted = [{"name": tool["name"], "arguments": {"a": 2, "b": 3}} for tool in tools]
    for one in wanted:
        await talk.call(one["name"], one["arguments"])


async def only_list(talk: Talk, _: dict[str, Any]) -> None:
    """List the tools, and no more."""
    await talk.open()


async def echo_schema(talk: Talk, _: dict[str, Any]) -> None:
    """Give a schema back as it was listed."""
    tools = await talk.open()
    seen = next(tool for tool in tools if tool["name"] == "json_schema_2020_12_tool")
    await talk.call("json_schema_echo", {"schema": seen["inputSchema"]})


async def accept(talk: Talk, _: dict[str, Any]) -> None:
    """Answer every question of the server with its own defaults."""
    talk.client.inbox.rules = Rules(elicitation="accept")
    tools = await talk.open()
    await anyio.sleep(SEEN_S)
    for tool in tools:
        await talk.call(tool["name"], {})


async def headers(talk: Talk, _: dict[str, Any]) -> None:
    """Use each method whose name or subject goes into a header."""
    for tool in await talk.open():
        await talk.call(tool["name"], {})
    for resource in (await talk.ask("resources/list", {}))["resources"]:
        await talk.ask("resources/read", {"uri": resource["uri"]}, resource["uri"])
    for prompt in (await talk.ask("prompts/list", {}))["prompts"]:
        await talk.ask("prompts/get", {"name": prompt["name"]}, prompt["name"])


TALKS: Final[dict[str, Callable[[Talk, dict[str, Any]], Awaitable[None]]]] = {
    "elicitation-sep1034-client-defaults": accept,
    "request-metadata": only_list,
    "json-schema-ref-no-deref": only_list,
    "json-schema-2020-12-preservation": echo_schema,
    "http-standard-headers": headers,
}

AUTH: Final[dict[str, dict[str, str]]] = {
    "auth/client-credentials-basic": {"grant": "client_credentials"},
    "auth/client-credentials-jwt": {"grant": "client_credentials"},
    "auth/wif-jwt-bearer": {"grant": "jwt_bearer"},
}
VARIABLES: Final = {
    "client_id": "SQUALL_CLIENT_ID",
    "client_secret": "SQUALL_CLIENT_SECRET",
    "private_key_pem": "SQUALL_CLIENT_KEY",
    "valid_jwt": "SQUALL_ASSERTION",
}


# A session that answers what the server asks in its results, with an unrelated call between.
ROUNDS: Final[list[dict[str, Any]]] = [
    {"parallel": [{"call": "test_mrtr_echo_state"}, {"call": "test_mrtr_unrelated"}]},
    {"call": "test_mrtr_no_state"},
    {"call": "test_mrtr_no_result_type"},
]


async def drive(name: str, version: str, url: str, context: dict[str, Any]) -> bool:
    """Do what the suite's scenario is about; whether all went well."""
    if name.startswith("auth/"):
        for member, variable in VARIABLES.items():
            if member in context:
                os.environ[variable] = context[member]
        grant = AUTH.get(name, {"grant": "authorization_code"})
        auth = {"issuer": "target", "refresh": "on-401", "client_document": DOCUMENT, **grant}
        return await live(scenario(url, version, [LIST, CALL], auth=auth), url)
    if name == "sep-2322-client-request-state":
        policy = {"deadline": f"{DEADLINE_S:g}s", "answers": {"elicitation": "accept"}}
        return await live(scenario(url, version, ROUNDS, client=policy), url)
    talk = Talk(url, version, listen=name.startswith("elicitation"))
    try:
        await TALKS.get(name, call_all)(talk, context)
    finally:
        await talk.close()
    return True


def main() -> int:
    """Give the exit code that the suite reads."""
    faulthandler.dump_traceback_later(STUCK_S, exit=True)  # so that a hang says where it is
    name = os.environ["MCP_CONFORMANCE_SCENARIO"]
    version = os.environ.get("MCP_CONFORMANCE_PROTOCOL_VERSION", "2025-11-25")
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    try:
        return 0 if anyio.run(drive, name, version, sys.argv[1], context) else 1
    except SquallError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
