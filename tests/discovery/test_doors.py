"""Visits in process, to the bundled server: tokens, the old transport, a server that is lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.discovery.composing import compose
from harness.discovery.findings import Findings
from harness.discovery.visit import Order, visit
from harness.errors import TargetError
from harness.rig import server
from harness.rig.issuer import control as issuers
from harness.scenario.auth import Auth
from harness.scenario.load import load_text
from harness.scenario.records import LaunchTarget, UrlTarget
from tests.command import ROOT

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real, pytest.mark.timeout(120)]


def quiet(_: str) -> None:
    """Nobody listens."""


def learned(findings: Findings) -> set[str]:
    """The tools that answered."""
    return {one.name for one in findings.learned if one.kind == "tool"}


async def test_a_server_that_wants_tokens_is_visited_with_them_and_not_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the client that the environment names; whoever says none learns how to say one."""
    async with issuers.serve(log_dir=tmp_path) as issuer:
        secret = await issuer.register(
            client_id="me", group="control", scopes="mcp:read mcp:write", ttl_s=3600
        )
        async with server.reference(issuer=issuer.url, ledger=tmp_path / "l.sqlite") as target:
            url = UrlTarget(url=target.url)
            with pytest.raises(TargetError, match="--auth client_credentials"):
                await visit(Order(target=url), quiet)
            monkeypatch.setenv("SQUALL_CLIENT_ID", "me")
            monkeypatch.setenv("SQUALL_CLIENT_SECRET", secret)
            auth = Auth(issuer="target", grant="client_credentials")
            said: list[str] = []
            findings = await visit(Order(target=url, auth=auth), said.append)
    assert {"search", "fetch", "list_entries"} <= learned(findings)
    assert not {"append_note", "remember"} & learned(findings)
    text = compose(
        findings,
        target=url,
        auth=auth,
        era="",
        revision="",
        remote=False,
        file="a.yaml",
        again="",
    )
    assert load_text(text, "a.yaml").scenario.auth == auth
    assert secret not in text + "".join(said)


async def test_a_server_of_the_old_transport_is_visited_too(tmp_path: Path) -> None:
    """HTTP+SSE is found out, as by a run."""
    async with server.reference(issuer=None, ledger=tmp_path / "l.sqlite", sse=True) as target:
        findings = await visit(Order(target=UrlTarget(url=target.url)), quiet)
    assert findings.offer.era == "legacy"
    assert {"search", "fetch"} <= learned(findings)


async def test_time_for_tries_is_bounded(tmp_path: Path) -> None:
    """What there was no time for is left out, and says so; the file is written all the same."""
    async with server.reference(issuer=None, ledger=tmp_path / "l.sqlite") as target:
        order = Order(target=UrlTarget(url=target.url), within_s=0.0)
        findings = await visit(order, quiet)
    assert findings.learned == ()
    assert any("for tries were over" in one.why for one in findings.left_out)


async def test_a_server_that_a_tool_ends_is_written_about_all_the_same(tmp_path: Path) -> None:
    """With what answered before, and the name of what ended it."""
    command = [sys.executable, "-m", "tests.discovery.shop", "--fragile", "--port", "${port}"]
    target = LaunchTarget.model_validate(
        {
            "launch": (*command, "--calls", str(tmp_path / "calls.txt")),
            "url": "http://127.0.0.1:${port}/mcp",
            "environment": {"PYTHONPATH": str(ROOT)},
            "ready": "60s",
        }
    )
    findings = await visit(Order(target=target), quiet)
    assert {"find_items", "count_orders"} <= learned(findings)
    why = {one.name: one.why for one in findings.left_out}
    assert "the server was lost by it" in why["abandon"]
    assert "the server was lost with tool abandon" in why["shop://hours"]
