"""Who squall is to an authorization server: a client known beforehand, a document, a registration.

No secret and no key of this module ever reaches a log, a message or a representation.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

import anyio
import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from harness.errors import UsageError
from harness.session.authority import Authority
from harness.session.exchange import ANSWER_S, TokenError, answer_of, bounded, unreachable

REDIRECT_URI: Final = "http://127.0.0.1/callback"  # never opened: the code is read off the redirect
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S: Final = 60  # how long a signed assertion is good
NAME: Final = "squall"

Grant = Literal["client_credentials", "authorization_code", "jwt_bearer"]
Method = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

GRANT_TYPES: Final[dict[Grant, str]] = {
    "client_credentials": "client_credentials",
    "authorization_code": "authorization_code",
    "jwt_bearer": "urn:ietf:params:oauth:grant-type:jwt-bearer",
}


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A client of one issuer, and how it proves itself there."""

    issuer: str  # "" for a document, which any issuer may fetch
    client_id: str
    secret: str = ""
    key: str = ""  # PEM, for assertions that it signs (RFC 7523)
    method: Method = "client_secret_basic"

    def __repr__(self) -> str:
        """Say which client of whom this is, and no secret."""
        return f"Registration({self.client_id!r} at {self.issuer or 'any issuer'})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be shown anywhere."""
        return tuple(filter(None, (self.secret, self.key)))

    def present(
        self, form: dict[str, str], authority: Authority
    ) -> tuple[dict[str, str], httpx.BasicAuth | None]:
        """A token request's form with this client in it, or the header that carries it instead.

        Raises:
            UsageError: the key cannot sign what the issuer accepts.
        """
        if self.method == "client_secret_basic":
            name, secret = quote(self.client_id, safe=""), quote(self.secret, safe="")
            return form, httpx.BasicAuth(name, secret)
        form = {**form, "client_id": self.client_id}
        if self.method == "client_secret_post":
            form["client_secret"] = self.secret
        elif self.method == "private_key_jwt":
            form["client_assertion_type"] = ASSERTION_TYPE
            form["client_assertion"] = self._assertion(authority)
        return form, None

    def _assertion(self, authority: Authority) -> str:
        now = int(time.time())
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": authority.issuer,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + ASSERTION_S,
        }
        return jwt.encode(claims, self.key, algorithm=algorithm_of(self.key, authority))


def declared(
    authority: Authority, *, client_id: str, secret: str = "", key: str = ""
) -> Registration:
    """A client that somebody registered at this issuer beforehand.

    Raises:
        UsageError: the key is none that can sign.
    """
    if key:
        algorithm_of(key, authority)
    return Registration(
        issuer=authority.issuer,
        client_id=client_id,
        secret=secret,
        key=key,
        method=_method(authority, secret=secret, key=key),
    )


async def identify(
    http: httpx.AsyncClient, authority: Authority, *, document: str, grant: Grant
) -> Registration:
    """Become a client of an issuer that nobody registered us at.

    `document` is the https URL of our client metadata, which serves as client id where the issuer
    takes one (CIMD); otherwise we register (RFC 7591).

    Raises:
        TokenError: neither is possible, or the registration is refused.
    """
    if document and authority.takes_documents:
        return Registration(issuer="", client_id=document, method="none")
    if authority.registration_endpoint:
        try:
            with anyio.fail_after(ANSWER_S):
                return await _register(http, authority, grant)
        except TimeoutError:
            raise TokenError(
                f"{authority.registration_endpoint} did not answer within {ANSWER_S:g} s",
                transient=True,
            ) from None
    why = "takes no client metadata document and " if document else ""
    raise TokenError(
        f"{authority.issuer} {why}offers no dynamic registration; register a client there and "
        "give it in the environment variables that auth.client_id_variable and its like name"
    )


async def _register(http: httpx.AsyncClient, authority: Authority, grant: Grant) -> Registration:
    url = authority.registration_endpoint
    method: Method = "none" if grant == "authorization_code" else "client_secret_basic"
    if authority.auth_methods and method not in authority.auth_methods:
        usable: tuple[Method, ...] = ("client_secret_basic", "client_secret_post", "none")
        method = next((one for one in usable if one in authority.auth_methods), method)
    metadata: dict[str, Any] = {
        "client_name": NAME,
        "grant_types": [GRANT_TYPES[grant]],
        "token_endpoint_auth_method": method,
        "redirect_uris": [],
    }
    if grant == "authorization_code":
        metadata["grant_types"].append("refresh_token")
        metadata["response_types"] = ["code"]
        metadata["redirect_uris"] = [REDIRECT_URI]
        # RFC 8252: what runs on a machine of its user's and is redirected to its loopback.
        metadata["application_type"] = "native"
    try:
        async with http.stream("POST", url, json=metadata) as reply:
            answer = answer_of(await bounded(reply))
    except httpx.HTTPError as error:
        raise unreachable(url, error) from None
    client_id, secret = answer.get("client_id"), answer.get("client_secret")
    if reply.status_code not in {httpx.codes.OK, httpx.codes.CREATED} or not client_id:
        raise TokenError(
            f"{url} answered HTTP {reply.status_code} {str(answer.get('error', ''))[:64]}".rstrip()
            + " where a registration was due; register a client there and give it in the "
            "environment variables that auth.client_id_variable and its like name"
            + authority.excuse
        )
    secret = secret if isinstance(secret, str) else ""
    given = answer.get("token_endpoint_auth_method")
    return Registration(
        issuer=authority.issuer,
        client_id=str(client_id),
        secret=secret,
        method=_method(authority, secret=secret, wanted=given if isinstance(given, str) else ""),
    )


def _method(authority: Authority, *, secret: str, key: str = "", wanted: str = "") -> Method:
    """How to prove ourselves: as told, else by the best that the issuer supports."""
    if key:
        return "private_key_jwt"
    if not secret or wanted == "none":
        return "none"
    if wanted == "client_secret_post":
        return "client_secret_post"
    # The default of RFC 8414, when nothing is said, is basic.
    supported = authority.auth_methods or ("client_secret_basic",)
    if wanted == "client_secret_basic" or "client_secret_basic" in supported:
        return "client_secret_basic"
    if "client_secret_post" in supported:
        return "client_secret_post"
    return "none" if "none" in supported else "client_secret_basic"


def algorithm_of(key: str, authority: Authority) -> str:
    """The signature algorithm of a private key.

    Raises:
        UsageError: it is no PEM key that signs, or the issuer does not take its algorithm.
    """
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if isinstance(private, ec.EllipticCurvePrivateKey):
        name = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}.get(
            private.curve.name, ""
        )
    elif isinstance(private, ed25519.Ed25519PrivateKey):
        name = "EdDSA"
    else:
        name = "RS256" if isinstance(private, rsa.RSAPrivateKey) else ""
    if not name:
        raise UsageError(
            "expected a private key in PEM without a passphrase (EC P-256, P-384, P-521, Ed25519 "
            "or RSA), found something else in the client key"
        )
    accepted = authority.signing_algorithms
    if accepted and name not in accepted:
        raise UsageError(
            f"expected a client key that signs with {', '.join(accepted)[:120]}, as "
            f"{authority.issuer} asks for, found one for {name}"
        )
    return name
