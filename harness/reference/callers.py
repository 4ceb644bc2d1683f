"""Whose call it is, by the token that came with this very request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Whose call this is."""

    client: str
    subject: str
    holder: str
    # For flaws to pass on; it changes at every renewal, and the caller is the same.
    bearer: str = field(default="", compare=False, repr=False)


def caller_of(request: Any) -> Caller:
    """Who calls, by the HTTP request that the SDK keeps with every message."""
    user = request.scope.get("user") if request is not None else None
    if not isinstance(user, AuthenticatedUser):
        return Caller(client="anonymous", subject="anonymous", holder="anonymous")
    token = user.access_token
    client = str((token.claims or {}).get("client_id", token.client_id))
    return Caller(
        client=client,
        subject=token.subject or "",
        holder=token.client_id,
        bearer=request.headers.get("authorization", ""),
    )
