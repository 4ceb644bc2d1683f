"""How a session finds the issuer that its target trusts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from harness.errors import TargetError
from harness.session.authority import challenge_parameters, discover
from tests.session.web import TARGET, gives, site

pytestmark = pytest.mark.anyio


def metadata(issuer: str, **more: Any) -> dict[str, Any]:
    """The least that an issuer has to publish."""
    return {"issuer": issuer, "token_endpoint": f"{issuer}/token", **more}


RESOURCE = {"resource": TARGET, "authorization_servers": ["http://as.test"]}
AS = "http://as.test/.well-known/oauth-authorization-server"
PRM = "http://target.test/.well-known/oauth-protected-resource"


async def test_a_challenge_is_read_with_its_quotes_and_commas() -> None:
    """Order, case of names, quoted commas and other schemes."""
    read = challenge_parameters('Bearer error="a, b", Resource_Metadata="http://x/y", scope=one')
    assert read == {"error": "a, b", "resource_metadata": "http://x/y", "scope": "one"}
    assert challenge_parameters('Basic realm="x"') == {}
    assert challenge_parameters("") == {}


async def test_the_challenge_leads_to_the_metadata_and_its_scope_counts() -> None:
    """The URL in the header comes before any well-known place."""
    routes = {
        "http://target.test/elsewhere": gives({**RESOURCE, "scopes_supported": ["a", "b"]}),
        AS: gives(metadata("http://as.test", code_challenge_methods_supported=["S256"])),
    }
    async with site(routes) as http:
        header = 'Bearer resource_metadata="http://target.test/elsewhere", scope="a"'
        found = await discover(http, TARGET, header)
        plain = await discover(http, TARGET, header.partition(", ")[0])
    assert (found.issuer, found.resource, found.scopes) == ("http://as.test", TARGET, ("a",))
    assert found.token_endpoint == "http://as.test/token"
    assert found.pkce
    assert plain.scopes == ("a", "b")


@pytest.mark.parametrize("place", [f"{PRM}/mcp", PRM])
async def test_without_a_challenge_the_well_known_places_are_tried(place: str) -> None:
    """The path form first, then the root."""
    async with site({place: gives(RESOURCE), AS: gives(metadata("http://as.test"))}) as http:
        assert (await discover(http, TARGET, None)).issuer == "http://as.test"


@pytest.mark.parametrize(
    "place",
    [
        "http://as.test/.well-known/oauth-authorization-server/tenant",
        "http://as.test/.well-known/openid-configuration/tenant",
        "http://as.test/tenant/.well-known/openid-configuration",
    ],
)
async def test_an_issuer_with_a_path_is_found_in_all_three_places(place: str) -> None:
    """RFC 8414 and both ways in which OpenID Connect is deployed."""
    issuer = "http://as.test/tenant"
    routes = {
        PRM: gives({**RESOURCE, "authorization_servers": [issuer]}),
        place: gives(metadata(issuer)),
    }
    async with site(routes) as http:
        assert (await discover(http, TARGET, None)).issuer == issuer


async def test_a_server_without_metadata_may_be_its_own_issuer() -> None:
    """Revision 2025-03-26."""
    place = "http://target.test/.well-known/oauth-authorization-server"
    async with site({place: gives(metadata("http://target.test"))}) as http:
        found = await discover(http, TARGET, None)
    assert (found.issuer, found.resource) == ("http://target.test", TARGET)


async def test_a_server_of_its_own_may_name_itself_as_it_likes() -> None:
    """But only on its own origin: that revision had no rule, and no other issuer is meant."""
    place = "http://target.test/.well-known/oauth-authorization-server"
    async with site({place: gives(metadata("http://target.test/oauth"))}) as http:
        found = await discover(http, TARGET, None)
    assert (found.issuer, found.assumed) == ("http://target.test/oauth", False)
    async with site({place: gives(metadata("http://evil.test"))}) as http:
        with pytest.raises(TargetError, match="byte for byte"):
            await discover(http, TARGET, None)


async def test_a_server_that_publishes_nothing_has_the_endpoints_of_its_revision() -> None:
    """Where 2025-03-26 puts them; an error about them will say that they were assumed."""
    async with site({}) as http:
        found = await discover(http, TARGET, None)
    assert (found.authorization_endpoint, found.token_endpoint, found.registration_endpoint) == (
        "http://target.test/authorize", "http://target.test/token", "http://target.test/register",
    )  # fmt: skip
    assert (found.pkce, found.assumed) == (True, True)
    assert "2025-03-26" in found.excuse


@pytest.mark.parametrize(
    ("routes", "sentence"),
    [
        ({PRM: gives({**RESOURCE, "resource": "http://other.test/mcp"})}, "to describe"),
        ({PRM: gives({"resource": TARGET})}, "name an authorization server"),
        ({PRM: gives(RESOURCE), AS: gives(metadata("http://as.test/"))}, "byte for byte"),
        ({PRM: gives(RESOURCE), AS: gives({"issuer": "http://as.test"})}, "token_endpoint"),
        ({PRM: gives(RESOURCE), AS: lambda _: PlainTextResponse("<html>")}, "publish its metadata"),
    ],
)
async def test_metadata_that_cannot_be_used_are_one_clear_sentence(
    routes: dict[str, Callable[[Request], Response]], sentence: str
) -> None:
    """Missing, foreign, contradictory, incomplete, or a web page."""
    async with site(routes) as http:
        with pytest.raises(TargetError, match=sentence):
            await discover(http, TARGET, None)
