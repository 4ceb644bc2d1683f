"""Who may get which token: the issuer's answers to the questions that oauthlib's grants ask."""

# ruff: noqa: ARG002, D102 - the methods, their arguments and their meaning are oauthlib's
from __future__ import annotations

import base64
import binascii
import math
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from oauthlib.common import Request
from oauthlib.oauth2 import (
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    ClientCredentialsGrant,
    IntrospectEndpoint,
    InvalidRequestError,
    OAuth2Error,
    RefreshTokenGrant,
    RequestValidator,
    RevocationEndpoint,
    TokenEndpoint,
)

from harness.rig.issuer.mishaps import ODD_LIFETIME_S, Mishaps, Oddity, oddity
from harness.rig.issuer.registry import CODE_TTL_S, Client, Code, Family, Registry
from harness.rig.issuer.signing import ACCESS_TYPE, Key, Keys

OFFLINE = "offline_access"
GRANTS = ("authorization_code", "client_credentials", "refresh_token")


class InvalidTargetError(OAuth2Error):
    """The `resource` of a request is not an absolute URI without a fragment (RFC 8707)."""

    error = "invalid_target"


class Grants(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint, IntrospectEndpoint):
    """The three grants of OAuth 2.1 that squall's sessions use, over one registry and its keys."""

    def __init__(self, *, issuer: str, registry: Registry, keys: Keys, mishaps: Mishaps) -> None:
        """`issuer` is the base URL that tokens name as their `iss`."""
        answers = Answers(issuer=issuer, registry=registry, keys=keys, mishaps=mishaps)
        code = AuthorizationCodeGrant(answers)
        # Typed as Any: the published stubs take the token type for a string.
        bearer: Any = BearerToken(answers, answers.mint, answers.expires_in, answers.mint_refresh)
        AuthorizationEndpoint.__init__(self, "code", bearer, {"code": code})
        TokenEndpoint.__init__(
            self,
            "authorization_code",
            bearer,
            {
                "authorization_code": code,
                "client_credentials": ClientCredentialsGrant(answers),
                "refresh_token": RefreshTokenGrant(answers),
            },
        )
        RevocationEndpoint.__init__(self, answers)
        IntrospectEndpoint.__init__(self, answers)


