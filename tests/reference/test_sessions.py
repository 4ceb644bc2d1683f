"""A session as squall runs one: it finds its issuer, renews its token, and stays itself."""

from __future__ import annotations

import time

import anyio
import pytest

from harness.session.authority import discover
from harness.session.tokens import Grant, TokenPolicy, TokenSource
from tests.reference.calls import ERAS, Bench, Caller, Era

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
    policy = TokenPolicy()
    now_ns = time.monotonic_ns
    return TokenSource(authority, client_id, secret, policy, hardened.http, now_ns, grant=grant)


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
    assert all(sent_ns < source.expires_ns for sent_ns, _, _ in served)
