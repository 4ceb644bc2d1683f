"""How squall becomes a client of an issuer, and how it proves that it is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from harness.errors import UsageError
from harness.session.authority import Authority
from harness.session.exchange import TokenError
from harness.session.registration import REDIRECT_URI, Grant, declared, identify
from tests.session.web import TARGET, gives, site

pytestmark = pytest.mark.anyio

AS = "http://as.test"
REGISTER = f"{AS}/register"
DOCUMENT = "https://squall.test/client.json"
SIGNERS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


def authority(**more: Any) -> Authority:
    """An issuer."""
    given: dict[str, Any] = {"issuer": AS, "token_endpoint": f"{AS}/token", "resource": TARGET}
    return Authority(**(given | more))


def pem(private: Any) -> str:
    """A private key as a file holds it."""
    text: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text.decode()


@pytest.mark.parametrize(
    ("methods", "secret", "method"),
    [
        ((), "s3cret", "client_secret_basic"),
        (("client_secret_post", "client_secret_basic"), "s3cret", "client_secret_basic"),
        (("client_secret_post",), "s3cret", "client_secret_post"),
        (("private_key_jwt",), "s3cret", "client_secret_basic"),
        (("none",), "s3cret", "none"),
        (("client_secret_basic",), "", "none"),
    ],
)
def test_a_client_proves_itself_as_the_issuer_supports(
    methods: tuple[str, ...], secret: str, method: str
) -> None:
    """Basic before post; a public client, and an issuer of only those, prove nothing."""
    issuer = authority(auth_methods=methods)
    client = declared(issuer, client_id="me", secret=secret)
    form, auth = client.present({"a": "b"}, issuer)
    assert client.method == method
    assert (auth is not None) is (method == "client_secret_basic")
    assert form.get("client_secret", "") == (secret if method == "client_secret_post" else "")
    assert ("client_id" in form) is (auth is None)
    assert "s3cret" not in repr(client)


@pytest.mark.parametrize("name", SIGNERS)
def test_a_client_with_a_key_signs_for_this_issuer_alone(name: str) -> None:
    """RFC 7523: its own name twice, the issuer as audience, a minute to live, once."""
    private = SIGNERS[name]()
    issuer = authority(signing_algorithms=(name,))
    client = declared(issuer, client_id="me", key=pem(private))
    first, _ = client.present({}, issuer)
    second, _ = client.present({}, issuer)
    claims = [
        jwt.decode(form["client_assertion"], private.public_key(), algorithms=[name], audience=AS)
        for form in (first, second)
    ]
    assert {claim["iss"] for claim in claims} == {claim["sub"] for claim in claims} == {"me"}
    assert claims[0]["exp"] - claims[0]["iat"] == 60
    assert claims[0]["jti"] != claims[1]["jti"]
    assert first["client_assertion_type"].endswith(":jwt-bearer")
    assert "PRIVATE" not in repr(client) + str(first)


@pytest.mark.parametrize(
    ("key", "accepted", "sentence"),
    [
        ("-----BEGIN nothing", (), "a private key in PEM"),
        (pem(x25519.X25519PrivateKey.generate()), (), "a private key in PEM"),
        (pem(SIGNERS["EdDSA"]()), ("ES256",), "signs with ES256"),
    ],
    ids=["no key", "no signer", "another algorithm"],
)
def test_a_key_that_cannot_serve_is_refused_at_once(
    key: str, accepted: tuple[str, ...], sentence: str
) -> None:
    """Before any load; and the key is not repeated."""
    with pytest.raises(UsageError, match=sentence) as caught:
        declared(authority(signing_algorithms=accepted), client_id="me", key=key)
    assert "BEGIN" not in str(caught.value)


async def test_a_metadata_document_needs_no_registration() -> None:
    """Its address is the client id wherever the issuer takes one."""
    issuer = authority(takes_documents=True, registration_endpoint=REGISTER)
    async with site({}) as http:
        client = await identify(http, issuer, document=DOCUMENT, grant="authorization_code")
    assert (client.client_id, client.method, client.issuer) == (DOCUMENT, "none", "")


@pytest.mark.parametrize(
    ("grant", "methods", "asked", "method"),
    [
        ("authorization_code", ("none",), "none", "none"),
        ("authorization_code", ("client_secret_post",), "client_secret_post", "client_secret_post"),
        ("client_credentials", (), "client_secret_basic", "client_secret_basic"),
    ],
)
async def test_a_registration_says_what_it_is_for(
    grant: Grant, methods: tuple[str, ...], asked: str, method: str
) -> None:
    """RFC 7591; a code client asks for refresh tokens too, and runs on a loopback address."""
    seen: list[dict[str, Any]] = []

    async def register(request: Request) -> Response:
        seen.append(await request.json())
        secret = {} if asked == "none" else {"client_secret": "s3cret"}
        return JSONResponse({"client_id": "given", **secret}, status_code=201)

    issuer = authority(registration_endpoint=REGISTER, auth_methods=methods)
    async with site({REGISTER: register}) as http:
        client = await identify(http, issuer, document=DOCUMENT, grant=grant)
    [metadata] = seen
    assert metadata["token_endpoint_auth_method"] == asked
    assert (client.client_id, client.issuer, client.method) == ("given", AS, method)
    if grant == "authorization_code":
        assert metadata["grant_types"] == ["authorization_code", "refresh_token"]
        assert metadata["redirect_uris"] == [REDIRECT_URI]
    else:
        assert metadata["grant_types"] == ["client_credentials"]


@pytest.mark.parametrize(
    ("issuer", "reply", "sentence"),
    [
        (authority(), gives({}), "offers no dynamic registration"),
        (
            authority(registration_endpoint=REGISTER),
            gives({"error": "invalid_redirect_uri"}, status=400),
            "answered HTTP 400 invalid_redirect_uri",
        ),
        (authority(registration_endpoint=REGISTER), gives({}, status=201), "answered HTTP 201"),
        (
            authority(registration_endpoint=REGISTER, assumed=True),
            gives({}, status=404),
            "publishes no authorization metadata",
        ),
    ],
)
async def test_an_issuer_that_takes_nobody_is_one_clear_sentence(
    issuer: Authority, reply: Callable[[Request], Response], sentence: str
) -> None:
    """It says what to do instead."""
    async with site({REGISTER: reply}) as http:
        with pytest.raises(TokenError, match=sentence) as caught:
            await identify(http, issuer, document="", grant="authorization_code")
    assert "client_id_variable" in str(caught.value)
