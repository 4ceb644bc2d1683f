"""What the endpoints of an authorization server answer: read within bounds, refused in words."""

from __future__ import annotations

from typing import Any, Final

import httpx
from pydantic_core import from_json

from harness.errors import TargetError

ANSWER_S: Final = 10.0
BODY_LIMIT_BYTES: Final = 256 * 1024

# What helps, by the OAuth error code.
MENDS: Final = {
    "invalid_client": "; see that client id and secret are those of a client there",
    "unauthorized_client": "; see that this client may use this grant there",
    "unsupported_grant_type": "; that issuer has no such grant, so choose another",
    "invalid_scope": "; see that this client may have the scopes that the target asks for",
}


class TokenError(TargetError):
    """No access token could be had; `transient` when trying again later may help."""

    def __init__(self, message: str, *, error: str = "", transient: bool = False) -> None:
        """`error` is the OAuth error code, when the server gave one."""
        super().__init__(message)
        self.error = error
        self.transient = transient


async def bounded(reply: httpx.Response) -> bytes:
    """The body up to a bound; nothing of one that is longer, which is no answer."""
    received = bytearray()
    async for piece in reply.aiter_bytes():
        received += piece
        if len(received) > BODY_LIMIT_BYTES:
            return b""
    return bytes(received)


def answer_of(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty when there is none."""
    try:
        answer = from_json(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def unreachable(url: str, error: httpx.HTTPError) -> TokenError:
    """The error of an endpoint that could not be asked; it may be asked again."""
    return TokenError(
        f"{url} could not be reached: {error or type(error).__name__}", transient=True
    )
