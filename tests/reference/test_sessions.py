"""A session as squall runs one: it finds its issuer, renews its token, and stays itself."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import anyio
import httpx
import pytest

from harness.rig.issuer import control
from harness.session.authority import discover
from harness.session.membership import Membership
from harness.session.registration import Grant, declared
from harness.session.tokens import TokenPolicy, TokenSource
from tests.reference.calls import ERAS, Bench, Caller, Era, bench

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("era", ERAS)]


async def credential(hardened: Bench, era: Era, *, grant: Grant, ttl_s: float) -> TokenSource:
    """A session's credential, found by the challenge that the target gives."""
    client_id = f"{grant}-{era}"
    secret = await hardened.issuer.register(
        client_id=client_id, group=client_id, scopes="mcp:read mcp:write", ttl_s=ttl_s
    )
    stranger = Caller(http=hardened.http, url=hardened.url, token="", era=era)
    challenge = (await stranger.open()).challenge
    authority = await discover(hardened.http, hardened.url, challenge)
    assert authority.scopes == ("mcp:read", "mcp:write")
    client = declared(authority, client_id=client_id, secret=secret)
    now_ns = time.monotonic_ns
    membership = Membership(authority, client, http=hardened.http, now_ns=now_ns)
    return TokenSource(membership, TokenPolicy(), now_ns, grant=grant)


@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code"])
async def test_a_session_outlives_its_tokens(hardened: Bench, era: Era, grant: Grant) -> None:
    """Proactive renewal: no call fails, and the context is there under the third token."""
    source = await credential(hardened, era, grant=grant, ttl_s=1)
    await source.obtain()
    caller = await hardened.caller(era, source.token)
    session_id = caller.session_id
    await caller.call("remember", {"key": "plan", "value": "tea", "session": era})
    statuses = []
    with anyio.fail_after(15):
        while source.serial < 3:
            if source.due(time.monotonic_ns()):
                await source.renew()
                caller.token = source.token
            statuses.append((await caller.call("recall", {"key": "plan", "session": era})).status)
            await anyio.sleep(0.05)
    assert set(statuses) == {200}
    assert (await caller.call("recall", {"key": "plan", "session": era})).value["value"] == "tea"
    assert caller.session_id == session_id
    assert source.refreshes == 2


async def test_the_expiry_that_we_know_is_the_servers_own(hardened: Bench, era: Era) -> None:
    """Served until then and refused from then on, to within the time that a reply takes."""
    source = await credential(hardened, era, grant="client_credentials", ttl_s=1)
    await source.obtain()
    caller = await hardened.caller(era, source.token)
    answers: list[tuple[int, int, int]] = []
    with anyio.fail_after(15):
        while not answers or answers[-1][2] == 200:
            sent_ns = time.monotonic_ns()
            answer = await caller.call("recall", {"key": "nothing"})
            answers.append((sent_ns, time.monotonic_ns(), answer.status))
    *served, refused = answers
    assert refused[2] == 401
    # The response to the token request took a moment, and so far the expiry is known too late.
    slack_ns = 50_000_000
    assert refused[1] >= source.expires_ns - slack_ns
    # The server reads the wall clock, which may be slewed by a two-thousandth against ours.
    drift_ns = 2_000_000
    assert all(sent_ns < source.expires_ns + drift_ns for sent_ns, _, _ in served)


async def _ask_for_ever(http: httpx.AsyncClient, url: str) -> None:
    while True:
        await http.get(url)


async def test_an_outage_of_the_issuer_is_none_of_the_server(tmp_path: Path, era: Era) -> None:
    """What was issued before goes on being served; and no log of either names a credential."""
    with anyio.fail_after(30):
        async with control.serve(log_dir=tmp_path) as issuer, bench(issuer, tmp_path) as running:
            caller = await running.caller(era)
            os.kill(issuer.pid, signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                await _ask_for_ever(running.http, f"{issuer.url}/jwks")
            for _ in range(5):
                assert (await caller.call("fetch", {"id": "doc-1"})).status == 200
            renewed = caller.token
            caller.token = f"{renewed}x"
            assert (await caller.call("fetch", {"id": "doc-1"})).status == 401
    logs = "".join((tmp_path / name).read_text() for name in ("issuer.log", "reference.log"))
    assert "listening" in logs
    assert not [secret for secret in (renewed, *running.secrets.values()) if secret in logs]
