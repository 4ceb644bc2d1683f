from __future__ import annotations

from dataclasses import replace

import pytest

from faults.identity import NoToken, TokenExpire, TokenRevoke
from faults.issuers import JwksRotate
from faults.levers import Behaviour, FaultError
from tests import virtual
from tests.faults.fakes import World

RUN = "squall-r4nd-1"
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Nothing here waits for the world."""
    return virtual.backend()


async def test_an_expiring_token_is_minted_before_it_can_be_overdue() -> None:
    """The lifetime first, then everybody renews, then a share grows sloppy; and back again."""
    world = World()
    fault = TokenExpire.model_validate({"ttl": "15s", "overdue": "20%", "leeway": "2s"})
    async with fault.inject(world.levers, RUN):
        assert world.hand.pulls == ["set ttl 15.0", "engage reauthorize", "engage overdue_token"]
        assert world.agent.engaged == {
            "overdue_token": Behaviour(kind="overdue_token", share=0.2, after_s=2.0)
        }
        assert world.agent.renewals == [15.0]
    assert world.agent.renewals == [15.0, None], "whoever holds a short token gets a long one"


@pytest.mark.parametrize(
    ("by", "kind"), [("waiting", "overdue_token"), ("damage", "damaged_token")]
)
async def test_a_foreign_issuer_is_left_alone(by: str, kind: str) -> None:
    """Neither its lifetimes nor its tokens are touched; only how the sessions present theirs."""
    world = World()
    fault = TokenExpire.model_validate({"by": by})
    async with fault.inject(replace(world.levers, identity=None), RUN):
        assert list(world.agent.engaged) == [kind]
    assert world.hand.pulls == [f"engage {kind}", f"disengage {kind}"]


async def test_a_short_lifetime_without_an_own_issuer_names_the_mend() -> None:
    """The refusal says what to write instead."""
    world = World()
    with pytest.raises(FaultError, match="say by: waiting or by: damage"):
        async with TokenExpire().inject(replace(world.levers, identity=None), RUN):
            pytest.fail("the window began")


async def test_a_revocation_happens_once_and_counts_tokens() -> None:
    """Sessions know of it first, so that no call under a dead token passes for a good one."""
    world = World()
    fault = TokenRevoke.model_validate({"within": "3s"})
    async with fault.inject(world.levers, RUN) as injection:
        assert world.hand.pulls == ["engage revoked_token", "revoke"]
        assert world.agent.engaged["revoked_token"].after_s == 3.0
        for _ in range(2):
            exposure = await injection.exposure()
            assert (exposure.count, exposure.unit, exposure.source) == (7, "tokens", "issuer")
    assert world.identity.revocations == 1


async def test_a_withheld_token_is_a_share_of_calls() -> None:
    """An agent's behaviour, filed under identity."""
    world = World()
    async with NoToken.model_validate({"share": "30%"}).inject(world.levers, RUN):
        assert world.agent.engaged == {"no_token": Behaviour(kind="no_token", share=0.3)}
    assert NoToken.lever == "identity"


async def test_a_stolen_key_is_used_only_where_it_was_said_how_long_it_may_be_good() -> None:
    """From when that is over, and a while for what is on its way; it is gone with the window."""
    world = World()
    fault = JwksRotate.model_validate({"keep": "1s", "within": "1500ms", "share": "30%"})
    async with fault.inject(world.levers, RUN):
        assert world.hand.pulls == [
            "rotate 1.0 1.5",
            "engage reauthorize",
            "engage withdrawn_token",
        ]
        stolen = Behaviour(kind="withdrawn_token", share=0.3, after_s=3.5)
        assert world.agent.engaged == {"withdrawn_token": stolen}
    assert not world.agent.engaged
    world = World()
    async with JwksRotate().inject(world.levers, RUN):
        assert world.hand.pulls == ["rotate 5.0", "engage reauthorize"]
