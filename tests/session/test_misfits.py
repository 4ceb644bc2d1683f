"""Tokens that do not fit: what is asked for, and for how long each is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import anyio
import httpx
import jwt
import pytest

from harness.clock import NS_PER_S
from harness.rig.issuer import control
from harness.session.access import Access, creditor
from harness.session.authority import authority_from
from harness.session.exchange import TokenError
from harness.session.misfits import Misfit, Misfits
from harness.session.registration import declared

pytestmark = pytest.mark.anyio
RESOURCE = "http://127.0.0.1:1/mcp"


class Shop:
    """Sells tokens, or refuses to."""

    def __init__(self) -> None:
        """Open, at the beginning of time."""
        self.asked: list[dict[str, str]] = []
        self.open = True
        self.now_ns = 0

    async def buy(self, form: dict[str, str]) -> bytes:
        """Sell a token with its number on it."""
        self.asked.append(form)
        await anyio.lowlevel.checkpoint()
        if not self.open:
            raise TokenError("closed", transient=True)
        return json.dumps({"access_token": f"token-{len(self.asked)}", "expires_in": 9}).encode()

    @property
    def misfits(self) -> Misfits:
        """Those that are bought here."""
        return Misfits(self.buy, lambda: self.now_ns)


async def test_a_token_is_bought_once_for_everybody_and_again_when_it_runs_out() -> None:
    """Or a share of calls would double the requests at the issuer."""
    shop = Shop()
    misfits = shop.misfits
    narrow = Misfit(window=1, scope="mcp:read")
    async with anyio.create_task_group() as together:
        for _ in range(5):
            together.start_soon(misfits.get, narrow)
    assert shop.asked == [{"scope": "mcp:read"}]
    shop.now_ns = 7 * NS_PER_S
    assert await misfits.get(narrow) == "token-1"
    shop.now_ns = 8 * NS_PER_S  # it would run out on its way
    assert await misfits.get(narrow) == "token-2"
    assert misfits.tokens == ("token-1", "token-2")


async def test_each_window_has_tokens_of_its_own() -> None:
    """Between two windows another fault may have revoked them."""
    shop = Shop()
    misfits = shop.misfits
    assert await misfits.get(Misfit(window=1, resource="https://a.invalid/")) == "token-1"
    assert await misfits.get(Misfit(window=2, resource="https://a.invalid/")) == "token-2"


async def test_a_refusal_is_remembered_for_a_second() -> None:
    """Every call of the window would ask again otherwise."""
    shop = Shop()
    misfits = shop.misfits
    shop.open = False
    for _ in range(3):
        assert await misfits.get(Misfit(window=1, oddity="id")) == ""
    assert shop.asked == [{"squall_oddity": "id"}]
    assert misfits.tokens == ()
    shop.open, shop.now_ns = True, NS_PER_S
    assert await misfits.get(Misfit(window=1, oddity="id")) == "token-2"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's issuer lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def issuer() -> AsyncIterator[control.Issuer]:
    """A running issuer."""
    async with control.serve(log_dir=None) as running:
        yield running


async def test_squalls_own_issuer_sells_every_kind(issuer: control.Issuer) -> None:
    """What is wrong is what was asked for, and nothing else."""
    secret = await issuer.register(
        client_id="odd", group="treated", scopes="mcp:read mcp:write", ttl_s=600, odd=True
    )
    async with httpx.AsyncClient(trust_env=False) as http:
        metadata = (await http.get(f"{issuer.url}/.well-known/oauth-authorization-server")).json()
        authority = authority_from(
            metadata, issuer=issuer.url, resource=RESOURCE, scopes=("mcp:read", "mcp:write")
        )
        me = declared(authority, client_id="odd", secret=secret)
        access = Access(authority=authority, clients=(("treated", me),))
        credential = creditor(access, http, lambda: 0)("treated")
        assert credential is not None
        await credential.obtain()
        good = _claims(credential.token)
        wanted = {
            "narrow": Misfit(window=1, scope="mcp:read"),
            "misdirected": Misfit(window=1, resource="https://other.invalid/mcp"),
            "refresh": Misfit(window=1, oddity="refresh"),
            "ahead": Misfit(window=1, oddity="shift=330"),
        }
        bought = {name: await credential.misfit(kind) for name, kind in wanted.items()}
    assert set(credential.shown) == set(bought.values())
    changed = {
        name: {claim for claim, value in _claims(token).items() if good.get(claim) != value}
        for name, token in bought.items()
    }
    always = {"jti", "status"}
    for name, claims in changed.items():
        assert claims - {"iat", "exp"} >= always, name
    assert changed["narrow"] - always - {"iat", "exp"} == {"scope"}
    assert changed["misdirected"] - always - {"iat", "exp"} == {"aud"}
    assert changed["refresh"] - always - {"iat", "exp"} == {"token_use"}
    assert changed["ahead"] - always == {"iat", "nbf", "exp"}
    assert jwt.get_unverified_header(bought["refresh"])["typ"] == "rt+jwt"
    assert _claims(bought["ahead"])["nbf"] - good["iat"] >= 330


def _claims(token: str) -> dict[str, int]:
    claims: dict[str, int] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_a_race_for_a_token_is_won_by_one_and_lost_by_all_where_it_betrays_a_theft(
    issuer: control.Issuer,
) -> None:
    """Whoever comes second with a spent token ends the family, unless there is some leeway."""
    secret = await issuer.register(client_id="racer", group="racer", scopes="mcp:read", ttl_s=600)
    async with httpx.AsyncClient(trust_env=False) as http:
        metadata = (await http.get(f"{issuer.url}/.well-known/oauth-authorization-server")).json()
        authority = authority_from(
            metadata, issuer=issuer.url, resource=RESOURCE, scopes=("mcp:read",)
        )
        me = declared(authority, client_id="racer", secret=secret)
        access = Access(authority=authority, clients=(("treated", me),))
        credential = creditor(access, http, lambda: 0)("treated")
        assert credential is not None
        await credential.obtain()
        await credential.race(2)
        assert credential.serial == 2, "one of two was answered with a token"
        assert (await issuer.statistics()).clients["racer"].reused == 1
        with pytest.raises(TokenError, match="invalid_grant"):
            await credential.race(2)
        await credential.renew()  # by a new grant, as ever
        await issuer.set_refreshing("racer", None, leeway_s=60)
        await credential.race(2)
        assert credential.serial == 5, "both were"
        assert (await issuer.statistics()).clients["racer"].reused == 1
