"""Who is calling: verifies access tokens against the issuer's keys and its list of revoked ones."""

from __future__ import annotations

import base64
import hashlib
import logging
import math
import re
import time
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import jwt

from harness.flaws import Flaw, Flaws

ALGORITHMS = ("ES256", "RS256", "EdDSA")
LEEWAY_S = 60  # how far the issuer's clock may be ahead of ours
CACHE_MAX = 20_000  # verified tokens; the oldest gives way
MAX_AGE = re.compile(r"\bmax-age=(\d{1,9})")  # RFC 9111
KEYS_PAUSE_S = 1.0  # at most one fetch of the key set in this time, whoever asks
STATUS_PAUSE_S = 0.5  # so a revocation is known within a second
FETCH_S = 2.0
LIST_LIMIT_BYTES = 4 * 1024 * 1024  # 32 million tokens

_log = logging.getLogger(__name__)


class TokenRefusedError(Exception):
    """The token does not open this door; the message may be shown to the caller."""


class TokenExpiredError(TokenRefusedError):
    """It would have, once."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A verified caller."""

    client_id: str
    subject: str
    issuer: str
    scopes: frozenset[str]
    holder: str  # what sessions and contexts belong to


@dataclass(frozen=True, kw_only=True)
class _Verified:
    identity: Identity
    expires_s: float
    index: int  # in the issuer's list of revoked tokens; -1 when it has none


