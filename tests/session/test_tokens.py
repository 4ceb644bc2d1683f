"""How a session finds its issuer, gets its tokens and keeps them good."""

from __future__ import annotations

import logging
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import jwt
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from harness.clock import NS_PER_S
from harness.errors import UsageError
from harness.rig.issuer import control
from harness.session.authority import Authority, authority_from
from harness.session.exchange import TokenError
from harness.session.membership import Membership
from harness.session.registration import Grant, declared
from harness.session.tokens import StaticBearer, TokenPolicy, TokenSource, spoil
from tests.session.web import TARGET, Handler, gives, site

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's issuer lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[control.Issuer]:
    """A running issuer."""
    async with control.serve(log_dir=None) as running:
        yield running


class Source:
    """A session's credential at the issuer, and the run clock that it reads."""

    def __init__(self, issuer: control.Issuer, name: str) -> None:
        """Speak for the client `name`."""
        self.issuer = issuer
        self.name = name
        self.now_ns = 0
        self.http = httpx.AsyncClient(trust_env=False)

    async def make(
        self,
        *,
        policy: TokenPolicy | None = None,
        grant: Grant = "client_credentials",
        ttl_s: float = 600,
    ) -> TokenSource:
        """A credential that has no token yet."""
        secret = await self.issuer.register(
            client_id=self.name, group=self.name, scopes="mcp:read mcp:write", ttl_s=ttl_s
        )
        place = f"{self.issuer.url}/.well-known/oauth-authorization-server"
        authority = authority_from(
            (await self.http.get(place)).json(),
            issuer=self.issuer.url,
            resource=TARGET,
            scopes=("mcp:read",),
        )
        client = declared(authority, client_id=self.name, secret=secret)
        membership = Membership(authority, client, http=self.http, now_ns=lambda: self.now_ns)
        return TokenSource(membership, policy or TokenPolicy(), lambda: self.now_ns, grant=grant)

    async def minted(self) -> int:
        """How many tokens the issuer has given to this client."""
        return (await self.issuer.statistics()).clients[self.name].minted


