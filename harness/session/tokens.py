"""How a session gets its access token and keeps it good: grants and refresh policies.

No token and no secret of this module ever reaches a log, a message or a representation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

import anyio
import httpx
import jwt

from harness.clock import NS_PER_S
from harness.errors import UsageError
from harness.session.authority import OFFLINE, Authority, challenge_parameters
from harness.session.authorizing import authorize
from harness.session.exchange import ANSWER_S, MENDS, TokenError, answer_of
from harness.session.membership import Membership
from harness.session.misfits import Misfit
from harness.session.registration import GRANT_TYPES, Grant

NEVER_NS = -1  # the expiry of a token that does not say when it expires
LIFETIME_MAX_S = 10 * 365 * 86_400  # a longer one is a mistake of the server, or a joke
INSUFFICIENT_SCOPE: Final = "insufficient_scope"
WIDENINGS_MAX: Final = 3  # per session, so that no server can draw a client into a loop


@dataclass(frozen=True, kw_only=True)
class TokenPolicy:
    """When a session renews its token; what a client library would be configured to do."""

    refresh: Literal["proactive", "on-401", "never"] = "proactive"
    refresh_before_s: float = 30.0  # before expiry; a third of the lifetime when that is less


class TokenSource:
    """One session's credential from an authorization server."""

    def __init__(
        self,
        membership: Membership,
        policy: TokenPolicy,
        now_ns: Callable[[], int],
        *,
        grant: Grant = "client_credentials",
        assertion: str = "",
    ) -> None:
        """`membership` is shared by an arm's sessions; `assertion` is for the JWT bearer grant."""
        self.token = ""
        self.expires_ns = 0
        self.minted_ns = 0
        self.serial = 0
        self.refreshes = 0  # how many tokens a refresh token has bought
        self._membership = membership
        self._policy = policy
        self._now_ns = now_ns
        self._grant: Grant = grant
        self._assertion = assertion
        self._refresh_token = ""
        self._refreshes_at = ""  # the issuer that gave it, and may see it again
        self._wider: tuple[str, ...] = ()  # scopes that refusals have asked for
        self._widenings = 0
        self._refusal: str | None = None  # the challenge of a refusal not yet acted upon
        self._flight = anyio.Lock()
        self._landed = 0
        self._failure: TokenError | None = None

    @property
    def renewable(self) -> bool:
        """Whether a new token can be had: always, from a server that grants them."""
        return True

    def renews_on_refusal(self) -> bool:
        """Whether a 401 is answered with a renewal; a proactive client does that too."""
        return self._policy.refresh != "never"

    async def obtain(self) -> None:
        """Get a first token by the grant of this session; nothing when there is one.

        Raises:
            TokenError: the authorization server refuses or does not answer.
        """
        if not self.token:
            await self._fly(self._granted)

    async def renew(self) -> None:
        """Get another token: with the refresh token where there is one, else by a new grant.

        A refresh token that is refused for good is dropped, and the grant is made anew, as a
        client with stored credentials does; one that could not be tried is kept.

        Raises:
            TokenError: the authorization server refuses or does not answer.
        """
        await self._fly(self._refreshed)

    async def race(self, count: int) -> None:
        """Refresh so often at once with one refresh token; the last that is answered is kept.

        Raises:
            TokenError: none of them bought a token.
        """
        if not self._refresh_token:
            await self.renew()
            return
        form = self._refresh_form()
        serial, failures = self.serial, list[TokenError]()

        async def run() -> None:
            try:
                await self._exchange(form)
            except TokenError as error:
                failures.append(error)

        with anyio.move_on_after(ANSWER_S):
            async with anyio.create_task_group() as group:
                for _ in range(count):
                    group.start_soon(run)
        if self.serial == serial:
            raise failures[0] if failures else TokenError("no refresh was answered", transient=True)

    def _refresh_form(self) -> dict[str, str]:
        return {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh_token,
            "resource": self._membership.authority.resource,
        }

    def note_refusal(self, challenge: str) -> None:
        """Remember a 401: before the next renewal, see whom the target trusts now."""
        self._refusal = challenge

    def lacks(self, challenge: str) -> bool:
        """Whether a refusal asks for scopes that were never asked for; a few times at most."""
        may = self._policy.refresh != "never" and self._widenings < WIDENINGS_MAX
        return may and bool(self._missing(challenge))

    def widen(self, challenge: str) -> None:
        """Ask for those scopes too, from the next renewal on, which is a new grant."""
        self._wider = (*self._wider, *self._missing(challenge))
        self._widenings += 1
        self._refresh_token = ""  # it can buy no more than was granted

    def _missing(self, challenge: str) -> tuple[str, ...]:
        said = challenge_parameters(challenge)
        if said.get("error") != INSUFFICIENT_SCOPE:
            return ()
        return tuple(scope for scope in said.get("scope", "").split() if scope not in self._scopes)

    def due(self, now_ns: int) -> bool:
        """Whether a proactive client renews now; never under the other policies."""
        if self._policy.refresh != "proactive" or not self.token or self.expires_ns == NEVER_NS:
            return False
        lifetime_ns = self.expires_ns - self.minted_ns
        before_ns = min(int(self._policy.refresh_before_s * NS_PER_S), lifetime_ns // 3)
        return now_ns >= self.expires_ns - before_ns

    def damaged(self) -> str:
        """This token with its signature spoiled; same length, same claims."""
        return spoil(self.token)

    async def misfit(self, wanted: Misfit) -> str:
        """A token that is good for nothing here; "" when the issuer gives none."""
        return await self._membership.misfits.get(wanted)

    @property
    def shown(self) -> tuple[str, ...]:
        """Tokens beside its own that may have been shown to the target."""
        return self._membership.misfits.tokens

    async def _fly(self, trip: Callable[[], Awaitable[None]]) -> None:
        """Run one trip to the server; those who ask meanwhile share its outcome."""
        landed = self._landed
        async with self._flight:
            if self._landed != landed:
                if self._failure is not None:
                    raise TokenError(
                        str(self._failure),
                        error=self._failure.error,
                        transient=self._failure.transient,
                    )
                return
            self._failure = None
            try:
                with anyio.fail_after(ANSWER_S):
                    await trip()
            except TimeoutError:
                url = self._membership.authority.token_endpoint
                self._failure = TokenError(
                    f"{url} gave no token within {ANSWER_S:g} s",
                    transient=True,
                )
                raise self._failure from None
            except TokenError as error:
                self._failure = error
                raise
            finally:
                self._landed += 1

    @property
    def _scopes(self) -> tuple[str, ...]:
        """What to ask for: what the target named, and what it has asked for since."""
        authority = self._membership.authority
        offline = (OFFLINE,) if OFFLINE in authority.scopes_supported else ()
        return tuple(dict.fromkeys((*authority.scopes, *self._wider, *offline)))

    async def _refreshed(self) -> None:
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            await self._membership.look_again(refusal)
        authority = self._membership.authority
        if self._refresh_token and self._refreshes_at == authority.issuer:
            try:
                await self._exchange(self._refresh_form())
            except TokenError as error:
                if error.transient:
                    raise
                self._refresh_token = ""
            else:
                self.refreshes += 1
                return
        await self._granted()

    async def _granted(self) -> None:
        authority, scopes = self._membership.authority, self._scopes
        form = {"resource": authority.resource}
        if self._grant == "authorization_code":
            form |= await authorize(
                self._membership.http, authority, self._membership.registration.client_id, scopes
            )
        else:
            form |= {"grant_type": GRANT_TYPES[self._grant], "scope": " ".join(scopes)}
            form["assertion"] = self._assertion
        await self._exchange(form)

    async def _exchange(self, form: dict[str, str]) -> None:
        """Post a form to the token endpoint and take over what it buys."""
        authority = self._membership.authority
        status, body = await self._membership.ask(form)
        self._take(authority, status, body, self._now_ns())

    def _take(self, authority: Authority, status: int, body: bytes, at_ns: int) -> None:
        answer = answer_of(body)
        token = answer.get("access_token")
        if status != httpx.codes.OK or not isinstance(token, str) or not token:
            code = answer.get("error")
            code = code[:64] if isinstance(code, str) else ""
            raise TokenError(
                f"{authority.token_endpoint} answered HTTP {status}"
                + (f" {code}" if code else "")
                + f" where a token was due{MENDS.get(code, '')}{authority.excuse}",
                error=code,
                transient=status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS,  # noqa: PLR2004
            )
        refresh_token = answer.get("refresh_token")
        if isinstance(refresh_token, str) and refresh_token:
            self._refresh_token, self._refreshes_at = refresh_token, authority.issuer
        self.token = token
        self.minted_ns = at_ns
        lifetime_ns = _lifetime_ns(answer)
        self.expires_ns = NEVER_NS if lifetime_ns is None else at_ns + lifetime_ns
        self.serial += 1


class StaticBearer:
    """A bearer token that somebody else obtained, from an environment variable."""

    def __init__(self, variable: str, now_ns: Callable[[], int]) -> None:
        """Read the variable once.

        Raises:
            UsageError: it is not set.
        """
        self.token = os.environ.get(variable, "").strip()
        if not self.token:
            raise UsageError(
                f"expected a bearer token in the environment variable {variable}, found it empty; "
                f"export {variable} and run again"
            )
        self.minted_ns = now_ns()
        self.expires_ns = _expiry_of(self.token, self.minted_ns)
        self.serial = 1
        self._variable = variable

    @property
    def renewable(self) -> bool:
        """Whether a new token can be had: never, whoever gave this one has to give another."""
        return False

    def renews_on_refusal(self) -> bool:
        """Whether a 401 is answered with a renewal."""
        return False

    def note_refusal(self, challenge: str) -> None:
        """Nothing follows from it."""

    def lacks(self, challenge: str) -> bool:
        """Never: nobody can be asked for more."""
        del challenge
        return False

    def widen(self, challenge: str) -> None:
        """There is nobody to ask for more."""

    async def obtain(self) -> None:
        """It is there from the start."""

    async def renew(self) -> None:
        """A static token cannot be renewed.

        Raises:
            TokenError: always.
        """
        raise TokenError(f"the token in {self._variable} is static and cannot be renewed")

    def due(self, now_ns: int) -> bool:
        """Never: there is nothing to be had."""
        del now_ns
        return False

    def damaged(self) -> str:
        """This token with its signature spoiled."""
        return spoil(self.token)

    async def race(self, count: int) -> None:
        """As `renew`."""
        del count
        await self.renew()

    async def misfit(self, wanted: Misfit) -> str:
        """None: there is nobody to ask for one."""
        del wanted
        return ""

    @property
    def shown(self) -> tuple[str, ...]:
        """There is only the one."""
        return ()


def spoil(token: str) -> str:
    """The token with one character changed where its signature begins.

    Not the last one: in base64 its lowest bits are padding, and a change there may change nothing.
    """
    place = min(token.rfind(".") + 1, len(token) - 1)
    if not token:
        return "damaged"
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def _expiry_of(token: str, now_ns: int) -> int:
    """When a JWT expires, in run time; NEVER_NS for a token that cannot be read."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        left_s = float(claims["exp"]) - time.time()
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return NEVER_NS
    return now_ns + int(left_s * NS_PER_S)


def _lifetime_ns(answer: dict[str, object]) -> int | None:
    """The lifetime in nanoseconds; squall's own issuer states it to the millisecond."""
    for name, unit_ns in (("expires_in_ms", NS_PER_S // 1000), ("expires_in", NS_PER_S)):
        value = answer.get(name)
        try:
            lifetime = float(value) if isinstance(value, int | float | str) else -1.0
        except ValueError:
            continue
        if 0 <= lifetime * unit_ns <= LIFETIME_MAX_S * NS_PER_S:
            return int(lifetime * unit_ns)
    return None
