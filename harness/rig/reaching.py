"""HTTP for the rig's own few questions: to a target over whatever socket it has, and to issuers."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from harness.trust import SYSTEM, Trust

CONNECTIONS_MAX = 64


def http_client(
    url: str, *, trust: Trust = SYSTEM, unix_socket: str = "", timeout_s: float = 10.0
) -> httpx.AsyncClient:
    """A client under `trust` for the target at `url` and its issuer.

    With a `unix_socket`, what goes to the target's origin goes through that; the rest does not.

    Raises:
        UsageError: a file of `trust` is not what it should be.
    """
    context, limits = trust.context(), httpx.Limits(max_connections=CONNECTIONS_MAX)
    mounts: dict[str, httpx.AsyncBaseTransport] = {}
    if unix_socket:
        parts = urlsplit(url)
        mounts[f"{parts.scheme}://{parts.netloc}"] = httpx.AsyncHTTPTransport(
            verify=context, uds=unix_socket, limits=limits
        )
    return httpx.AsyncClient(
        trust_env=False, timeout=timeout_s, verify=context, limits=limits, mounts=mounts
    )
