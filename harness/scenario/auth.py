"""A scenario's `auth`: where its sessions' tokens come from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from faults.quantities import Duration
from harness.scenario.record import Record


class Auth(Record):
    """Where the sessions' tokens come from, and when they are renewed."""

    issuer: Literal["embedded", "target"] = Field(
        "embedded",
        description="embedded: squall's own, which the reference server trusts; target: the one "
        "that the target's own metadata names",
    )
    grant: Literal["client_credentials", "authorization_code", "jwt_bearer", "bearer"] = Field(
        "client_credentials",
        description="jwt_bearer: a signed assertion buys the tokens (RFC 7523); bearer: a token "
        "that was obtained elsewhere",
    )
    refresh: Literal["proactive", "on-401", "never"] = "proactive"
    refresh_before_s: Duration = Field(
        30.0, alias="refresh_before", description="at most a third of the lifetime is used"
    )
    ttl_s: Duration = Field(
        3600.0, alias="ttl", ge=1, description="of the embedded issuer's tokens"
    )
    scopes: str = "mcp:read mcp:write"
    token_variable: str = Field(
        "SQUALL_TOKEN", description="the environment variable that holds a static bearer token"
    )
    client_id_variable: str = "SQUALL_CLIENT_ID"
    client_secret_variable: str = "SQUALL_CLIENT_SECRET"  # noqa: S105  a name, not a secret
    client_key_variable: str = Field(
        "SQUALL_CLIENT_KEY",
        description="the variable that holds a private key in PEM, or the path of its file, for a "
        "client that signs assertions (private_key_jwt)",
    )
    client_document: str = Field(
        "",
        pattern=r"^$|^https://[^/\s]+/\S+$",
        description="the https URL of a client metadata document, which serves as client id where "
        "the issuer takes one",
        examples=["https://example.com/squall.json"],
    )
    assertion_variable: str = Field(
        "SQUALL_ASSERTION", description="the variable that holds the assertion of grant: jwt_bearer"
    )


def client_of(arm: str) -> str:
    """The client of squall's own issuer, and so the user, that an arm's sessions are."""
    return f"squall-{arm}"
