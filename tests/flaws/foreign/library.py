"""A library on fastmcp: its catalogue is another service, at CATALOGUE_URL.

FLAW=nothing-found: when the catalogue does not answer, nothing was found.
"""

from __future__ import annotations

import os
from typing import Any

import httpx2
from fastmcp import FastMCP
from fastmcp.exceptions import ToolError

CATALOGUE = os.environ["CATALOGUE_URL"]
HIDES = os.environ.get("FLAW") == "nothing-found"
library = FastMCP("library")
http = httpx2.AsyncClient(base_url=CATALOGUE, timeout=2.0)


@library.tool
async def find_books(words: str) -> list[dict[str, Any]]:
    """Find books by words in their titles."""
    try:
        answer = await http.get("/books", params={"words": words})
        answer.raise_for_status()
    except httpx2.HTTPError as error:
        if HIDES:
            return []
        raise ToolError(f"the catalogue does not answer ({type(error).__name__})") from error
    books: list[dict[str, Any]] = answer.json()["books"]
    return books


if __name__ == "__main__":
    library.run(
        transport="http",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        show_banner=False,
        log_level="WARNING",
    )
