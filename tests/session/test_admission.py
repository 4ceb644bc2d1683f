"""How a run comes by its tokens: what the target says, and what the environment holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from harness.errors import TargetError, UsageError
from harness.scenario.auth import Auth
from harness.session.access import Access
from harness.session.admission import admit
from tests.session.web import TARGET, Handler, gives, site

pytestmark = pytest.mark.anyio

AS = "http://as.test"
PRM = "http://target.test/.well-known/oauth-protected-resource/mcp"
DOCUMENT = "https://squall.test/client.json"


def refuse(_: Request) -> Response:
    """A target that wants a token."""
    return JSONResponse({}, status_code=401, headers={"www-authenticate": 'Bearer scope="a b"'})


def web(**metadata: Any) -> dict[str, Handler]:
    """A target and its issuer."""
    described = {"issuer": AS, "token_endpoint": f"{AS}/token"} | metadata
    return {
        TARGET: refuse,
        PRM: gives({"resource": TARGET, "authorization_servers": [AS]}),
        f"{AS}/.well-known/oauth-authorization-server": gives(described),
        f"{AS}/register": gives({"client_id": "given"}, status=201),
    }


async def ask(routes: Mapping[str, Handler], **auth: Any) -> Access:
    """Be admitted as a scenario with `issuer: target` says."""
    made = Auth.model_validate({"issuer": "target"} | auth)
    return await admit(made, TARGET, None, site(routes))


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own environment counts."""
    for name in ("CLIENT_ID", "CLIENT_SECRET", "CLIENT_KEY", "ASSERTION"):
        monkeypatch.delenv(f"SQUALL_{name}", raising=False)


async def test_a_target_that_serves_anybody_needs_no_tokens() -> None:
    """Whatever the scenario says."""
    access = await ask({**web(), TARGET: gives({"result": {}})})
    assert access == Access()


async def test_a_given_client_is_taken_with_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for both arms, and bound to this issuer; the challenge names the scopes."""
    monkeypatch.setenv("SQUALL_CLIENT_ID", "me")
    monkeypatch.setenv("SQUALL_CLIENT_SECRET", "s3cret")
    access = await ask(web(registration_endpoint=f"{AS}/register"))
    assert access.authority is not None
    assert access.authority.scopes == ("a", "b")
    assert {arm: (c.client_id, c.issuer, c.method) for arm, c in access.clients} == dict.fromkeys(
        ("control", "treated"), ("me", AS, "client_secret_basic")
    )
    assert (access.registers, access.target_url) == (False, TARGET)
    assert set(access.secrets) == {"s3cret"}


@pytest.mark.parametrize("in_file", [False, True])
async def test_a_key_is_taken_from_its_variable_or_the_file_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_file: bool
) -> None:
    """Such a client signs, secret or not."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    (tmp_path / "key.pem").write_text(pem, encoding="utf-8")
    monkeypatch.setenv("SQUALL_CLIENT_ID", "me")
    monkeypatch.setenv("SQUALL_CLIENT_KEY", str(tmp_path / "key.pem") if in_file else pem)
    access = await ask(web())
    assert {client.method for _, client in access.clients} == {"private_key_jwt"}
    assert set(access.secrets) == {pem}


async def test_without_a_client_squall_introduces_itself_for_codes() -> None:
    """By its document where the issuer takes one, else by a registration."""
    codes = {"grant": "authorization_code", "client_document": DOCUMENT}
    offered = {"registration_endpoint": f"{AS}/register"}
    by_document = await ask(web(client_id_metadata_document_supported=True, **offered), **codes)
    registered = await ask(web(**offered), **codes)
    assert by_document.clients[0][1].client_id == DOCUMENT
    assert registered.clients[0][1].client_id == "given"
    assert by_document.registers
    assert registered.registers


@pytest.mark.parametrize(
    ("auth", "variables", "sentence"),
    [
        ({}, {}, "a client of http://as.test in SQUALL_CLIENT_ID"),
        ({"grant": "authorization_code"}, {}, "a client of http://as.test in SQUALL_CLIENT_ID"),
        ({"client_id_variable": "MINE"}, {}, "in MINE"),
        ({"grant": "jwt_bearer"}, {"CLIENT_ID": "me"}, "in the environment variable SQUALL_ASSERT"),
        ({}, {"CLIENT_ID": "me", "CLIENT_KEY": "no/such/file"}, "SQUALL_CLIENT_KEY"),
        ({}, {"CLIENT_ID": "me", "CLIENT_KEY": "-----BEGIN x"}, "a private key in PEM"),
    ],
)
async def test_what_the_environment_lacks_is_one_clear_sentence(
    monkeypatch: pytest.MonkeyPatch,
    auth: dict[str, Any],
    variables: dict[str, str],
    sentence: str,
) -> None:
    """Before any load, with exit 2."""
    for name, value in variables.items():
        monkeypatch.setenv(f"SQUALL_{name}", value)
    with pytest.raises(UsageError, match=sentence):
        await ask(web(), **auth)


async def test_an_assertion_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is a secret."""
    monkeypatch.setenv("SQUALL_CLIENT_ID", "me")
    monkeypatch.setenv("SQUALL_ASSERTION", " a.b.c \n")
    access = await ask(web(), grant="jwt_bearer")
    assert (access.assertion, access.secrets) == ("a.b.c", ("a.b.c",))
    assert {client.method for _, client in access.clients} == {"none"}


async def test_metadata_that_lead_nowhere_end_it() -> None:
    """The error is the target's."""
    routes = web()
    del routes[f"{AS}/.well-known/oauth-authorization-server"]
    with pytest.raises(TargetError, match="publish its metadata"):
        await ask(routes)