class Answers(RequestValidator):
    """What oauthlib asks about clients, scopes, codes and tokens while it works through a grant.

    oauthlib passes one `Request` through all questions of a grant; what a later question needs
    is put on it: `client`, `scopes`, `resource`, `subject`, `family`, `access`, `offline`.
    """

    def __init__(self, *, issuer: str, registry: Registry, keys: Keys, mishaps: Mishaps) -> None:
        self._issuer = issuer
        self._registry = registry
        self._keys = keys
        self._mishaps = mishaps

    # the client

    def client_authentication_required(self, request: Request, *_: Any, **__: Any) -> bool:
        return True

    def authenticate_client(self, request: Request, *_: Any, **__: Any) -> bool:
        client_id, secret = _credentials(request)
        client = self._registry.authenticate(client_id, secret)
        if client is None:
            return False
        request.client = client
        request.client_id = client.client_id
        return True

    def authenticate_client_id(self, client_id: str, request: Request, *_: Any, **__: Any) -> bool:
        return False  # every client here is confidential

    def validate_client_id(self, client_id: str, request: Request, *_: Any, **__: Any) -> bool:
        request.client = self._registry.clients.get(client_id)
        return request.client is not None

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: object, request: Request, *_: Any, **__: Any
    ) -> bool:
        return grant_type in GRANTS

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: object,
        request: Request,
        *_: Any,
        **__: Any,
    ) -> bool:
        return response_type == "code"

    # scopes

    def get_default_scopes(self, client_id: str, request: Request, *_: Any, **__: Any) -> list[str]:
        client = _client(request)
        return sorted(client.scopes)

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: object,
        request: Request,
        *_: Any,
        **__: Any,
    ) -> bool:
        """Admit what the client is registered for; `offline_access` asks for a refresh token."""
        assert isinstance(client, Client)
        _put(request, resource=_resource(request), offline=OFFLINE in scopes)
        kept = [scope for scope in scopes if scope != OFFLINE]
        request.scopes = kept or sorted(client.scopes)
        return client.scopes.issuperset(kept)

    # authorization code

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *_: Any, **__: Any
    ) -> bool:
        # The code goes back to whoever asks, in a response that nobody follows: only loopback.
        return urlsplit(redirect_uri).hostname in {"127.0.0.1", "localhost", "::1"}

    def get_default_redirect_uri(self, client_id: str, request: Request, *_: Any, **__: Any) -> str:
        return ""

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        return True  # OAuth 2.1

    def save_authorization_code(
        self, client_id: str, code: Any, request: Request, *_: Any, **__: Any
    ) -> None:
        self._registry.keep_code(
            code["code"],
            Code(
                client_id=client_id,
                redirect_uri=request.redirect_uri or "",
                scopes=tuple(request.scopes or ()),
                resource=_given(request, "resource", ""),
                challenge=request.code_challenge or "",
                method=request.code_challenge_method or "",
                expires_s=time.monotonic() + CODE_TTL_S,
            ),
        )

    def validate_code(
        self, client_id: str, code: str, client: object, request: Request, *_: Any, **__: Any
    ) -> bool:
        kept = self._registry.code(code)
        if kept is None or kept.client_id != request.client_id:
            return False
        asked = _resource(request)
        if asked and asked != kept.resource:
            return False
        request.scopes = list(kept.scopes)
        request.user = kept.client_id
        _put(request, resource=kept.resource, offline=True)
        return True

    def get_code_challenge(self, code: str, request: Request) -> str:
        kept = self._registry.code(code)
        return kept.challenge if kept is not None else ""

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        kept = self._registry.code(code)
        return kept.method if kept is not None else ""

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: object,
        request: Request,
        *_: Any,
        **__: Any,
    ) -> bool:
        kept = self._registry.code(code)
        return kept is not None and kept.redirect_uri == redirect_uri

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Request, *_: Any, **__: Any
    ) -> None:
        self._registry.drop_code(code)

    # refresh

    def validate_refresh_token(
        self, refresh_token: str, client: object, request: Request, *_: Any, **__: Any
    ) -> bool:
        """Accept a family's current token; a spent one betrays a theft and ends the family."""
        found = self._registry.family_of(refresh_token)
        if found is None:
            return False
        family, current = found
        if family.client_id != request.client_id or family.revoked:
            return False
        owner = self._registry.clients[family.client_id]
        leeway_s = self._mishaps.leeway_s.get(owner.group, 0.0)
        if not current and not self._registry.is_forgiven(family, refresh_token, leeway_s):
            self._registry.revoke_family(family)
            owner.counts["reused"] += 1
            return False
        asked = _resource(request)
        if asked and asked != family.resource:
            return False
        _put(request, resource=family.resource, family=family)
        return True

    def get_original_scopes(
        self, refresh_token: str, request: Request, *_: Any, **__: Any
    ) -> list[str]:
        family: Family = _given(request, "family", None)
        return [*family.scopes, OFFLINE]

    def rotate_refresh_token(self, request: Request) -> bool:
        return True

    # tokens

    def expires_in(self, request: Request) -> int:
        """The lifetime that the token response promises, in whole seconds, rounded down."""
        client, odd = _client(request), self._oddity(request)
        expires_s = None
        if odd is not None and (odd.withdrawn or odd.shift_s is not None):
            expires_s = int(time.time()) + (odd.shift_s or 0) + ODD_LIFETIME_S
        access = self._registry.issue(client, expires_s=expires_s)
        _put(request, access=access)
        request.scopes = [scope for scope in request.scopes or () if scope != OFFLINE]
        return int(access.expires_s - time.time())

    def mint(self, request: Request) -> str:
        """A signed access token; oauthlib has asked `expires_in` just before."""
        client = _client(request)
        access = _given(request, "access", None)
        family: Family | None = _given(request, "family", None)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": family.subject if family is not None else client.client_id,
            "aud": _given(request, "resource", "") or self._issuer,
            "exp": access.expires_s,
            "iat": int(time.time()),
            "jti": access.jti,
            "client_id": client.client_id,
            "scope": " ".join(request.scopes or ()),
            "status": {
                "status_list": {"idx": access.index, "uri": f"{self._issuer}/status"},
            },
        }
        odd = self._oddity(request)
        kind = ACCESS_TYPE if odd is None or odd.withdrawn else _spoil(claims, odd)
        key = self._keys.of(client.group)
        if odd is not None and odd.withdrawn:
            key = self._withdrawn()
        return key.sign(claims, kind=kind)

    def _withdrawn(self) -> Key:
        key = self._keys.withdrawn()
        if key is None:
            raise InvalidRequestError(description="no key has been withdrawn")
        return key

    def _oddity(self, request: Request) -> Oddity | None:
        """What is to be wrong with this token; None unless the client may ask for that."""
        text = str(_given(request, "squall_oddity", "") or "")
        return oddity(text) if text and _client(request).odd else None

    def mint_refresh(self, request: Request) -> str:
        """The next refresh token of this grant's family, which it opens when there is none."""
        client = _client(request)
        family: Family | None = _given(request, "family", None)
        if family is None:
            family = self._registry.open_family(
                client,
                subject=client.client_id,
                scopes=tuple(request.scopes or ()),
                resource=_given(request, "resource", ""),
            )
        else:
            client.counts["refreshed"] += 1
        family.access.append(_given(request, "access", None).jti)
        return self._registry.rotate(family)

    def save_bearer_token(self, token: Any, request: Request, *_: Any, **__: Any) -> None:
        """Add what oauthlib leaves out: the exact lifetime, and a refresh token when asked for.

        RFC 6749 advises against a refresh token for client credentials; the scope
        `offline_access` asks for one nevertheless, so that a rotating credential can be
        exercised without a browser.
        """
        access = _given(request, "access", None)
        # Rounded up: an expiry known too early would make an honest answer look like a late one.
        token["expires_in_ms"] = math.ceil((access.expires_s - time.time()) * 1000)
        if request.grant_type == "client_credentials" and _given(request, "offline", False):
            token["refresh_token"] = self.mint_refresh(request)

    def revoke_token(
        self, token: str, token_type_hint: str, request: Request, *_: Any, **__: Any
    ) -> None:
        """Revoke an access token, or a refresh token with its whole family (RFC 7009)."""
        claims = self._keys.read(token)
        if claims is not None and claims.get("client_id") == request.client_id:
            self._registry.revoke_access(claims["jti"])
        found = self._registry.family_of(token)
        if found is not None and found[0].client_id == request.client_id:
            self._registry.revoke_family(found[0])

    def introspect_token(
        self, token: str, token_type_hint: str, request: Request, *_: Any, **__: Any
    ) -> dict[str, Any] | None:
        """The claims of a live access token, or None for anything else (RFC 7662)."""
        claims = self._keys.read(token)
        if claims is None or self._registry.live(claims["jti"]) is None:
            return None
        return {**claims, "token_type": "Bearer"}


