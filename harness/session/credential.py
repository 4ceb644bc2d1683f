"""What a session asks of its credential, whatever grants it."""

from __future__ import annotations

from typing import Protocol

from harness.session.misfits import Misfit


class Credential(Protocol):
    """A bearer token and the way to a new one. Times are run nanoseconds, -1 for never."""

    @property
    def token(self) -> str:
        """The access token, or "" before there is one."""
        ...

    @property
    def expires_ns(self) -> int:
        """When it expires, as far as the issuer said; -1 when it did not say."""
        ...

    @property
    def minted_ns(self) -> int:
        """When it was received."""
        ...

    @property
    def serial(self) -> int:
        """How many tokens there have been, this one included."""
        ...

    @property
    def renewable(self) -> bool:
        """Whether a new one can be had at all."""
        ...

    def renews_on_refusal(self) -> bool:
        """Whether the policy answers a 401 with a renewal."""
        ...

    def note_refusal(self, challenge: str) -> None:
        """Remember the challenge of a 401: it says where to look for the issuer next."""
        ...

    def lacks(self, challenge: str) -> bool:
        """Whether a 403 with this challenge asks for scopes that the token was not asked for."""
        ...

    def widen(self, challenge: str) -> None:
        """Ask for those scopes too from the next renewal on."""
        ...

    def due(self, now_ns: int) -> bool:
        """Whether the policy wants it renewed before the next call."""
        ...

    def damaged(self) -> str:
        """The token with its signature spoiled."""
        ...

    async def race(self, count: int) -> None:
        """As `renew`, by `count` refreshes at once with the same refresh token, if there is one.

        Raises:
            TargetError: none of them was answered with a token.
        """
        ...

    async def misfit(self, wanted: Misfit) -> str:
        """A token that is good for nothing here, or not for everything; "" when there is none."""
        ...

    @property
    def shown(self) -> tuple[str, ...]:
        """Tokens beside its own that may have been shown to the target."""
        ...

    async def obtain(self) -> None:
        """Get a first token from a grant; nothing when there is one.

        Raises:
            TargetError: when the issuer refuses or cannot be reached.
        """
        ...

    async def renew(self) -> None:
        """Get the next one: by the refresh token where there is one, else from a grant.

        Raises:
            TargetError: when the issuer refuses or cannot be reached.
        """
        ...
