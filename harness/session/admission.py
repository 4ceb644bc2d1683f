"""How a run is let in: the target is asked without a token, and its own metadata say the rest."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import httpx

from harness.errors import TargetError, UsageError
from harness.rig.issuer.control import Issuer
from harness.scenario.auth import Auth, client_of
from harness.session.access import Access
from harness.session.authority import Authority, discover
from harness.session.registration import Grant, Registration, declared, identify
from harness.session.tokens import TokenPolicy

ARMS: Final[tuple[Literal["control", "treated"], ...]] = ("control", "treated")
PEM: Final = "-----BEGIN"


async def admit(
    auth: Auth | None,
    url: str,
    issuer: Issuer | None,
    client: httpx.AsyncClient,
    *,
    transport: str = "http",
) -> Access:
    """How tokens are had for the target at `url`, found out as any client would.

    `issuer` is squall's own, when the scenario has one; `client` is closed in the end.

    Raises:
        TargetError: the target's metadata lead nowhere, or its issuer does not take us.
        UsageError: what the environment should hold is not there.
    """
    if auth is None:
        return Access()
    if auth.grant == "bearer":
        return Access(bearer_variable=auth.token_variable)
    async with client as http:
        status, challenge = await _challenge(http, url, transport)
        if status != httpx.codes.UNAUTHORIZED:
            return Access()  # it serves anybody; `no-token` has nothing to withhold there
        authority = await discover(http, url, challenge)
        policy = TokenPolicy(refresh=auth.refresh, refresh_before_s=auth.refresh_before_s)
        if issuer is not None:  # it grants what the scenario says, so that is asked for
            return Access(
                authority=replace(authority, scopes=tuple(auth.scopes.split())),
                clients=await _own_clients(auth, authority, issuer),
                grant=auth.grant,
                policy=policy,
            )
        assertion = _assertion(auth)
        given = _given(auth, authority)
        registration = given or await identify(
            http, authority, document=auth.client_document, grant=auth.grant
        )
    return Access(
        authority=authority,
        clients=tuple((arm, registration) for arm in ARMS),
        grant=auth.grant,
        assertion=assertion,
        policy=policy,
        target_url=url,
        registers=given is None,
    )


async def _own_clients(
    auth: Auth, authority: Authority, issuer: Issuer
) -> tuple[tuple[str, Registration], ...]:
    """Two clients of squall's own issuer: what befalls one arm's must not touch the other's."""
    if authority.issuer.rstrip("/") != issuer.url.rstrip("/"):
        raise TargetError(
            f"the target trusts the issuer {authority.issuer}, not squall's own; "
            "say auth: {issuer: target} and give a client of that issuer"
        )
    clients = []
    for arm in ARMS:
        name = client_of(arm)
        secret = await issuer.register(
            client_id=name, group=arm, scopes=auth.scopes, ttl_s=auth.ttl_s, odd=arm == "treated"
        )
        clients.append((arm, declared(authority, client_id=name, secret=secret)))
    return tuple(clients)


def _given(auth: Auth, authority: Authority) -> Registration | None:
    """The client that the environment names; None when we may introduce ourselves."""
    client_id = os.environ.get(auth.client_id_variable, "")
    if client_id:
        return declared(
            authority,
            client_id=client_id,
            secret=os.environ.get(auth.client_secret_variable, ""),
            key=_key(auth),
        )
    grant: Grant = auth.grant if auth.grant != "bearer" else "client_credentials"
    if grant != "authorization_code" or not _welcomes(auth, authority):
        raise UsageError(
            f"expected a client of {authority.issuer} in {auth.client_id_variable}, with "
            f"{auth.client_secret_variable} or {auth.client_key_variable} as it needs them; "
            "export them and run again"
        )
    return None


def _welcomes(auth: Auth, authority: Authority) -> bool:
    document = bool(auth.client_document) and authority.takes_documents
    return document or bool(authority.registration_endpoint)


def _key(auth: Auth) -> str:
    """A private key, from the variable itself or from the file that it names."""
    value = os.environ.get(auth.client_key_variable, "")
    if not value or value.lstrip().startswith(PEM):
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            f"expected a private key in PEM, or the path of a file that holds one, in "
            f"{auth.client_key_variable}; it could not be read: {why}"
        ) from None


def _assertion(auth: Auth) -> str:
    if auth.grant != "jwt_bearer":
        return ""
    assertion = os.environ.get(auth.assertion_variable, "").strip()
    if not assertion:
        raise UsageError(
            f"expected a signed assertion (a JWT) in the environment variable "
            f"{auth.assertion_variable}, found it empty; export it and run again"
        )
    return assertion


async def _challenge(http: httpx.AsyncClient, url: str, transport: str) -> tuple[int, str | None]:
    """Ask without a token; give the status and the challenge that come back."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 0, "method": "tools/list", "params": {}}
    method, content = ("GET", None) if transport == "sse" else ("POST", body)
    accept = "text/event-stream" if transport == "sse" else "application/json, text/event-stream"
    try:
        async with http.stream(method, url, json=content, headers={"accept": accept}) as reply:
            return reply.status_code, reply.headers.get("www-authenticate")
    except httpx.HTTPError as error:
        raise TargetError(f"{url} ended the connection: {type(error).__name__}") from error
