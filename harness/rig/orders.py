"""Gives an order to a part of the rig that runs in a process of its own, over its control port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from harness.errors import RigError


async def give(
    http: httpx.AsyncClient, part: str, url: str, order: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Give an order, or ask for something where there is no body, and return the answer.

    Raises:
        RigError: the `part` ("the issuer") at `url` does not answer, or refuses.
    """
    method = "GET" if body is None else "POST"
    try:
        reply = await http.request(method, f"{url}/control/{order}", json=body)
        reply.raise_for_status()
        answer: dict[str, Any] = reply.json()
    except (httpx.HTTPError, ValueError) as error:
        raise RigError(
            f"expected {part} at {url} to take the order '{order}', "
            f"got {error or type(error).__name__}"
        ) from error
    return answer