def _spoil(claims: dict[str, Any], odd: Oddity) -> str:
    """Make the claims those of another kind of token, or of another moment; the header's type."""
    if odd.shift_s is not None:
        claims["iat"] += odd.shift_s
        claims["nbf"] = claims["iat"]
        return ACCESS_TYPE
    if odd.subject:
        claims["sub"] = claims["client_id"] = odd.subject
        return ACCESS_TYPE
    claims["token_use"] = odd.kind
    if odd.kind == "id":
        claims["aud"] = claims["client_id"]
    return "JWT" if odd.kind == "id" else "rt+jwt"


def _credentials(request: Request) -> tuple[str, str]:
    """Client id and secret from the Authorization header, or else from the form."""
    scheme, _, value = str(request.headers.get("Authorization") or "").partition(" ")
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        client_id, _, secret = text.partition(":")
        return unquote(client_id), unquote(secret)
    return request.client_id or "", request.client_secret or ""


def _resource(request: Request) -> str:
    """The resource indicator of a request, or an empty string.

    Raises:
        InvalidTargetError: it is not an absolute URI, or has a fragment.
    """
    resource = str(_given(request, "resource", "") or "")
    parts = urlsplit(resource)
    if resource and (not parts.scheme or not parts.netloc or parts.fragment):
        raise InvalidTargetError("resource must be an absolute URI without a fragment")
    return resource


def _client(request: Request) -> Client:
    """The client that an earlier question of this grant has settled."""
    client = request.client
    assert isinstance(client, Client)
    return client


def _given(request: Request, name: str, default: Any) -> Any:
    """A parameter or note on a request; oauthlib raises for one that it has never heard of."""
    return getattr(request, name, default)


def _put(request: Request, **notes: Any) -> None:
    """Leave notes on a request for the questions that follow."""
    for name, value in notes.items():
        setattr(request, name, value)
