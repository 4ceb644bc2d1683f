"""An authorization code without a browser: PKCE, the redirects followed, the answer checked."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from oauthlib.oauth2 import WebApplicationClient

from harness.session.authority import Authority
from harness.session.exchange import TokenError, unreachable
from harness.session.registration import REDIRECT_URI

HOPS_MAX: Final = 5


async def authorize(
    http: httpx.AsyncClient, authority: Authority, client_id: str, scopes: tuple[str, ...]
) -> dict[str, str]:
    """Ask for a code; the form that exchanges it for a token.

    Raises:
        TokenError: the issuer has no such grant, wants a person to sign in, refuses, or answers
            in another's name.
    """
    if not authority.authorization_endpoint or not authority.pkce:
        raise TokenError(
            f"{authority.issuer} offers no authorization code grant with PKCE S256; "
            "use grant: client_credentials"
        )
    client = WebApplicationClient(client_id)
    verifier = client.create_code_verifier(64)
    state = client.state_generator()
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": " ".join(scopes),
        "state": state,
        "resource": authority.resource,
        "code_challenge": client.create_code_challenge(verifier, "S256"),
        "code_challenge_method": "S256",
    }
    query = {name: value for name, value in query.items() if value}
    status, answer = await _redirected(http, authority.authorization_endpoint, query)
    code = answer.get("code", "")
    if answer.get("state") != state or not code:
        raise TokenError(
            f"expected {authority.authorization_endpoint} to redirect with a code, "
            f"got HTTP {status} {answer.get('error', '')[:64]}".rstrip()
            + ("" if answer else f"; see that the client is known there, with {REDIRECT_URI}"),
            error=answer.get("error", "")[:64],
        )
    _check_issuer(authority, answer.get("iss", ""))
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": verifier,
    }


def _check_issuer(authority: Authority, named: str) -> None:
    """Refuse an answer that comes from another issuer than the one we asked (RFC 9207)."""
    if named and named != authority.issuer:
        raise TokenError(
            f"the authorization response does not come from {authority.issuer}: "
            f"it names {named[:200]!r}"
        )
    if authority.names_itself and not named:
        raise TokenError(
            f"the authorization response does not say that it comes from {authority.issuer}, "
            "whose metadata promise it (authorization_response_iss_parameter_supported)"
        )


async def _redirected(
    http: httpx.AsyncClient, endpoint: str, query: dict[str, str]
) -> tuple[int, dict[str, str]]:
    """Follow redirects up to the one to us; its status and parameters."""
    url = str(httpx.URL(endpoint).copy_merge_params(query))
    status = 0
    for _ in range(HOPS_MAX):
        try:
            async with http.stream("GET", url, follow_redirects=False) as reply:
                status, place = reply.status_code, reply.headers.get("location", "")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(endpoint, httpx.HTTPError(type(error).__name__)) from None
        if status == httpx.codes.OK:
            raise TokenError(
                f"{endpoint} shows a page for a person to sign in, and squall has no browser; "
                "use grant: client_credentials, or grant: bearer with a token obtained elsewhere"
            )
        if not place or not httpx.codes.is_redirect(status):
            return status, {}
        url = urljoin(url, place)
        if url.partition("?")[0] == REDIRECT_URI:
            given = parse_qs(urlsplit(url).query)
            return status, {name: values[0] for name, values in given.items()}
    raise TokenError(f"{endpoint} redirected {HOPS_MAX} times, and never with a code")
