"""What becomes of a registration when the target comes to trust another issuer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from harness.clock import NS_PER_S
from harness.session.authority import Authority
from harness.session.exchange import TokenError
from harness.session.membership import Membership
from harness.session.registration import Registration
from harness.session.tokens import TokenPolicy, TokenSource
from tests.session.web import TARGET, site

pytestmark = pytest.mark.anyio

OLD, NEW = "http://old.test", "http://new.test"
PRM = "http://target.test/.well-known/oauth-protected-resource/mcp"


class World:
    """A target that changes whom it trusts, and two issuers."""

    def __init__(self) -> None:
        """Begin with the old one."""
        self.trusted = OLD
        self.looks = 0
        self.documents = False
        self.registered: list[str] = []
        self.paid: list[str] = []  # the issuers whose token endpoint was asked
        self.now_ns = 0

    def resource(self, _: Request) -> Response:
        """The target's metadata."""
        self.looks += 1
        if not self.trusted:
            return PlainTextResponse("<html>", status_code=502)
        return JSONResponse({"resource": TARGET, "authorization_servers": [self.trusted]})

    def issuer(self, name: str) -> Callable[[Request], Response]:
        """An issuer's metadata."""
        return lambda _: JSONResponse(
            {
                "issuer": name,
                "token_endpoint": f"{name}/token",
                "registration_endpoint": f"{name}/register",
                "client_id_metadata_document_supported": self.documents,
            }
        )

    def register(self, _: Request) -> Response:
        """Registration at the new one."""
        self.registered.append(f"me-{len(self.registered)}")
        return JSONResponse({"client_id": self.registered[-1]}, status_code=201)

    def pay(self, name: str) -> Callable[[Request], Response]:
        """A token endpoint."""

        def answer(_: Request) -> Response:
            self.paid.append(name)
            return JSONResponse({"access_token": name, "refresh_token": "r"})

        return answer

    @property
    def routes(self) -> dict[str, Callable[[Request], Response]]:
        """All of it."""
        where = ".well-known/oauth-authorization-server"
        return {
            PRM: self.resource,
            f"{NEW}/register": self.register,
            **{f"{name}/{where}": self.issuer(name) for name in (OLD, NEW)},
            **{f"{name}/token": self.pay(name) for name in (OLD, NEW)},
        }

    def membership(self, http: httpx.AsyncClient, **more: Any) -> Membership:
        """A registration at the old issuer."""
        given: dict[str, Any] = {"target_url": TARGET, "registers": True} | more
        client = given.pop("client", Registration(issuer=OLD, client_id="old-me", method="none"))
        authority = Authority(issuer=OLD, token_endpoint=f"{OLD}/token", resource=TARGET)
        return Membership(authority, client, http=http, now_ns=lambda: self.now_ns, **given)


async def test_a_refused_session_follows_the_target_to_another_issuer() -> None:
    """It registers there, and shows it neither the old client nor the old refresh token."""
    world = World()
    async with site(world.routes) as http:
        membership = world.membership(http)
        credential = TokenSource(membership, TokenPolicy(), lambda: 0)
        await credential.obtain()
        world.trusted = NEW
        credential.note_refusal("")
        await credential.renew()
    assert (credential.token, credential.refreshes) == (NEW, 0)
    assert (membership.registration.client_id, membership.registration.issuer) == ("me-0", NEW)
    assert world.paid == [OLD, NEW]


async def test_a_renewal_that_nobody_forced_asks_nobody_about_issuers() -> None:
    """Discovery follows a refusal and nothing else."""
    world = World()
    async with site(world.routes) as http:
        credential = TokenSource(world.membership(http), TokenPolicy(), lambda: 0)
        await credential.obtain()
        await credential.renew()
    assert (world.looks, credential.refreshes) == (0, 1)


async def test_however_many_are_refused_discovery_is_asked_once_a_second() -> None:
    """A storm of refusals must not become a storm on the metadata."""
    world = World()
    async with site(world.routes) as http:
        membership = world.membership(http)
        for _ in range(10):
            await membership.look_again("")
        assert world.looks == 1
        world.now_ns = NS_PER_S
        await membership.look_again("")
    assert world.looks == 2


async def test_a_client_that_was_given_is_never_shown_to_another_issuer() -> None:
    """Nor is it lost silently: each renewal says what has happened."""
    world = World()
    world.trusted = NEW
    async with site(world.routes) as http:
        membership = world.membership(http, registers=False)
        for _ in range(2):
            with pytest.raises(TokenError, match="give one of the new issuer"):
                await membership.look_again("")
    assert membership.authority.issuer == OLD
    assert not world.registered


@pytest.mark.parametrize("documents", [True, False])
async def test_a_metadata_document_serves_at_every_issuer_that_takes_one(documents: bool) -> None:
    """At one that does not, squall registers."""
    world = World()
    world.trusted, world.documents = NEW, documents
    client = Registration(issuer="", client_id="https://squall.test/c.json", method="none")
    async with site(world.routes) as http:
        membership = world.membership(http, client=client)
        await membership.look_again("")
    assert membership.authority.issuer == NEW
    assert (membership.registration == client) is documents
    assert bool(world.registered) is not documents


async def test_metadata_that_cannot_be_read_change_nothing() -> None:
    """A server in trouble refuses tokens too; its issuer is still the one we know."""
    world = World()
    world.trusted = ""
    async with site({**world.routes, PRM: world.resource}) as http:
        membership = world.membership(http)
        before = membership.authority
        await membership.look_again(f'Bearer resource_metadata="{PRM}"')
    assert membership.authority == before


async def test_squalls_own_issuer_is_never_left() -> None:
    """Nobody asks the target about it."""
    world = World()
    async with site(world.routes) as http:
        membership = world.membership(http, target_url="")
        await membership.look_again("")
    assert world.looks == 0
