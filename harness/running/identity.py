"""The identity lever: squall's own issuer, as faults see it."""

from __future__ import annotations

from typing import Final, Literal

from faults import levers
from harness.rig.issuer import signing
from harness.rig.issuer.control import Issuer
from harness.rig.looks import Look
from harness.rig.network import as_fault

GROUP: Final = signing.STRUCK  # of the clients whose tokens faults strike


class Identity:
    """The embedded issuer as faults see it: only the treated sessions' tokens."""

    def __init__(self, issuer: Issuer, *, ttl_s: float) -> None:
        """Pull on this issuer; `ttl_s` is the scenario's own lifetime."""
        self._issuer = issuer
        self._ttl_s = ttl_s
        self._before: dict[levers.Mishap, int] = {}  # struck by earlier faults

    async def set_ttl(self, ttl_s: float | None) -> None:
        """Mint with this lifetime from now on; None restores the scenario's."""
        with as_fault():
            await self._issuer.set_ttl(GROUP, self._ttl_s if ttl_s is None else ttl_s)

    async def revoke(self) -> levers.Exposure:
        """Revoke every live token of the treated sessions."""
        with as_fault():
            count = await self._issuer.revoke_all(GROUP)
        return levers.Exposure(count=count, unit="tokens", source="issuer")

    async def rotate(self, *, keep_s: float, fresh_s: float = 0.0) -> None:
        """Sign the treated sessions' tokens with a new key."""
        with as_fault():
            self._before["rotation"] = await self._struck("rotation")
            await self._issuer.rotate(keep_s=keep_s, fresh_s=fresh_s)

    async def withdraw(self) -> None:
        """Publish no key any longer that signs nothing."""
        with as_fault():
            await self._issuer.rotate(keep_s=None)

    async def set_outage(
        self, how: Literal["down", "slow"] | None, *, delay_s: float = 0.0
    ) -> None:
        """Fail every request, or answer late."""
        with as_fault():
            if how is not None:
                self._before["outage"] = await self._struck("outage")
            await self._issuer.set_outage(how, delay_s=delay_s)

    async def set_refreshing(
        self, how: levers.RefreshManner | None, *, leeway_s: float = 0.0
    ) -> None:
        """Let the treated sessions' refreshes go wrong, or forgive spent tokens for a while."""
        with as_fault():
            if how is not None:
                self._before["refresh"] = await self._struck("refresh")
            await self._issuer.set_refreshing(GROUP, how, leeway_s=leeway_s)

    async def look(self) -> Look:
        """See what of it still goes wrong for the treated sessions.

        Raises:
            RigError: it does not answer.
        """
        manners = await self._issuer.manners()
        ttl_s = manners.ttl_s.get(GROUP, self._ttl_s)
        odd = {
            "is away": manners.outage,
            "lets refreshes go wrong": manners.refreshing.get(GROUP),
            "forgives spent tokens": manners.leeway_s.get(GROUP),
            f"mints tokens for {ttl_s:g} s instead of {self._ttl_s:g}": ttl_s != self._ttl_s,
            "publishes keys that sign nothing": manners.old_keys,
        }
        stands = tuple(f"the issuer {words}" for words, is_so in odd.items() if is_so)
        return Look(stands=stands, seen=("the issuer answers, and says that it does nothing odd",))

    async def exposure(self, mishap: levers.Mishap) -> levers.Exposure:
        """Count the requests that such a mishap has hit so far, or how often it has happened."""
        with as_fault():
            hit = await self._struck(mishap) - self._before.get(mishap, 0)
        return levers.Exposure(count=hit, unit="calls", source="issuer")

    async def _struck(self, mishap: levers.Mishap) -> int:
        return (await self._issuer.statistics()).struck.get(mishap, 0)