@pytest.fixture
async def source(issuer: control.Issuer, request: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """A client of the test's own."""
    made = Source(issuer, request.node.name)
    async with made.http:
        yield made


# --- tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code"])
async def test_a_session_gets_a_token_for_its_target(source: Source, grant: Grant) -> None:
    """By either grant, without a browser; times are in run nanoseconds."""
    credential = await source.make(grant=grant)
    source.now_ns = 5 * NS_PER_S
    assert (credential.token, credential.serial) == ("", 0)
    await credential.obtain()
    await credential.obtain()
    claims = jwt.decode(credential.token, options={"verify_signature": False})
    assert (claims["aud"], claims["scope"]) == (TARGET, "mcp:read")
    assert (credential.serial, credential.minted_ns) == (1, 5 * NS_PER_S)
    assert 605 <= credential.expires_ns / NS_PER_S <= 606
    assert await source.minted() == 1


@pytest.mark.parametrize("grant", ["client_credentials", "authorization_code"])
async def test_a_renewal_uses_the_refresh_token(source: Source, grant: Grant) -> None:
    """Again and again, for it rotates."""
    credential = await source.make(grant=grant)
    await credential.obtain()
    tokens = {credential.token}
    for _ in range(3):
        await credential.renew()
        tokens.add(credential.token)
    counts = (await source.issuer.statistics()).clients[source.name]
    assert (len(tokens), credential.serial, credential.refreshes) == (4, 4, 3)
    assert (counts.minted, counts.refreshed, counts.refused) == (4, 3, 0)


async def test_a_refused_refresh_token_gives_way_to_a_new_grant(source: Source) -> None:
    """After a revocation the session comes back by itself."""
    credential = await source.make()
    await credential.obtain()
    await source.issuer.revoke_all(source.name)
    await credential.renew()
    assert (credential.serial, credential.refreshes) == (2, 0)
    await credential.renew()
    assert credential.refreshes == 1


async def test_many_who_ask_at_once_get_one_renewal(source: Source) -> None:
    """Single flight: one request to the issuer, one new token for all."""
    credential = await source.make()
    await credential.obtain()
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(credential.renew)
    assert credential.serial == 2
    assert await source.minted() == 2


async def test_many_who_ask_at_once_share_a_failure(source: Source) -> None:
    """A server in trouble is asked once, not once for each; and the next one may try again."""
    asked = 0

    def failing(_: Request) -> Response:
        nonlocal asked
        asked += 1
        return JSONResponse({"error": "server_error"}, status_code=500)

    failures = []

    async def renew(credential: TokenSource) -> None:
        try:
            await credential.renew()
        except TokenError as error:
            failures.append(error)

    async with site({"http://as.test/token": failing}) as http:
        credential = foreign(http)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(renew, credential)
        assert (asked, len(failures)) == (1, 10)
        assert all(error.transient for error in failures)
        await renew(credential)
        assert asked == 2
    del source


async def test_a_transient_failure_keeps_the_refresh_token(source: Source) -> None:
    """It was not spent, so it is still the way to the next token."""
    replies = [
        JSONResponse({"access_token": "a.b.c", "token_type": "Bearer", "refresh_token": "r1"}),
        JSONResponse({}, status_code=503),
        JSONResponse({"access_token": "d.e.f", "token_type": "Bearer"}),
    ]
    presented: list[str] = []

    def scripted(request: Request) -> Response:
        presented.append(request.headers["content-length"])
        return replies.pop(0)

    async with site({"http://as.test/token": scripted}) as http:
        credential = foreign(http)
        await credential.obtain()
        with pytest.raises(TokenError):
            await credential.renew()
        assert credential.token == "a.b.c"
        await credential.renew()
    assert (credential.token, credential.refreshes) == ("d.e.f", 1)
    assert presented[1] == presented[2]
    del source


def foreign(
    http: httpx.AsyncClient,
    *,
    issuer: str = "http://as.test",
    scopes: tuple[str, ...] = (),
    policy: TokenPolicy | None = None,
) -> TokenSource:
    """A credential at somebody else's issuer."""
    authority = Authority(
        issuer=issuer, token_endpoint=f"{issuer}/token", resource=TARGET, scopes=scopes
    )
    client = declared(authority, client_id="client", secret="secret-1")
    membership = Membership(authority, client, http=http, now_ns=lambda: 0)
    return TokenSource(membership, policy or TokenPolicy(), lambda: 0)


@pytest.mark.parametrize(
    ("answer", "lifetime_s"),
    [
        ({"expires_in": 60}, 60.0),
        ({"expires_in": "60"}, 60.0),
        ({"expires_in": 60, "expires_in_ms": 60_750}, 60.75),
        ({}, None),
        ({"expires_in": "soon"}, None),
        ({"expires_in": -1}, None),
        ({"expires_in": 1e300}, None),
    ],
)
async def test_a_lifetime_is_believed_when_it_makes_sense(
    answer: dict[str, Any], lifetime_s: float | None
) -> None:
    """Numbers and numeric strings; otherwise the token never expires as far as we know."""
    reply = gives({"access_token": "a.b.c", "token_type": "Bearer", **answer})
    async with site({"http://as.test/token": reply}) as http:
        credential = foreign(http)
        await credential.obtain()
    expected = -1 if lifetime_s is None else int(lifetime_s * NS_PER_S)
    assert credential.expires_ns == expected
    assert credential.due(10**18) is (lifetime_s is not None)


@pytest.mark.parametrize(
    "reply",
    [
        gives({"error": "invalid_client"}, status=401),
        gives({}),
        gives({"access_token": ""}),
        gives([1, 2]),
        lambda _: PlainTextResponse("access_token=a.b.c&token_type=bearer"),
        lambda _: PlainTextResponse("x" * 1024 * 1024),
        lambda _: PlainTextResponse("<html>", status_code=502),
    ],
)
async def test_an_answer_without_a_token_is_one_clear_sentence(
    reply: Callable[[Request], Response], caplog: pytest.LogCaptureFixture
) -> None:
    """It names the endpoint and the status, and never the secret."""
    caplog.set_level(logging.DEBUG, logger="harness")
    async with site({"http://as.test/token": reply}) as http:
        credential = foreign(http)
        with pytest.raises(TokenError, match=r"http://as\.test/token answered HTTP") as caught:
            await credential.obtain()
    assert "secret-1" not in str(caught.value) + caplog.text + repr(credential)
    assert credential.serial == 0


async def test_an_unreachable_issuer_may_be_tried_again() -> None:
    """No token, a transient error, and no hang."""
    async with httpx.AsyncClient(trust_env=False) as http:
        credential = foreign(http, issuer="http://127.0.0.1:1")
        with (
            anyio.fail_after(10),
            pytest.raises(TokenError, match="could not be reached") as caught,
        ):
            await credential.obtain()
    assert caught.value.transient


# --- what the target asks for later ---------------------------------------------------------

STEP_UP = 'Bearer error="insufficient_scope", scope="{}"'


def granting(forms: list[dict[str, str]]) -> Handler:
    """A token endpoint that gives whatever is asked, and remembers it."""

    async def grant(request: Request) -> Response:
        forms.append(dict(urllib.parse.parse_qsl((await request.body()).decode())))
        return JSONResponse({"access_token": f"t-{len(forms)}", "refresh_token": "r"})

    return grant


async def test_a_token_is_widened_by_what_a_refusal_names() -> None:
    """A new grant of all that was asked before and of that; a refresh could not buy more."""
    forms: list[dict[str, str]] = []
    async with site({"http://as.test/token": granting(forms)}) as http:
        credential = foreign(http, scopes=("read",))
        await credential.obtain()
        assert credential.lacks(STEP_UP.format("write"))
        credential.widen(STEP_UP.format("write"))
        assert not credential.lacks(STEP_UP.format("read write"))
        await credential.renew()
        await credential.renew()
    assert [form.get("scope") for form in forms] == ["read", "read write", None]
    assert [form["grant_type"] for form in forms] == [
        "client_credentials", "client_credentials", "refresh_token",
    ]  # fmt: skip


async def test_no_server_can_draw_a_session_into_widening_for_ever() -> None:
    """Only for insufficient_scope, only for what is new, and a few times."""
    async with site({}) as http:
        credential = foreign(http, scopes=("read",))
    assert not credential.lacks('Bearer error="invalid_token", scope="write"')
    assert not credential.lacks('Bearer error="insufficient_scope"')
    assert not credential.lacks("")
    assert not foreign(http, policy=TokenPolicy(refresh="never")).lacks(STEP_UP.format("more"))
    widened = 0
    while credential.lacks(STEP_UP.format(f"more-{widened}")):
        credential.widen(STEP_UP.format(f"more-{widened}"))
        widened += 1
    assert widened == 3


async def test_an_assertion_buys_tokens() -> None:
    """RFC 7523: the grant carries it, for the target alone."""
    forms: list[dict[str, str]] = []
    async with site({"http://as.test/token": granting(forms)}) as http:
        membership = foreign(http)._membership
        credential = TokenSource(
            membership, TokenPolicy(), lambda: 0, grant="jwt_bearer", assertion="a.b.c"
        )
        await credential.obtain()
    [form] = forms
    assert (form["grant_type"], form["assertion"], form["resource"]) == (
        "urn:ietf:params:oauth:grant-type:jwt-bearer", "a.b.c", TARGET,
    )  # fmt: skip


# --- policies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ttl_s", "before_s", "due_s"), [(600, 30, 570), (60, 30, 40), (9, 30, 6), (600, 120, 480)]
)
async def test_a_proactive_client_renews_before_expiry(
    ttl_s: float, before_s: float, due_s: float
) -> None:
    """By its buffer, but never more than a third of the lifetime."""
    reply = gives({"access_token": "a.b.c", "expires_in": ttl_s})
    async with site({"http://as.test/token": reply}) as http:
        policy = TokenPolicy(refresh="proactive", refresh_before_s=before_s)
        credential = foreign(http, policy=policy)
        assert not credential.due(10**18)
        await credential.obtain()
    assert not credential.due(int(due_s * NS_PER_S) - 1)
    assert credential.due(int(due_s * NS_PER_S))


