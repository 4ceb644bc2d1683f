"""A bare client of either era, and an issuer with one client: what the tests speak with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from harness.rig.issuer import control
from harness.rig.server import Target, reference

Era = Literal["legacy", "modern"]
ERAS: tuple[Era, ...] = ("legacy", "modern")
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back to one request."""

    status: int
    challenge: str
    message: dict[str, Any]

    @property
    def result(self) -> dict[str, Any]:
        """The JSON-RPC result, empty when there is none."""
        result: dict[str, Any] = self.message.get("result") or {}
        return result

    @property
    def value(self) -> Any:
        """The structured content of a tool's result."""
        return self.result.get("structuredContent")

    @property
    def failed(self) -> bool:
        """Whether the tool said that it failed."""
        return bool(self.result.get("isError"))


@dataclass(kw_only=True)
class Caller:
    """One agent: an era, a token that a test may exchange, and a session once it has one."""

    http: httpx.AsyncClient
    url: str
    token: str
    era: Era
    session_id: str = ""
    last_id: int = 0
    extra: dict[str, str] = field(default_factory=dict)

    async def open(self) -> Answer:
        """Begin a session where the era has one."""
        if self.era == "modern":
            return await self.ask("server/discover", {})
        opening = {
            "protocolVersion": LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }
        answer = await self.ask("initialize", opening)
        if answer.status == 200:
            await self.http.post(
                self.url,
                headers=self.headers("notifications/initialized", {}),
                json={"jsonrpc": "2.0", "method": "notifications/initialized"},
            )
        return answer

    async def call(self, tool: str, arguments: Mapping[str, Any], *, id: int = 0) -> Answer:  # noqa: A002 - JSON-RPC's word
        """Call a tool."""
        return await self.ask("tools/call", {"name": tool, "arguments": dict(arguments)}, id=id)

    async def ask(self, method: str, params: dict[str, Any], *, id: int = 0) -> Answer:  # noqa: A002 - JSON-RPC's word
        """Send one request and read its answer to the end."""
        self.last_id += 1
        if self.era == "modern":
            params = {**params, "_meta": META}
        message = {"jsonrpc": "2.0", "id": id or self.last_id, "method": method, "params": params}
        reply = await self.http.post(self.url, headers=self.headers(method, params), json=message)
        self.session_id = reply.headers.get("mcp-session-id", self.session_id)
        return read(reply)

    def headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        """The headers of a request of this era."""
        headers = {"accept": "application/json, text/event-stream", **self.extra}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if self.era == "modern":
            headers |= {"mcp-protocol-version": MODERN, "mcp-method": method}
            if "name" in params:
                headers["mcp-name"] = str(params["name"])
        elif self.session_id:
            headers |= {"mcp-protocol-version": LEGACY, "mcp-session-id": self.session_id}
        return headers


def read(reply: httpx.Response) -> Answer:
    """The JSON-RPC message in a reply, plain or as the last event of a stream."""
    text = reply.text
    if reply.headers.get("content-type", "").startswith("text/event-stream"):
        events = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        text = next((event for event in reversed(events) if event.strip()), "{}")
    try:
        message = json.loads(text)
    except ValueError:
        message = {}
    return Answer(
        status=reply.status_code,
        challenge=reply.headers.get("www-authenticate", ""),
        message=message if isinstance(message, dict) else {},
    )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A running issuer and server, and the way to get tokens and callers."""

    issuer: control.Issuer
    target: Target
    ledger: Path
    http: httpx.AsyncClient
    secrets: dict[str, str] = field(default_factory=dict)
    suffix: str = ""  # keeps the clients of several servers at one issuer apart

    async def revoke(self, client_id: str) -> int:
        """Revoke what a client holds; how many tokens were still good."""
        return await self.issuer.revoke_all(f"{client_id}{self.suffix}")

    @property
    def url(self) -> str:
        """The server's endpoint."""
        return self.target.url

    async def token(
        self,
        client_id: str = "agent",
        *,
        scopes: str = "mcp:read mcp:write",
        ttl_s: float = 600,
        resource: str | None = None,
    ) -> str:
        """A fresh access token of a client, which is registered when it is new."""
        client_id = f"{client_id}{self.suffix}"
        if client_id not in self.secrets:
            self.secrets[client_id] = await self.issuer.register(
                client_id=client_id, group=client_id, scopes="mcp:read mcp:write", ttl_s=ttl_s
            )
        await self.issuer.set_ttl(client_id, ttl_s)
        reply = await self.http.post(
            f"{self.issuer.url}/token",
            data={
                "grant_type": "client_credentials",
                "scope": scopes,
                "resource": self.url if resource is None else resource,
            },
            auth=(client_id, self.secrets[client_id]),
        )
        assert reply.status_code == 200
        return str(reply.json()["access_token"])

    async def caller(self, era: Era, token: str | None = None) -> Caller:
        """An agent with an open session and, unless one is given, a good token."""
        token = await self.token() if token is None else token
        caller = Caller(http=self.http, url=self.url, token=token, era=era)
        await caller.open()
        return caller


@asynccontextmanager
async def bench(issuer: control.Issuer, folder: Path, *flaws: str) -> AsyncIterator[Bench]:
    """A server with these flaws that trusts `issuer`."""
    ledger = folder / f"ledger-{'-'.join(flaws) or 'hardened'}.db"
    log = folder / "reference.log"
    async with (
        reference(issuer=issuer.url, ledger=ledger, flaws=flaws, log=log) as target,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        suffix = "".join(f"+{flaw}" for flaw in flaws)
        yield Bench(issuer=issuer, target=target, ledger=ledger, http=http, suffix=suffix)
