"""The dependency's own credentials: short-lived tokens for one client, and whose a request's is."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import unquote

TOKENS_MAX: Final = 100_000  # living ones; the oldest gives way
Credential = Literal["none", "own", "expired", "caller", "other"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What a request showed of itself: never the token."""

    credential: Credential
    subject: str = ""
    audience: str = ""


class Tokens:
    """Opaque tokens: access tokens that live `ttl_s`, refresh tokens that serve once."""

    def __init__(self, *, client: str, ttl_s: float) -> None:
        """`client` is `id:secret`; empty when nobody may buy tokens."""
        self.client_id, _, self._secret = client.partition(":")
        self._ttl_s = ttl_s
        self._access: dict[str, float] = {}
        self._refresh: set[str] = set()
        self.resource = ""  # the target's own, which the callers' tokens are meant for

    def buy(self, fields: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Answer one request to the token endpoint: status and body (RFC 6749)."""
        client_id, secret = _basic(authorization) or (
            fields.get("client_id", ""),
            fields.get("client_secret", ""),
        )
        right = self._secret and client_id == self.client_id
        if not right or not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return 401, {"error": "invalid_client"}
        match fields.get("grant_type"):
            case "client_credentials":
                return 200, self._mint()
            case "refresh_token":
                given = fields.get("refresh_token", "")
                if given not in self._refresh:
                    return 400, {"error": "invalid_grant"}
                self._refresh.remove(given)
                return 200, self._mint()
        return 400, {"error": "unsupported_grant_type"}

    def _mint(self) -> dict[str, Any]:
        now_s = time.monotonic()
        if len(self._access) >= TOKENS_MAX:
            self._access = {token: end for token, end in self._access.items() if end > now_s}
        while len(self._access) >= TOKENS_MAX:
            del self._access[next(iter(self._access))]
        if len(self._refresh) >= TOKENS_MAX:
            self._refresh.clear()
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self._access[access] = now_s + self._ttl_s
        self._refresh.add(refresh)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": max(1, round(self._ttl_s)),
            "refresh_token": refresh,
        }

    def look(self, authorization: str) -> Shown:
        """Say what credential came with a request."""
        scheme, _, value = authorization.partition(" ")
        if not value:
            return Shown(credential="none")
        if scheme.lower() == "basic":
            given = _basic(authorization)
            own = bool(self._secret) and given is not None and given[0] == self.client_id
            right = (
                own
                and given is not None
                and hmac.compare_digest(given[1].encode(), self._secret.encode())
            )
            return Shown(credential="own" if right else "other", subject=given[0] if given else "")
        ends_s = self._access.get(value)
        if ends_s is not None:
            alive = time.monotonic() < ends_s
            return Shown(credential="own" if alive else "expired", subject=self.client_id)
        return self._foreign(value)

    def _foreign(self, token: str) -> Shown:
        """A token that was not bought here: the caller's own, when it is meant for the target."""
        claims = _claims(token)
        named = claims.get("aud", "")
        audiences = [str(one) for one in named] if isinstance(named, list) else [str(named)]
        callers = bool(self.resource) and self.resource in audiences
        return Shown(
            credential="caller" if callers else "other",
            subject=str(claims.get("sub", ""))[:128],
            audience=" ".join(audiences)[:256],
        )


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote(name), unquote(secret)


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, whether or not it is true: it is only written down."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(raw)
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
