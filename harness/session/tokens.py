"""How a session gets its access token and keeps it good: grants and refresh policies.

No token and no secret of this module ever reaches a log, a message or a representation.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit

import anyio
import httpx
import jwt
from oauthlib.oauth2 import WebApplicationClient
from pydantic_core import from_json

from harness.clock import NS_PER_S
from harness.errors import TargetError, UsageError
from harness.session.authority import OFFLINE, Authority

NEVER_NS = -1  # the expiry of a token that does not say when it expires
LIFETIME_MAX_S = 10 * 365 * 86_400  # a longer one is a mistake of the server, or a joke
ANSWER_S = 10.0
BODY_LIMIT_BYTES = 256 * 1024
REDIRECT_URI = "http://127.0.0.1/callback"  # never opened: the code is read off the redirect

Grant = Literal["client_credentials", "authorization_code"]


class TokenError(TargetError):
    """No access token could be had; `transient` when trying again later may help."""

    def __init__(self, message: str, *, error: str = "", transient: bool = False) -> None:
        """`error` is the OAuth error code, when the server gave one."""
        super().__init__(message)
        self.error = error
        self.transient = transient


@dataclass(frozen=True, kw_only=True)
class TokenPolicy:
    """When a session renews its token; what a client library would be configured to do."""

    refresh: Literal["proactive", "on-401", "never"] = "proactive"
    refresh_before_s: float = 30.0  # before expiry; a third of the lifetime when that is less


class TokenSource:
    """One session's credential from an authorization server."""

    def __init__(  # noqa: PLR0917 - in the order in which a session comes to know them
        self,
        authority: Authority,
        client_id: str,
        client_secret: str,
        policy: TokenPolicy,
        http: httpx.AsyncClient,
        now_ns: Callable[[], int],
        *,
        grant: Grant = "client_credentials",
        offline: bool = True,
    ) -> None:
        """`http` is shared by all sessions; `offline` asks for a refresh token where one exists."""
        self.token = ""
        self.expires_ns = 0
        self.minted_ns = 0
        self.serial = 0
        self.refreshes = 0  # how many tokens a refresh token has bought
        self._authority = authority
        self._client_id = client_id
        self._client_secret = client_secret
        self._policy = policy
        self._http = http
        self._now_ns = now_ns
        self._grant: Grant = grant
        self._offline = offline and OFFLINE in authority.scopes_supported
        self._refresh_token = ""
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
                self._failure = TokenError(
                    f"{self._authority.token_endpoint} gave no token within {ANSWER_S:g} s",
                    transient=True,
                )
                raise self._failure from None
            except TokenError as error:
                self._failure = error
                raise
            finally:
                self._landed += 1

    async def _refreshed(self) -> None:
        if self._refresh_token:
            try:
                await self._exchange(
                    {
                        "grant_type": "refresh_token",
                        "refresh_token": self._refresh_token,
                        "resource": self._authority.resource,
                    }
                )
            except TokenError as error:
                if error.transient:
                    raise
                self._refresh_token = ""
            else:
                self.refreshes += 1
                return
        await self._granted()

    async def _granted(self) -> None:
        form = {"resource": self._authority.resource}
        scopes = (*self._authority.scopes, *((OFFLINE,) if self._offline else ()))
        if self._grant == "authorization_code":
            form |= await self._authorize(scopes)
        else:
            form["grant_type"] = "client_credentials"
            if scopes:
                form["scope"] = " ".join(scopes)
        await self._exchange(form)

    async def _authorize(self, scopes: tuple[str, ...]) -> dict[str, str]:
        """Ask for an authorization code with PKCE; the form that exchanges it."""
        authority = self._authority
        if not authority.authorization_endpoint or not authority.pkce:
            raise TokenError(
                f"{authority.issuer} offers no authorization code grant with PKCE S256; "
                "use grant: client_credentials"
            )
        client = WebApplicationClient(self._client_id)
        verifier = client.create_code_verifier(64)
        state = client.state_generator()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": REDIRECT_URI,
            "scope": " ".join(scopes),
            "state": state,
            "resource": authority.resource,
            "code_challenge": client.create_code_challenge(verifier, "S256"),
            "code_challenge_method": "S256",
        }
        try:
            reply = await self._http.get(authority.authorization_endpoint, params=query)
        except httpx.HTTPError as error:
            raise _unreachable(authority.authorization_endpoint, error) from None
        answer = parse_qs(urlsplit(reply.headers.get("location", "")).query)
        code = answer.get("code", [""])[0]
        if answer.get("state", [""])[0] != state or not code:
            raise TokenError(
                f"expected {authority.authorization_endpoint} to redirect with a code, "
                f"got HTTP {reply.status_code} {answer.get('error', [''])[0]}".rstrip()
            )
        if answer.get("iss", [authority.issuer])[0] != authority.issuer:
            raise TokenError(f"the authorization response does not come from {authority.issuer}")
        return {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT_URI,
            "code_verifier": verifier,
        }

    async def _exchange(self, form: dict[str, str]) -> None:
        """Post a form to the token endpoint and take over what it buys."""
        url = self._authority.token_endpoint
        auth: httpx.BasicAuth | None = None
        if self._authority.basic and self._client_secret:
            auth = httpx.BasicAuth(
                quote(self._client_id, safe=""), quote(self._client_secret, safe="")
            )
        else:
            form = {**form, "client_id": self._client_id, "client_secret": self._client_secret}
        form = {name: value for name, value in form.items() if value}
        try:
            async with self._http.stream("POST", url, data=form, auth=auth) as reply:
                body = await _bounded(reply)
                at_ns = self._now_ns()
        except httpx.HTTPError as error:
            raise _unreachable(url, error) from None
        self._take(reply.status_code, body, at_ns)

    def _take(self, status: int, body: bytes, at_ns: int) -> None:
        answer = _read(body)
        token = answer.get("access_token")
        if status != httpx.codes.OK or not isinstance(token, str) or not token:
            code = answer.get("error")
            code = code[:64] if isinstance(code, str) else ""
            raise TokenError(
                f"{self._authority.token_endpoint} answered HTTP {status}"
                + (f" {code}" if code else "")
                + " where a token was due",
                error=code,
                transient=status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS,  # noqa: PLR2004
            )
        refresh_token = answer.get("refresh_token")
        if isinstance(refresh_token, str) and refresh_token:
            self._refresh_token = refresh_token
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


async def _bounded(reply: httpx.Response) -> bytes:
    """The body up to a bound; what is longer is no token."""
    received = bytearray()
    async for piece in reply.aiter_bytes():
        received += piece
        if len(received) > BODY_LIMIT_BYTES:
            return b""
    return bytes(received)


def _read(body: bytes) -> dict[str, object]:
    try:
        answer = from_json(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _unreachable(url: str, error: httpx.HTTPError) -> TokenError:
    return TokenError(
        f"{url} could not be reached: {error or type(error).__name__}", transient=True
    )
