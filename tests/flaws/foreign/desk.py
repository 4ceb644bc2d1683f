"""A help desk on fastmcp: who asks is greeted, and their case is kept.

FLAW=ambient: who is being served is kept in a global variable.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field

from fastmcp import FastMCP

AMBIENT = os.environ.get("FLAW") == "ambient"
desk = FastMCP("desk")


@dataclass
class Visitor:
    """Who is at the desk."""

    name: str = ""
    cases: list[str] = field(default_factory=list)


current = Visitor()


@desk.tool
async def open_case(name: str, topic: str) -> dict[str, str]:
    """Open a case for somebody."""
    visitor = current if AMBIENT else Visitor()
    visitor.name = name
    await asyncio.sleep(0.01)  # the desk looks them up
    return {"opened_for": visitor.name, "topic": topic}


@desk.tool
async def opening_hours() -> list[str]:
    """Say when the desk is open."""
    return ["Monday to Friday, 9 to 17", "Saturday, 10 to 14"]


if __name__ == "__main__":
    desk.run(
        transport="http",
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        show_banner=False,
        log_level="WARNING",
    )
