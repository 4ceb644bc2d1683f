"""Which authorization server a target trusts, found the way an MCP client finds it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic_core import from_json

from harness.errors import TargetError

OFFLINE = "offline_access"
FETCH_S = 10.0
METADATA_LIMIT_BYTES = 256 * 1024

_SCHEMES = frozenset({"bearer", "dpop"})
_PARAMETER = re.compile(r'(?:^|[\s,])(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')


@dataclass(frozen=True, kw_only=True)
class Authority:
    """An authorization server as its metadata describe it, and what to ask it for."""

    issuer: str
    token_endpoint: str
    authorization_endpoint: str = ""
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    resource: str  # the RFC 8707 resource indicator of the target
    scopes: tuple[str, ...] = ()  # what the target says it needs
    scopes_supported: tuple[str, ...] = ()  # what the server says it can give
    pkce: bool = False  # S256 is supported
    auth_methods: tuple[str, ...] = ()  # how clients may prove themselves at the token endpoint
    signing_algorithms: tuple[str, ...] = ()  # of the assertions that it takes; () for any
    takes_documents: bool = False  # a client id may be the URL of the client's metadata (CIMD)
    names_itself: bool = False  # every authorization response carries `iss` (RFC 9207)
    assumed: bool = False  # nothing is published: revision 2025-03-26 says where things are

    @property
    def excuse(self) -> str:
        """What an error about one of the endpoints adds, when they were only assumed."""
        if not self.assumed:
            return ""
        return (
            "; the target publishes no authorization metadata, so its endpoints were looked for "
            "where revision 2025-03-26 puts them"
        )


def challenge_parameters(challenge: str) -> dict[str, str]:
    """The parameters of a `WWW-Authenticate: Bearer` header, names in lower case."""
    scheme, _, rest = challenge.strip().partition(" ")
    if scheme.lower() not in _SCHEMES:
        return {}
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(rest)
    }


async def discover(http: httpx.AsyncClient, target_url: str, challenge: str | None) -> Authority:
    """The authorization server of a target.

    `challenge` is the `WWW-Authenticate` header of a 401, if there was one. Its
    `resource_metadata` comes first, then the well-known place for the target's path, then the
    one at the root (RFC 9728). The issuer's own metadata are RFC 8414 or OpenID Connect discovery.

    Raises:
        TargetError: nothing usable is published, or it contradicts itself.
    """
    parameters = challenge_parameters(challenge or "")
    try:
        with anyio.fail_after(FETCH_S):
            resource, issuer, scopes = await _resource(http, target_url, parameters)
            if issuer:
                metadata, assumed = await _issuer_metadata(http, issuer), False
            else:
                issuer, metadata, assumed = await _own_metadata(http, target_url)
    except TimeoutError:
        raise TargetError(
            f"expected {target_url} and its issuer to publish their authorization metadata, "
            f"got no answer within {FETCH_S:g} s"
        ) from None
    wanted = tuple(parameters.get("scope", "").split()) or scopes
    authority = authority_from(metadata, issuer=issuer, resource=resource, scopes=wanted)
    return replace(authority, assumed=assumed)


def authority_from(
    metadata: dict[str, Any], *, issuer: str, resource: str, scopes: tuple[str, ...]
) -> Authority:
    """An authority from the metadata that its issuer publishes.

    Raises:
        TargetError: they name another issuer, or no token endpoint.
    """
    if metadata.get("issuer") != issuer:
        raise TargetError(
            f"expected the metadata of {issuer} to name it as issuer, "
            f"got {str(metadata.get('issuer'))[:200]!r}; both must be the same, byte for byte"
        )
    token_endpoint = _text(metadata, "token_endpoint")
    if not token_endpoint:
        raise TargetError(f"expected {issuer} to publish a token_endpoint, got none")
    return Authority(
        issuer=issuer,
        token_endpoint=token_endpoint,
        authorization_endpoint=_text(metadata, "authorization_endpoint"),
        registration_endpoint=_text(metadata, "registration_endpoint"),
        revocation_endpoint=_text(metadata, "revocation_endpoint"),
        resource=resource,
        scopes=scopes,
        scopes_supported=_texts(metadata, "scopes_supported"),
        pkce="S256" in _texts(metadata, "code_challenge_methods_supported"),
        auth_methods=_texts(metadata, "token_endpoint_auth_methods_supported"),
        signing_algorithms=_texts(metadata, "token_endpoint_auth_signing_alg_values_supported"),
        takes_documents=metadata.get("client_id_metadata_document_supported") is True,
        names_itself=metadata.get("authorization_response_iss_parameter_supported") is True,
    )


async def _resource(
    http: httpx.AsyncClient, target_url: str, parameters: dict[str, str]
) -> tuple[str, str, tuple[str, ...]]:
    """The target's resource identifier, its issuer ("" for itself) and the scopes it names."""
    parts = urlsplit(target_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    well_known = f"{origin}/.well-known/oauth-protected-resource"
    named = parameters.get("resource_metadata", "")
    places = [named] if named else [well_known + parts.path.rstrip("/"), well_known]
    for place in dict.fromkeys(places):
        document = await _document(http, place)
        if document is None:
            continue
        resource = _text(document, "resource")
        if not _covers(resource, target_url):
            raise TargetError(
                f"expected {place} to describe {target_url}, got resource {resource[:200]!r}; "
                "the server must name the address that its clients use"
            )
        servers = _texts(document, "authorization_servers")
        if not servers:
            raise TargetError(f"expected {place} to name an authorization server, got none")
        return resource, servers[0], _texts(document, "scopes_supported")
    if named:
        raise TargetError(f"expected protected resource metadata at {named}, got none")
    return target_url, "", ()


async def _own_metadata(
    http: httpx.AsyncClient, target_url: str
) -> tuple[str, dict[str, Any], bool]:
    """The origin of a server that is its own issuer, its metadata, and whether they are assumed.

    Revision 2025-03-26 says where the endpoints are of a server that publishes nothing.
    """
    parts = urlsplit(target_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    for place in _metadata_places(origin):
        document = await _document(http, place)
        if document is not None:
            # That revision knew no rule for the name, so any on the server's own origin will do.
            named = _text(document, "issuer")
            own = urlsplit(named)[:2] == urlsplit(origin)[:2]
            return named if own else origin, document, False
    metadata = {
        "issuer": origin,
        "authorization_endpoint": f"{origin}/authorize",
        "token_endpoint": f"{origin}/token",
        "registration_endpoint": f"{origin}/register",
        "code_challenge_methods_supported": ["S256"],
    }
    return origin, metadata, True


def _metadata_places(issuer: str) -> tuple[str, ...]:
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(places))


async def _issuer_metadata(http: httpx.AsyncClient, issuer: str) -> dict[str, Any]:
    places = _metadata_places(issuer)
    for place in places:
        document = await _document(http, place)
        if document is not None:
            return document
    raise TargetError(
        f"expected the issuer {issuer} to publish its metadata, got none at {', '.join(places)}"
    )


async def _document(http: httpx.AsyncClient, url: str) -> dict[str, Any] | None:
    """A JSON object at `url`; None when there is none.

    Raises:
        TargetError: the host cannot be reached, or the URL is none.
    """
    received = bytearray()
    try:
        async with http.stream("GET", url, headers={"Accept": "application/json"}) as reply:
            if reply.status_code != httpx.codes.OK:
                return None
            async for piece in reply.aiter_bytes():
                received += piece
                if len(received) > METADATA_LIMIT_BYTES:
                    return None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TargetError(
            f"expected authorization metadata at {url}, got: {error or type(error).__name__}"
        ) from error
    try:
        document = from_json(bytes(received))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _covers(resource: str, url: str) -> bool:
    """Whether a resource identifier is the URL, or a parent of it on the same origin."""
    theirs, ours = urlsplit(resource), urlsplit(url)
    if (theirs.scheme.lower(), theirs.netloc.lower()) != (ours.scheme.lower(), ours.netloc.lower()):
        return False
    parent = theirs.path.rstrip("/")
    return ours.path.rstrip("/") == parent or ours.path.startswith(parent + "/")


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    return value if isinstance(value, str) else ""


def _texts(document: dict[str, Any], name: str) -> tuple[str, ...]:
    value = document.get(name)
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()