class Verifier:
    """Verifies tokens for one resource; holds the issuer's keys and its list of revoked tokens."""

    def __init__(
        self, *, issuer: str, resource: str, http: httpx.AsyncClient, flaws: Flaws
    ) -> None:
        """`http` should be the verifier's own: what it fetches is never the caller's business."""
        self._issuer = issuer
        self._resource = resource
        self._http = http
        self._flaws = flaws
        self._keys: dict[str, jwt.PyJWK] = {}
        self._keys_due_s = 0.0
        self._keys_fresh_s = math.inf  # until when the issuer lets them be kept
        self._fetching = anyio.Lock()
        self._revoked = b""
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._known: set[tuple[str, str]] = set()  # for the flaw auth-at-init-only

    async def verify(self, token: str) -> Identity:
        """Return who holds this token.

        Raises:
            TokenExpiredError: it was good until it expired.
            TokenRefusedError: it is not ours, not for this resource, damaged or revoked.
        """
        mark = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        verified = self._verified.get(mark)
        if verified is None or Flaw.JWKS_EVERY_CALL in self._flaws:
            verified = await self._decode(token)
            self._verified[mark] = verified
            if len(self._verified) > CACHE_MAX:
                self._verified.popitem(last=False)
        if time.time() >= verified.expires_s:
            raise TokenExpiredError("the access token has expired")
        if self._is_revoked(verified.index):
            raise TokenRefusedError("the access token has been revoked")
        identity = verified.identity
        if Flaw.AUTH_AT_INIT_ONLY in self._flaws:
            self._known.add((identity.client_id, identity.subject))
        return identity

    async def recognise(self, token: str) -> Identity | None:
        """The flaw auth-at-init-only: a caller who was good once, on any token signed for it."""
        try:
            verified = await self._decode(token)
        except TokenRefusedError:
            return None
        identity = verified.identity
        return identity if (identity.client_id, identity.subject) in self._known else None

    async def _decode(self, token: str) -> _Verified:
        """Check everything about a token that cannot change; expiry and revocation can."""
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(str(header.get("kid", "")))
            if key is None or not self._is_access(header):
                raise TokenRefusedError("the access token is not signed by the issuer")
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._resource,
                issuer=self._issuer,
                # Only for tokens that are early: one that has expired is refused at once.
                leeway=0 if Flaw.NO_CLOCK_LEEWAY in self._flaws else LEEWAY_S,
                options={
                    "require": ["exp", "aud", "iss", "sub"],
                    "verify_exp": False,
                    "verify_aud": Flaw.AUD_UNCHECKED not in self._flaws,
                },
            )
            listed = claims.get("status", {}).get("status_list", {}).get("idx", -1)
            client_id = str(claims.get("client_id", claims["sub"]))
            return _Verified(
                identity=Identity(
                    client_id=client_id,
                    subject=str(claims["sub"]),
                    issuer=str(claims["iss"]),
                    scopes=frozenset(str(claims.get("scope", "")).split()),
                    holder=self._holder(client_id, token),
                ),
                expires_s=float(claims["exp"]),
                index=int(listed),
            )
        except jwt.InvalidAudienceError:
            raise TokenRefusedError("the access token is meant for another resource") from None
        except (jwt.InvalidTokenError, ValueError, AttributeError, TypeError):
            raise TokenRefusedError("the access token is not valid") from None

    def _is_access(self, header: dict[str, Any]) -> bool:
        """Whether the token says of itself that it is an access token (RFC 9068)."""
        kind = str(header.get("typ", "")).lower()
        return kind in {"at+jwt", "application/at+jwt"} or Flaw.ANY_TOKEN_TYPE in self._flaws

    def _holder(self, client_id: str, token: str) -> str:
        if Flaw.SESSION_BOUND_TO_TOKEN in self._flaws:
            return f"{client_id}:{hashlib.sha256(token.encode()).hexdigest()[:16]}"
        return client_id

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        """The issuer's key with this id; an unknown one or a stale set is worth a look."""
        if Flaw.JWKS_EVERY_CALL in self._flaws:
            await self._fetch_keys_as_if_new()
            return self._keys.get(kid)
        if self._lacks(kid) and not (self._keys and Flaw.JWKS_FOREVER in self._flaws):
            async with self._fetching:
                if self._lacks(kid) and time.monotonic() >= self._keys_due_s:
                    self._keys_due_s = time.monotonic() + KEYS_PAUSE_S
                    await self._fetch_keys()
        return self._keys.get(kid)

    def _lacks(self, kid: str) -> bool:
        stale = time.monotonic() >= self._keys_fresh_s and Flaw.JWKS_KEPT not in self._flaws
        return stale or kid not in self._keys

    async def _fetch_keys_as_if_new(self) -> None:
        """The flaw jwks-every-call: nothing is remembered, and nobody gives up waiting."""
        self._keys = {}
        try:
            found = await self._http.get(
                f"{self._issuer}/.well-known/oauth-authorization-server", timeout=None
            )
            reply = await self._http.get(str(found.json()["jwks_uri"]), timeout=None)
            keys = jwt.PyJWKSet.from_dict(reply.json()).keys
        except (httpx.HTTPError, ValueError, KeyError, jwt.PyJWTError):
            return
        self._keys = {key.key_id: key for key in keys if key.key_id}

    async def _fetch_keys(self) -> None:
        try:
            reply = await self._http.get(f"{self._issuer}/jwks", timeout=FETCH_S)
            reply.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(reply.json()).keys
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            # Serve on with the keys that are known: an outage of the issuer is not one of ours.
            _log.warning("the issuer's keys could not be read: %s", type(error).__name__)
            return
        known = self._keys if Flaw.JWKS_KEPT in self._flaws else {}
        self._keys = known | {key.key_id: key for key in keys if key.key_id}
        age = MAX_AGE.search(reply.headers.get("cache-control", ""))
        self._keys_fresh_s = time.monotonic() + int(age[1]) if age else math.inf

    def _is_revoked(self, index: int) -> bool:
        byte, bit = divmod(index, 8)
        return 0 <= byte < len(self._revoked) and bool(self._revoked[byte] >> bit & 1)

    async def watch(self) -> None:
        """Keep the list of revoked tokens fresh until cancelled.

        Asking about each token by introspection costs the server half a millisecond per token and
        second; the list costs one small request, whatever the number of tokens.
        """
        while True:
            try:
                reply = await self._http.get(f"{self._issuer}/status", timeout=FETCH_S)
                if reply.is_success:
                    self._revoked = await self._read_list(reply.text)
            except (httpx.HTTPError, ValueError, TokenRefusedError, zlib.error) as error:
                _log.debug("the list of revoked tokens could not be read: %s", type(error).__name__)
            await anyio.sleep(STATUS_PAUSE_S)

    async def _read_list(self, token: str) -> bytes:
        header = jwt.get_unverified_header(token)
        key = await self._key(str(header.get("kid", "")))
        if key is None:
            raise TokenRefusedError("the list of revoked tokens is not signed by the issuer")
        try:
            claims = jwt.decode(token, key, algorithms=ALGORITHMS, options={"verify_aud": False})
            packed = str(claims["status_list"]["lst"])
            if claims["sub"] != f"{self._issuer}/status":
                raise TokenRefusedError("the list of revoked tokens is another issuer's")
        except (jwt.InvalidTokenError, KeyError, TypeError):
            raise TokenRefusedError("the list of revoked tokens is not valid") from None
        raw = base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
        return zlib.decompressobj().decompress(raw, LIST_LIMIT_BYTES)
