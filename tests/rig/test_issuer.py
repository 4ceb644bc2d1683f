"""The issuer's grammar and its memory, over real sockets."""

from __future__ import annotations

import base64
import zlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import jwt
import pytest
from oauthlib.oauth2 import WebApplicationClient

from harness.errors import RigError
from harness.rig.issuer import control
from harness.rig.issuer.registry import Registry

pytestmark = pytest.mark.anyio
RESOURCE = "http://127.0.0.1:1/mcp"
REDIRECT = "http://127.0.0.1/callback"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's issuer lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[control.Issuer]:
    """A running issuer."""
    async with control.serve(log_dir=None) as running:
        yield running


class Client:
    """A registered client and its way to the endpoints."""

    def __init__(self, issuer: control.Issuer, name: str, secret: str) -> None:
        """Speak for the client `name`."""
        self.issuer = issuer
        self.name = name
        self.secret = secret
        self.http = httpx.AsyncClient(trust_env=False)

    async def post(self, path: str, **form: str) -> httpx.Response:
        """Post a form as this client."""
        return await self.http.post(
            f"{self.issuer.url}/{path}", data=form, auth=(self.name, self.secret)
        )

    async def grant(self, **form: str) -> dict[str, str]:
        """A token response by client credentials, which must succeed."""
        asked = {"grant_type": "client_credentials", "scope": "mcp:read offline_access"}
        reply = await self.post("token", **{**asked, "resource": RESOURCE, **form})
        assert reply.status_code == 200, reply.json()["error"]
        answer: dict[str, str] = reply.json()
        return answer

    async def refresh(self, token: str) -> httpx.Response:
        """Present a refresh token."""
        return await self.post("token", grant_type="refresh_token", refresh_token=token)

    async def active(self, token: str) -> bool:
        """Whether the issuer still stands by a token."""
        return bool((await self.post("introspect", token=token)).json()["active"])

    async def code(self, verifier: str, **query: str) -> httpx.Response:
        """Ask for an authorization code."""
        challenge = WebApplicationClient(self.name).create_code_challenge(verifier, "S256")
        asked = {
            "response_type": "code",
            "client_id": self.name,
            "redirect_uri": REDIRECT,
            "scope": "mcp:read",
            "state": "state-1",
            "resource": RESOURCE,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        params = {name: value for name, value in {**asked, **query}.items() if value}
        return await self.http.get(f"{self.issuer.url}/authorize", params=params)


@pytest.fixture
async def client(issuer: control.Issuer, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of the test's own, alone in its group."""
    name = request.node.name
    secret = await issuer.register(
        client_id=name, group=name, scopes="mcp:read mcp:write", ttl_s=600
    )
    made = Client(issuer, name, secret)
    async with made.http:
        yield made


def returned(reply: httpx.Response) -> dict[str, str]:
    """What an authorization response carries."""
    query = parse_qs(urlsplit(reply.headers.get("location", "")).query)
    return {name: values[0] for name, values in query.items()}


async def test_its_metadata_name_it_and_what_it_can_do(issuer: control.Issuer) -> None:
    """RFC 8414, and the same under the name that OpenID clients ask for."""
    async with httpx.AsyncClient(trust_env=False) as http:
        well_known = f"{issuer.url}/.well-known"
        metadata = (await http.get(f"{well_known}/oauth-authorization-server")).json()
        openid = (await http.get(f"{well_known}/openid-configuration")).json()
    assert metadata == openid
    assert metadata["issuer"] == issuer.url
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    assert "offline_access" in metadata["scopes_supported"]
    assert set(metadata["grant_types_supported"]) == {
        *("authorization_code", "client_credentials", "refresh_token"),
    }


async def test_client_credentials_buy_a_token_for_the_resource(client: Client) -> None:
    """The signature holds under the published key; every claim is there."""
    answer = await client.grant(scope="mcp:read")
    keys = jwt.PyJWKSet.from_dict((await client.http.get(f"{client.issuer.url}/jwks")).json())
    header = jwt.get_unverified_header(answer["access_token"])
    claims = jwt.decode(
        answer["access_token"], keys[header["kid"]], algorithms=["ES256"], audience=RESOURCE
    )
    assert header["typ"] == "at+jwt"
    assert (claims["iss"], claims["sub"], claims["client_id"]) == (
        client.issuer.url,
        client.name,
        client.name,
    )
    assert claims["scope"] == "mcp:read"
    assert claims["jti"]
    assert claims["exp"] - claims["iat"] in {600, 601}
    assert "refresh_token" not in answer
    assert int(answer["expires_in"]) == 600
    assert 600_000 <= int(answer["expires_in_ms"]) <= 601_000


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "mcp:admin"}, "invalid_scope"),
        ({"resource": "no-uri"}, "invalid_target"),
        ({"resource": f"{RESOURCE}#part"}, "invalid_target"),
        ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "guess.ed"}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "guessed"}, "invalid_grant"),
    ],
)
async def test_what_is_not_granted_is_refused_by_its_name(
    client: Client, form: dict[str, str], error: str
) -> None:
    """The error codes of RFC 6749 and RFC 8707, and each refusal is counted."""
    asked = {"grant_type": "client_credentials", **form}
    reply = await client.post("token", **asked)
    counts = (await client.issuer.statistics()).clients[client.name]
    assert reply.status_code == 400
    assert reply.json()["error"] == error
    assert (counts.refused, counts.minted) == (1, 0)


