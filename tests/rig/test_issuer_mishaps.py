"""What the issuer does wrong on order: to whom, in which way, and not for longer than it should."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import httpx
import jwt
import pytest

from faults.levers import RefreshManner
from harness.rig.issuer import control
from tests.rig.test_issuer import Client

pytestmark = pytest.mark.anyio
ClientOf = Callable[[str], Awaitable[Client]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's issuer lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[control.Issuer]:
    """A running issuer."""
    async with control.serve(log_dir=None) as running:
        yield running


@pytest.fixture
async def client_of(issuer: control.Issuer) -> AsyncIterator[ClientOf]:
    """Makes clients that are alone in their groups."""
    async with AsyncExitStack() as stack:

        async def made(name: str) -> Client:
            secret = await issuer.register(
                client_id=name, group=name, scopes="mcp:read mcp:write", ttl_s=60
            )
            client = Client(issuer, name, secret)
            stack.push_async_callback(client.http.aclose)
            return client

        yield made


async def test_a_rotated_key_signs_for_one_group_and_the_old_one_fades(
    issuer: control.Issuer, client_of: ClientOf
) -> None:
    """The others' tokens are signed as before; the old key is published until it is withdrawn."""
    struck, other = await client_of("treated"), await client_of("spared")
    grants = [await struck.grant(scope="mcp:read"), await other.grant()]
    before = [kid(answer["access_token"]) for answer in grants]
    assert before[0] != before[1]
    await issuer.rotate(keep_s=60)
    after = kid((await struck.grant(scope="mcp:read"))["access_token"])
    assert after not in before
    assert kid((await other.grant())["access_token"]) == before[1]
    assert {*before, after} <= await published(issuer)
    assert await struck.active(grants[0]["access_token"]), "it is still the issuer's own"
    await issuer.rotate(keep_s=None)
    assert before[0] not in await published(issuer)
    assert {before[1], after} <= await published(issuer)


async def test_a_withdrawn_key_still_signs_for_whoever_may_have_stolen_it(
    issuer: control.Issuer,
) -> None:
    """Once it is out of the key set, and not before; for how long that is kept is said with it."""
    secret = await issuer.register(
        client_id="thief", group="treated", scopes="mcp:read", ttl_s=1, odd=True
    )
    form = {"grant_type": "client_credentials", "squall_oddity": "withdrawn"}

    async def steal() -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await http.post(f"{issuer.url}/token", data=form, auth=("thief", secret))

    await issuer.rotate(keep_s=None)
    await issuer.rotate(keep_s=60, fresh_s=1.5)
    assert await kept_s(issuer) == 2
    await issuer.rotate(keep_s=None)
    token = (await steal()).json()["access_token"]
    assert kid(token) not in await published(issuer)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] > 30, "it outlives the group's own"
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    assert await kept_s(issuer) == 300


async def test_an_outage_spares_nobody_but_the_control_face(
    issuer: control.Issuer, client_of: ClientOf
) -> None:
    """Every endpoint says 503, and those that targets read are counted; then all is well again."""
    client = await client_of("waiting")
    hit = (await issuer.statistics()).struck.get("outage", 0)
    await issuer.set_outage("down")
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            for path in ("jwks", "status", ".well-known/oauth-authorization-server"):
                assert (await http.get(f"{issuer.url}/{path}")).status_code == 503
        assert (await client.post("token", grant_type="client_credentials")).status_code == 503
    finally:
        await issuer.set_outage(None)
    assert (await issuer.statistics()).struck["outage"] == hit + 3, "ours was the first"
    await client.grant()


async def test_a_slow_issuer_answers_in_the_end(
    issuer: control.Issuer, client_of: ClientOf
) -> None:
    """Late, and rightly."""
    client = await client_of("patient")
    await issuer.set_outage("slow", delay_s=0.5)
    try:
        with anyio.fail_after(5):
            await client.grant()
    finally:
        await issuer.set_outage(None)


@pytest.mark.parametrize(
    ("manner", "status"),
    [("invalid_grant", 400), ("error", 500), ("form", 200), ("undated", 200), ("narrowed", 200)],
)
async def test_a_refresh_goes_wrong_in_its_own_way_for_its_group_alone(
    issuer: control.Issuer, client_of: ClientOf, manner: RefreshManner, status: int
) -> None:
    """A first grant goes well all the while, and so does the refresh afterwards."""
    client, spared = await client_of(f"m-{manner}"), await client_of(f"s-{manner}")
    held = await client.grant(scope="mcp:read mcp:write offline_access")
    await issuer.set_refreshing(f"m-{manner}", manner)
    try:
        reply = await client.refresh(held["refresh_token"])
        assert (await spared.refresh((await spared.grant())["refresh_token"])).status_code == 200
        again = await client.grant(scope="mcp:read mcp:write offline_access")
    finally:
        await issuer.set_refreshing(f"m-{manner}", None)
    assert reply.status_code == status
    match manner:
        case "form":
            assert b"access_token=" in reply.content
        case "undated":
            assert not any(name.startswith("expires_in") for name in reply.json())
        case "narrowed":
            assert reply.json()["scope"] == "mcp:read"
        case _:
            assert "access_token" not in reply.json()
    assert (await client.refresh(again["refresh_token"])).status_code == 200


async def test_a_spent_token_is_forgiven_within_the_leeway_and_betrays_a_theft_after_it(
    issuer: control.Issuer, client_of: ClientOf
) -> None:
    """Of several that race with one token, all win or all lose."""
    client = await client_of("racer")
    token = (await client.grant())["refresh_token"]
    await issuer.set_refreshing("racer", None, leeway_s=60)
    replies = [await client.refresh(token) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 400], "only the one before"
    await issuer.set_refreshing("racer", None)
    token = (await client.grant())["refresh_token"]
    first, second = await client.refresh(token), await client.refresh(token)
    assert (first.status_code, second.status_code) == (200, 400)
    assert not await client.active(first.json()["access_token"])


async def test_only_an_odd_client_is_sold_a_token_that_is_no_good(
    client_of: ClientOf,
) -> None:
    """Whoever runs this issuer for something else gets sound ones, whatever is asked for."""
    client = await client_of("even")
    sold = (await client.grant(squall_oddity="shift=-9999"))["access_token"]
    assert "nbf" not in jwt.decode(sold, options={"verify_signature": False})
    assert jwt.get_unverified_header(sold)["typ"] == "at+jwt"


def kid(token: str) -> str:
    """Which key has signed a token."""
    return str(jwt.get_unverified_header(token)["kid"])


async def kept_s(issuer: control.Issuer) -> int:
    """For how long the key set may be kept, as it says itself."""
    async with httpx.AsyncClient(trust_env=False) as http:
        said = (await http.get(f"{issuer.url}/jwks")).headers["cache-control"]
    return int(said.removeprefix("public, max-age="))


async def published(issuer: control.Issuer) -> set[str]:
    """The ids of the keys that anybody can read."""
    async with httpx.AsyncClient(trust_env=False) as http:
        return {key["kid"] for key in (await http.get(f"{issuer.url}/jwks")).json()["keys"]}
