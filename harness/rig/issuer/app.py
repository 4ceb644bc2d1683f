"""The issuer's HTTP face: OAuth endpoints for clients and targets, a control face for squall."""

from __future__ import annotations

import base64
import hmac
import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from oauthlib.oauth2 import FatalClientError, OAuth2Error
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from faults.levers import RefreshManner
from harness.rig.issuer.grants import GRANTS, OFFLINE, Grants
from harness.rig.issuer.mishaps import JSON, Manners, Mishaps, Outage, refused, spoiled
from harness.rig.issuer.registry import Client, FullError, Registry
from harness.rig.issuer.signing import ALGORITHM, STATUS_TYPE, Keys, status_list

BODY_LIMIT_BYTES = 64 * 1024
Answer = Callable[[Request], Awaitable[Response]]
KEYS_FRESH_S = 300  # how long a target may go on with the key set that it has
STATUS_TTL_S = 1  # how long a target may go on with the list of revoked tokens that it has
NO_STORE = {"Cache-Control": "no-store"}


class Face:
    """The endpoints over one registry, its keys, and what it was told to do wrong."""

    def __init__(self, *, issuer: str, control_secret: str) -> None:
        """`issuer` is the base URL; without a control secret the control face stays shut."""
        self._issuer = issuer
        self._control_secret = control_secret
        self._registry = Registry()
        self._keys = Keys()
        self._mishaps = Mishaps()
        self._grants = Grants(
            issuer=issuer, registry=self._registry, keys=self._keys, mishaps=self._mishaps
        )
        self._keys_fresh_s = KEYS_FRESH_S
        self._status: tuple[bytes, float, str] = (b"", 0.0, "")

    def admit(self, *, client_id: str, secret: str, scopes: str, ttl_s: float) -> None:
        """Know a client from the start, by a secret that it has been given elsewhere."""
        self._registry.add_client(
            client_id=client_id, group="admitted", scopes=scopes, ttl_s=ttl_s, secret=secret
        )

    def application(self) -> Starlette:
        """The ASGI application."""
        open_to_all = {
            "/.well-known/oauth-authorization-server": (self.metadata, "GET"),
            "/.well-known/openid-configuration": (self.metadata, "GET"),
            "/jwks": (self.keys, "GET"),
            "/status": (self.status, "GET"),
            "/authorize": (self.authorize, "GET"),
            "/token": (self.token, "POST"),
            "/revoke": (self.revoke, "POST"),
            "/introspect": (self.introspect, "POST"),
        }
        orders = {
            "clients": self.control_client,
            "ttl": self.control_ttl,
            "revoke": self.control_revoke,
            "rotate": self.control_rotate,
            "outage": self.control_outage,
            "refreshing": self.control_refreshing,
        }
        return Starlette(
            routes=[
                *(
                    Route(path, self._subject_to_outages(answer), methods=[method])
                    for path, (answer, method) in open_to_all.items()
                ),
                *(Route(f"/control/{o}", take, methods=["POST"]) for o, take in orders.items()),
                Route("/control/statistics", self.control_statistics),
                Route("/control/manners", self.control_manners),
            ],
        )

    def _subject_to_outages(self, answer: Answer) -> Answer:
        async def answered(request: Request) -> Response:
            if not await self._mishaps.lets_through(counted=answer in (self.metadata, self.keys)):
                return _refusal("temporarily_unavailable", "an outage, on purpose", status=503)
            return await answer(request)

        return answered

    async def metadata(self, _: Request) -> Response:
        """RFC 8414 metadata, also under the OpenID name that some clients ask first."""
        at = self._issuer
        methods = ["client_secret_basic", "client_secret_post"]
        return JSONResponse(
            {
                "issuer": at,
                "authorization_endpoint": f"{at}/authorize",
                "token_endpoint": f"{at}/token",
                "revocation_endpoint": f"{at}/revoke",
                "introspection_endpoint": f"{at}/introspect",
                "jwks_uri": f"{at}/jwks",
                "status_list_aggregation_endpoint": f"{at}/status",
                "scopes_supported": self._scopes(),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": list(GRANTS),
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": methods,
                "revocation_endpoint_auth_methods_supported": methods,
                "introspection_endpoint_auth_methods_supported": methods,
                "authorization_response_iss_parameter_supported": True,
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
            }
        )

    def _scopes(self) -> list[str]:
        known = {scope for client in self._registry.clients.values() for scope in client.scopes}
        return [*sorted(known), OFFLINE]

    async def keys(self, _: Request) -> Response:
        """The public key set."""
        self._registry.reads["keys"] += 1
        kept = {"Cache-Control": f"public, max-age={self._keys_fresh_s}"}
        return JSONResponse({"keys": self._keys.published()}, headers=kept)

    async def status(self, _: Request) -> Response:
        """The signed list of revoked tokens, one bit each (OAuth Token Status List).

        A target that reads it once a second learns of every revocation at a cost that does not
        grow with the number of tokens, as asking about each one by introspection does.
        """
        self._registry.reads["status"] += 1
        bits, signed_s, body = self._status
        now_s = time.time()
        if bits != self._registry.revoked_bits or now_s - signed_s > STATUS_TTL_S:
            bits = bytes(self._registry.revoked_bits)
            uri = f"{self._issuer}/status"
            claims = {
                "sub": uri,
                "iat": int(now_s),
                "ttl": STATUS_TTL_S,
                "status_list": status_list(bits),
            }
            body = self._keys.main.sign(claims, kind=STATUS_TYPE)
            self._status = (bits, now_s, body)
        return Response(body, media_type="application/statuslist+jwt", headers=NO_STORE)

    async def authorize(self, request: Request) -> Response:
        """Approve at once whatever a registered client may ask: there is nobody to ask."""
        uri = str(request.url)
        try:
            if request.query_params.get("code_challenge_method") != "S256":
                return _refusal("invalid_request", "code_challenge_method must be S256")
            scopes, credentials = self._grants.validate_authorization_request(uri)
            headers, body, status = self._grants.create_authorization_response(
                uri, scopes=scopes, credentials=credentials
            )
        except FatalClientError as error:  # nowhere that it would be safe to redirect to
            return _refusal(error.error or "invalid_request", error.description or "")
        except OAuth2Error as error:
            headers, body, status = {"Location": error.in_uri(error.redirect_uri or "")}, "", 302
        if "Location" in headers:  # RFC 9207
            headers["Location"] += f"&iss={quote(self._issuer, safe='')}"
        return Response(body or "", status_code=status, headers=headers)

    async def token(self, request: Request) -> Response:
        """The token endpoint; every refusal is counted."""
        body = await _body(request)
        manner = self._refresh_manner(body, request)
        refusal = None if manner is None else await refused(manner)
        if refusal is not None:
            self._count_refusal(body, request)
            return _respond({"Content-Type": JSON}, *refusal)
        if manner == "narrowed":
            body += f"&scope={quote(self._narrowed(body, request))}"
        try:
            answer = self._grants.create_token_response(
                self._endpoint("/token"), "POST", body, _headers(request)
            )
        except OAuth2Error as error:
            answer = ({}, error.json, error.status_code)
        except FullError:
            answer = ({}, json.dumps({"error": "temporarily_unavailable"}), 503)
        if answer[2] != HTTPStatus.OK:
            self._count_refusal(body, request)
        elif manner is not None:
            spoilt, media_type = spoiled(manner, answer[1] or "{}")
            answer = ({**answer[0], "Content-Type": media_type}, spoilt, answer[2])
        return _respond(*answer)

    def _refresh_manner(self, body: str, request: Request) -> RefreshManner | None:
        client = self._named(body, request)
        if client is None or parse_qs(body).get("grant_type") != ["refresh_token"]:
            return None
        return self._mishaps.refresh(client.group)

    def _narrowed(self, body: str, request: Request) -> str:
        """The least that a client may do: the first of its scopes."""
        client = self._named(body, request)
        return min(client.scopes, default="") if client is not None else ""

    def _named(self, body: str, request: Request) -> Client | None:
        named = parse_qs(body).get("client_id", [""])[0] or _basic_name(request)
        return self._registry.clients.get(named)

    def _count_refusal(self, body: str, request: Request) -> None:
        client = self._named(body, request)
        if client is None:
            self._registry.refused_unknown += 1
        else:
            client.counts["refused"] += 1

    async def revoke(self, request: Request) -> Response:
        """RFC 7009 revocation."""
        return _respond(
            *self._grants.create_revocation_response(
                self._endpoint("/revoke"), "POST", await _body(request), _headers(request)
            )
        )

    async def introspect(self, request: Request) -> Response:
        """RFC 7662 introspection, for authenticated clients."""
        return _respond(
            *self._grants.create_introspect_response(
                self._endpoint("/introspect"), "POST", await _body(request), _headers(request)
            )
        )

    def _endpoint(self, path: str) -> str:
        """An endpoint's address in the only scheme that oauthlib admits; it never leaves here."""
        return f"https://{urlsplit(self._issuer).netloc}{path}"

    # the control face

    async def control_client(self, request: Request) -> Response:
        """Register a client; the answer holds its secret, once."""
        wanted = await self._order(request)
        if wanted is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        try:
            secret = self._registry.add_client(
                client_id=str(wanted["client_id"]),
                group=str(wanted["group"]),
                scopes=str(wanted["scopes"]),
                ttl_s=float(wanted["ttl_s"]),
                odd=bool(wanted.get("odd", False)),
            )
        except FullError as error:
            return _refusal("temporarily_unavailable", str(error), status=503)
        return JSONResponse({"client_secret": secret}, headers=NO_STORE)

    async def control_ttl(self, request: Request) -> Response:
        """Set the lifetime of the tokens that a group gets from now on."""
        wanted = await self._order(request)
        if wanted is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        self._registry.ttl_s[str(wanted["group"])] = float(wanted["ttl_s"])
        return JSONResponse({})

    async def control_revoke(self, request: Request) -> Response:
        """Revoke everything that a group holds."""
        wanted = await self._order(request)
        if wanted is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        return JSONResponse({"revoked": self._registry.revoke_group(str(wanted["group"]))})

    async def control_rotate(self, request: Request) -> Response:
        """Sign the struck group's tokens with a new key, and publish the old one a while longer."""
        wanted = await self._order(request)
        if wanted is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        self._keys_fresh_s = math.ceil(wanted["fresh_s"]) or KEYS_FRESH_S
        if wanted["keep_s"] is None:
            self._keys.withdraw()
        else:
            self._keys.rotate(keep_s=float(wanted["keep_s"]))
            self._mishaps.struck["rotation"] += 1
        return JSONResponse({})

    async def control_outage(self, request: Request) -> Response:
        """Begin an outage, or end it when no manner is named; says how many requests it has hit."""
        wanted = await self._order(request)
        if wanted is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        manner = wanted["manner"]
        self._mishaps.outage = (
            Outage(manner=manner, delay_s=float(wanted["delay_s"])) if manner else None
        )
        return JSONResponse({})

    async def control_refreshing(self, request: Request) -> Response:
        """Let a group's refreshes go wrong, or well again, and set its leeway for spent tokens."""
        wanted = await self._order(request)
        if wanted is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        group = str(wanted["group"])
        self._mishaps.leeway_s[group] = float(wanted["leeway_s"])
        if wanted["manner"]:
            self._mishaps.refreshing[group] = wanted["manner"]
        else:
            self._mishaps.refreshing.pop(group, None)
        return JSONResponse({})

    async def control_statistics(self, request: Request) -> Response:
        """Every counter."""
        if await self._order(request) is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        return JSONResponse(asdict(self._registry.statistics(self._mishaps.struck)))

    async def control_manners(self, request: Request) -> Response:
        """How it answers now."""
        if await self._order(request) is None:
            return _refusal("access_denied", "wrong control secret", status=403)
        mishaps = self._mishaps
        manners = Manners(
            outage=mishaps.outage.manner if mishaps.outage else "",
            refreshing=mishaps.refreshing,
            leeway_s=mishaps.leeway_s,
            ttl_s=self._registry.ttl_s,
            old_keys=len(self._keys.old()),
        )
        return JSONResponse(asdict(manners))

    async def _order(self, request: Request) -> dict[str, Any] | None:
        """What the controller wants; None when it does not know the control secret."""
        given = request.headers.get("authorization", "")
        due = f"Bearer {self._control_secret}"
        if not self._control_secret or not hmac.compare_digest(given.encode(), due.encode()):
            return None
        body = await _body(request)
        wanted: dict[str, Any] = json.loads(body) if body else {}
        return wanted


async def _body(request: Request) -> str:
    """The body as text; one that is too long is cut, and then no grammar accepts it."""
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > BODY_LIMIT_BYTES:
            return ""
    return received.decode("utf-8", errors="replace")


def _headers(request: Request) -> dict[str, str]:
    """The headers that oauthlib looks at, in the spelling that it looks for."""
    return {name.title(): value for name, value in request.headers.items()}


def _basic_name(request: Request) -> str:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return unquote(base64.b64decode(value).decode().partition(":")[0])
    except ValueError:
        return ""


def _respond(headers: Mapping[str, str], body: str | None, status: int) -> Response:
    return Response(body or "", status_code=status, headers={**headers, **NO_STORE})


def _refusal(error: str, description: str, *, status: int = 400) -> Response:
    return JSONResponse(
        {"error": error, "error_description": description}, status_code=status, headers=NO_STORE
    )