@pytest.mark.parametrize(
    ("refresh", "on_refusal"), [("proactive", True), ("on-401", True), ("never", False)]
)
async def test_a_policy_says_what_a_refusal_means(refresh: Any, on_refusal: bool) -> None:
    """Only a proactive client renews early; only `never` lets a 401 stand."""
    reply = gives({"access_token": "a.b.c", "expires_in": 10})
    async with site({"http://as.test/token": reply}) as http:
        credential = foreign(http, policy=TokenPolicy(refresh=refresh))
        await credential.obtain()
    assert credential.due(60 * NS_PER_S) is (refresh == "proactive")
    assert credential.renews_on_refusal() is on_refusal
    assert credential.renewable


# --- damage and static tokens ---------------------------------------------------------------


async def test_a_damaged_token_differs_only_in_its_signature(source: Source) -> None:
    """Same claims, same length, and the issuer no longer knows it."""
    credential = await source.make()
    await credential.obtain()
    good, bad = credential.token, credential.damaged()
    assert good != bad
    assert len(good) == len(bad)
    assert good.rpartition(".")[0] == bad.rpartition(".")[0]
    key = (await source.http.get(f"{source.issuer.url}/jwks")).json()["keys"][0]
    jwt.decode(good, jwt.PyJWK(key), algorithms=["ES256"], audience=TARGET)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(bad, jwt.PyJWK(key), algorithms=["ES256"], audience=TARGET)


@pytest.mark.parametrize("token", ["opaque", "A", "a.b.", "", "trailing."])
async def test_any_token_can_be_damaged(token: str) -> None:
    """Opaque ones and stumps too; the result is never the token itself, and never empty."""
    assert spoil(token) not in {token, ""}


async def test_a_static_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its expiry is read off it where it can be, and it is never renewed."""
    token = jwt.encode({"exp": int(time.time()) + 100}, "k" * 32, algorithm="HS256")
    monkeypatch.setenv("SOME_TOKEN", f"{token}\n")
    credential = StaticBearer("SOME_TOKEN", lambda: 7 * NS_PER_S)
    await credential.obtain()
    assert (credential.token, credential.serial) == (token, 1)
    assert 100 <= credential.expires_ns / NS_PER_S <= 108
    assert not credential.due(10**18)
    assert (credential.renewable, credential.renews_on_refusal()) == (False, False)
    assert credential.damaged() != token
    with pytest.raises(TokenError, match="SOME_TOKEN is static") as caught:
        await credential.renew()
    assert token not in str(caught.value) + repr(credential)


async def test_an_opaque_static_token_never_expires_as_far_as_we_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing can be read off it."""
    monkeypatch.setenv("SOME_TOKEN", "opaque")
    assert StaticBearer("SOME_TOKEN", lambda: 0).expires_ns == -1


async def test_a_missing_static_token_says_which_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any load is offered."""
    monkeypatch.delenv("SOME_TOKEN", raising=False)
    with pytest.raises(UsageError, match="environment variable SOME_TOKEN"):
        StaticBearer("SOME_TOKEN", lambda: 0)
