"""How an authorization code is had without a browser, and whose answer is believed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from harness.session.authority import Authority
from harness.session.authorizing import HOPS_MAX, authorize
from harness.session.exchange import TokenError
from harness.session.registration import REDIRECT_URI
from tests.session.web import TARGET, paths

pytestmark = pytest.mark.anyio

AS = "http://as.test"
Answer = Callable[[Request], Response]


def authority(**more: Any) -> Authority:
    """An issuer with a code grant."""
    given: dict[str, Any] = {
        "issuer": AS, "token_endpoint": f"{AS}/token", "resource": TARGET, "pkce": True,
        "authorization_endpoint": f"{AS}/authorize?tenant=1",
    }  # fmt: skip
    return Authority(**(given | more))


def back(**answer: str | None) -> Answer:
    """Redirect to the client with a code and its state, changed by `answer`."""

    def redirect(request: Request) -> Response:
        given = {"code": "the-code", "state": request.query_params.get("state", "")} | answer
        return RedirectResponse(
            f"{REDIRECT_URI}?{urlencode({k: v for k, v in given.items() if v is not None})}", 302
        )

    return redirect


async def test_a_code_is_asked_for_with_a_challenge_and_for_one_resource() -> None:
    """PKCE S256, RFC 8707; the form holds the verifier of that very challenge."""
    seen: list[dict[str, str]] = []

    def answer(request: Request) -> Response:
        seen.append(dict(request.query_params))
        return back(iss=AS)(request)

    async with paths({"/authorize": answer}) as http:
        form = await authorize(http, authority(names_itself=True), "me", ("a", "b"))
    [query] = seen
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert query["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert (query["code_challenge_method"], query["resource"]) == ("S256", TARGET)
    assert (query["scope"], query["tenant"]) == ("a b", "1")
    assert (form["code"], form["redirect_uri"]) == ("the-code", REDIRECT_URI)


async def test_redirects_on_the_way_are_followed() -> None:
    """An issuer that consents by itself may take a step or two; without scopes none are asked."""
    seen: list[dict[str, str]] = []

    def first(request: Request) -> Response:
        seen.append(dict(request.query_params))
        return RedirectResponse(f"/consent?{request.url.query}", 303)

    async with paths({"/authorize": first, "/consent": back()}) as http:
        form = await authorize(http, authority(), "me", ())
    assert form["code"] == "the-code"
    assert "scope" not in seen[0]


@pytest.mark.parametrize(
    ("issuer", "answer", "sentence"),
    [
        (authority(), lambda _: PlainTextResponse("<form>"), "no browser"),
        (authority(), lambda _: PlainTextResponse("no", status_code=400), "got HTTP 400"),
        (authority(), back(code=None, error="access_denied"), "access_denied"),
        (authority(), back(state="another"), "redirect with a code"),
        (authority(), back(iss="https://evil.test"), "does not come from"),
        (authority(), back(iss=f"{AS}/"), "does not come from"),
        (authority(names_itself=True), back(), "does not say that it comes from"),
        (authority(), lambda request: RedirectResponse(str(request.url)), f"{HOPS_MAX} times"),
        (authority(pkce=False), back(), "no authorization code grant with PKCE"),
        (authority(authorization_endpoint=""), back(), "no authorization code grant"),
    ],
    ids=[
        "a page", "an error", "a refusal", "a foreign state", "a foreign issuer",
        "a slash too many", "a missing issuer", "a loop", "no PKCE", "no endpoint",
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_believed_is_refused(
    issuer: Authority, answer: Answer, sentence: str
) -> None:
    """In words that say what to do, where something can be done."""
    async with paths({"/authorize": answer}) as http:
        with pytest.raises(TokenError, match=sentence):
            await authorize(http, issuer, "me", ("a",))