async def test_a_wrong_secret_is_no_client(client: Client) -> None:
    """401 invalid_client, by either way of presenting a secret."""
    client.secret = "wrong"
    basic = await client.post("token", grant_type="client_credentials")
    form = {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"}
    posted = await client.http.post(f"{client.issuer.url}/token", data=form)
    assert basic.json()["error"] == posted.json()["error"] == "invalid_client"
    assert basic.status_code == posted.status_code == 401


async def test_a_secret_in_the_form_is_as_good_as_in_the_header(client: Client) -> None:
    """client_secret_post, which the metadata promise."""
    form = {"grant_type": "client_credentials", "client_id": client.name}
    reply = await client.http.post(
        f"{client.issuer.url}/token", data={**form, "client_secret": client.secret}
    )
    assert reply.status_code == 200


async def test_a_refresh_token_rotates_and_keeps_its_audience(client: Client) -> None:
    """Each buys one access token with the same claims, and its own successor."""
    first = await client.grant()
    second = (await client.refresh(first["refresh_token"])).json()
    third = (await client.refresh(second["refresh_token"])).json()
    claims = jwt.decode(third["access_token"], options={"verify_signature": False})
    tokens = {answer["refresh_token"] for answer in (first, second, third)}
    counts = (await client.issuer.statistics()).clients[client.name]
    assert len(tokens) == 3
    assert (claims["aud"], claims["scope"]) == (RESOURCE, "mcp:read")
    assert (counts.minted, counts.refreshed, counts.live) == (3, 2, 3)


async def test_a_spent_refresh_token_ends_its_family(client: Client) -> None:
    """Reuse betrays a theft: the successor and the access tokens die with it, others do not."""
    other = await client.grant()
    first = await client.grant()
    second = (await client.refresh(first["refresh_token"])).json()
    reused = await client.refresh(first["refresh_token"])
    successor = await client.refresh(second["refresh_token"])
    assert reused.json()["error"] == successor.json()["error"] == "invalid_grant"
    assert not await client.active(second["access_token"])
    assert await client.active(other["access_token"])
    assert (await client.refresh(other["refresh_token"])).status_code == 200
    assert (await client.issuer.statistics()).clients[client.name].reused == 1


async def test_a_refresh_token_is_worth_nothing_to_another_client(
    client: Client, issuer: control.Issuer
) -> None:
    """It is bound to the client that got it, and being tried by another costs that one nothing."""
    answer = await client.grant()
    secret = await issuer.register(client_id="thief", group="thieves", scopes="a", ttl_s=1)
    thief = Client(issuer, "thief", secret)
    async with thief.http:
        assert (await thief.refresh(answer["refresh_token"])).json()["error"] == "invalid_grant"
    assert (await client.refresh(answer["refresh_token"])).status_code == 200


async def test_a_code_with_its_verifier_buys_tokens_once(client: Client) -> None:
    """Authorization code with PKCE: state and issuer come back, a second exchange is refused."""
    verifier = WebApplicationClient("x").create_code_verifier(64)
    answer = returned(await client.code(verifier))
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": REDIRECT,
        "code_verifier": verifier,
    }
    first = await client.post("token", **form)
    again = await client.post("token", **form)
    claims = jwt.decode(first.json()["access_token"], options={"verify_signature": False})
    assert (answer["state"], answer["iss"]) == ("state-1", client.issuer.url)
    assert (claims["aud"], claims["scope"]) == (RESOURCE, "mcp:read")
    assert (await client.refresh(first.json()["refresh_token"])).status_code == 200
    assert again.json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code_verifier": "w" * 64}, "invalid_grant"),
        ({"code_verifier": ""}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1/elsewhere"}, "invalid_request"),
        ({"resource": "http://127.0.0.1:2/other"}, "invalid_grant"),
    ],
)
async def test_a_code_is_worth_nothing_without_what_it_was_asked_with(
    client: Client, change: dict[str, str], error: str
) -> None:
    """A wrong or missing verifier, another redirect, another resource."""
    verifier = WebApplicationClient("x").create_code_verifier(64)
    form = {
        "grant_type": "authorization_code",
        "code": returned(await client.code(verifier))["code"],
        "redirect_uri": REDIRECT,
        "code_verifier": verifier,
        **change,
    }
    reply = await client.post("token", **{name: value for name, value in form.items() if value})
    assert reply.status_code == 400
    assert reply.json()["error"] == error


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge": "", "code_challenge_method": ""},
        {"code_challenge_method": "plain"},
        {"redirect_uri": "https://evil.example/"},
        {"client_id": "nobody"},
        {"response_type": "token"},
        {"scope": "mcp:admin"},
    ],
)
async def test_no_code_is_given_to_a_request_that_breaks_a_rule(
    client: Client, change: dict[str, str]
) -> None:
    """No PKCE, plain PKCE, a foreign redirect, an unknown client, implicit grant, other scopes."""
    reply = await client.code("v" * 64, **change)
    answer = returned(reply)
    assert "code" not in answer
    if reply.status_code == 302:
        assert answer["error"]
        assert (answer["state"], answer["iss"]) == ("state-1", client.issuer.url)
        assert reply.headers["location"].startswith(REDIRECT)
    else:
        assert (reply.status_code, "location" in reply.headers) == (400, False)


