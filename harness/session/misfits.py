"""Tokens that a target must refuse, or must not do everything for: bought by asking for just that.

All sessions of an arm show the same ones, for it is the call that counts, and buying is not free.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from harness.clock import NS_PER_S
from harness.session.exchange import ANSWER_S, TokenError, answer_of

KEEP_NS: Final = 20 * NS_PER_S  # the oddest of them live for a minute
MARGIN_NS: Final = NS_PER_S  # no token is shown that runs out on its way
AGAIN_NS: Final = NS_PER_S  # after a refusal of the issuer's
TOKENS_MAX: Final = 64  # remembered, so that they can be kept out of what is written down


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """What is wrong with a token on purpose; each window has tokens of its own."""

    window: int
    scope: str = ""  # it is for this alone
    resource: str = ""  # it is for this resource
    oddity: str = ""  # what squall's own issuer is asked for beyond that


class Misfits:
    """The tokens bought so far."""

    def __init__(
        self, buy: Callable[[dict[str, str]], Awaitable[bytes]], now_ns: Callable[[], int]
    ) -> None:
        """`buy` posts what is asked for and gives the answer, empty for a refusal."""
        self._buy = buy
        self._now_ns = now_ns
        self._held: dict[Misfit, tuple[str, int]] = {}  # with when to buy the next
        self._buying = anyio.Lock()
        self.tokens: tuple[str, ...] = ()

    async def get(self, wanted: Misfit) -> str:
        """A token of this kind; "" where none can be had."""
        async with self._buying:
            token, until_ns = self._held.get(wanted, ("", 0))
            if self._now_ns() < until_ns:
                return token
            token, until_ns = await self._bought(wanted)
            self._held[wanted] = token, until_ns
            if token:
                self.tokens = (*self.tokens, token)[-TOKENS_MAX:]
            return token

    async def _bought(self, wanted: Misfit) -> tuple[str, int]:
        form = {
            "scope": wanted.scope,
            "resource": wanted.resource,
            "squall_oddity": wanted.oddity,
        }
        try:
            with anyio.fail_after(ANSWER_S):
                body = await self._buy({name: value for name, value in form.items() if value})
        except (TokenError, TimeoutError):
            body = b""
        answer, now_ns = answer_of(body), self._now_ns()
        token, lifetime_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not token:
            return "", now_ns + AGAIN_NS
        lives_ns = KEEP_NS
        if not wanted.oddity and isinstance(lifetime_s, int | float):
            lives_ns = min(KEEP_NS, int(lifetime_s * NS_PER_S) - MARGIN_NS)
        return token, now_ns + lives_ns