async def test_a_revoked_token_is_inactive_and_listed(client: Client) -> None:
    """RFC 7009, seen by introspection and in the signed list at the token's own index."""
    answer = await client.grant()
    kept = await client.grant()
    assert await client.active(answer["access_token"])
    assert (await client.post("revoke", token=answer["access_token"])).status_code == 200
    assert not await client.active(answer["access_token"])
    assert await client.active(kept["access_token"])
    assert await listed(client, answer["access_token"])
    assert not await listed(client, kept["access_token"])


async def listed(client: Client, token: str) -> bool:
    """Whether the list of revoked tokens has the bit of this token set."""
    claims = jwt.decode(token, options={"verify_signature": False})
    place = claims["status"]["status_list"]
    reply = await client.http.get(place["uri"])
    packed = jwt.decode(reply.text, options={"verify_signature": False})["status_list"]["lst"]
    bits = zlib.decompress(base64.urlsafe_b64decode(packed + "=="))
    byte, bit = divmod(place["idx"], 8)
    return byte < len(bits) and bool(bits[byte] >> bit & 1)


async def test_revoking_a_refresh_token_ends_its_family(client: Client) -> None:
    """The access token that it came with is dead too."""
    answer = await client.grant()
    await client.post("revoke", token=answer["refresh_token"])
    assert not await client.active(answer["access_token"])
    assert (await client.refresh(answer["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_group_is_revoked_whole_and_its_exposure_counted(
    client: Client, issuer: control.Issuer
) -> None:
    """Every live token of every client of the group, and nobody else's."""
    secret = await issuer.register(
        client_id=f"{client.name}-2", group=client.name, scopes="mcp:read", ttl_s=600
    )
    second = Client(issuer, f"{client.name}-2", secret)
    secret = await issuer.register(client_id="bystander", group="others", scopes="a", ttl_s=600)
    bystander = Client(issuer, "bystander", secret)
    async with second.http, bystander.http:
        answers = [await client.grant(), await client.grant(), await second.grant()]
        spared = await bystander.grant(scope="a")
        assert await issuer.revoke_all(client.name) == 3
        assert await issuer.revoke_all(client.name) == 0
        assert [await client.active(answer["access_token"]) for answer in answers] == [False] * 3
        assert await bystander.active(spared["access_token"])
    counts = (await issuer.statistics()).groups[client.name]
    assert (counts.minted, counts.revoked, counts.live) == (3, 3, 0)
    assert (await client.refresh(answers[0]["refresh_token"])).status_code == 400
    assert (await client.grant())["access_token"]


async def test_a_client_that_registers_again_keeps_its_counts(client: Client) -> None:
    """It gets a new secret, and the old one is worth nothing."""
    await client.grant()
    old = client.secret
    client.secret = await client.issuer.register(
        client_id=client.name, group=client.name, scopes="mcp:read", ttl_s=600
    )
    await client.grant()
    assert (await client.issuer.statistics()).clients[client.name].minted == 2
    client.secret = old
    assert (await client.post("token", grant_type="client_credentials")).status_code == 401


async def test_a_new_lifetime_holds_from_the_next_token_on(client: Client) -> None:
    """Those that exist keep theirs."""
    before = await client.grant()
    await client.issuer.set_ttl(client.name, 5)
    after = (await client.refresh(before["refresh_token"])).json()
    lives = [
        claims["exp"] - claims["iat"]
        for claims in (
            jwt.decode(answer["access_token"], options={"verify_signature": False})
            for answer in (before, after)
        )
    ]
    assert lives[0] in {600, 601}
    assert lives[1] in {5, 6}


async def test_a_token_is_inactive_from_its_expiry_on(client: Client) -> None:
    """Introspection agrees with the claim."""
    await client.issuer.set_ttl(client.name, 0.2)
    answer = await client.grant()
    with anyio.fail_after(5):
        assert await client.active(answer["access_token"])
        await anyio.sleep(int(answer["expires_in_ms"]) / 1000 + 0.01)
        assert not await client.active(answer["access_token"])


@pytest.mark.parametrize("path", ["clients", "ttl", "revoke", "statistics"])
async def test_the_control_face_is_shut_to_those_without_the_secret(
    issuer: control.Issuer, path: str
) -> None:
    """No header and a wrong one are the same."""
    method = "GET" if path == "statistics" else "POST"
    async with httpx.AsyncClient(trust_env=False) as http:
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"}):
            reply = await http.request(
                method, f"{issuer.url}/control/{path}", headers=headers, json={}
            )
            assert reply.status_code == 403


async def test_a_dead_issuer_is_one_clear_sentence() -> None:
    """An order that cannot be given says which and where; and no process is left behind."""
    async with control.serve(log_dir=None) as issuer:
        url = issuer.url
        orphan = control.Issuer(url=url, pid=issuer.pid, http=httpx.AsyncClient(trust_env=False))
    with pytest.raises(RigError, match=f"expected the issuer at {url} to take the order 'ttl'"):
        await orphan.set_ttl("group", 1)


async def test_the_registry_never_keeps_a_secret() -> None:
    """Neither of a client nor of a refresh token, only what recognises it."""
    registry = Registry()
    secret = registry.add_client(client_id="a", group="g", scopes="s", ttl_s=1)
    client = registry.clients["a"]
    family = registry.open_family(client, subject="a", scopes=("s",), resource="")
    token = registry.rotate(family)
    kept = repr(vars(registry)) + repr(client) + repr(family)
    assert secret not in kept
    assert token not in kept
