"""A shop on the official SDK with tools of every kind; each call is a line in the file it is given.

`python -m tests.discovery.shop --calls FILE`, over its standard input and output.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from typing_extensions import TypedDict

READS: Final = ToolAnnotations(read_only_hint=True)
ADDS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=False)
DESTROYS: Final = ToolAnnotations(read_only_hint=False, destructive_hint=True)
SECRET: Final = "sk-live-0123456789abcdef"


class Item(TypedDict):
    """Something on sale."""

    itemId: str
    title: str


class Found(TypedDict):
    """What a search finds."""

    items: list[Item]
    words: str


class Page(TypedDict):
    """A page of the catalogue."""

    page: int
    pages: int
    paper: str


class Counted(TypedDict):
    """How many orders there are."""

    orders: int


def build(note: Callable[[str], None], *, forgets: bool = False) -> MCPServer[Any]:
    """The server; `note` hears of every call. One that `forgets` keys orders twice."""
    shop: MCPServer[Any] = MCPServer("shop", version="4", log_level="ERROR")
    orders: dict[str, str] = {}

    @shop.tool(annotations=READS)
    async def describe(item_id: str) -> Item:
        """Describe an item."""
        note("describe")
        if item_id not in {"i-1", "i-2"}:
            raise ToolError(f"there is no item {item_id}; the key {SECRET} is wrong")
        return Item(itemId=item_id, title="a lamp")

    @shop.tool(annotations=READS)
    async def find_items(words: str, limit: int = 10) -> Found:
        """Find items by words."""
        note("find_items")
        items = [Item(itemId=f"i-{one}", title="a lamp") for one in (1, 2)]
        return Found(items=items[:limit], words=words)

    @shop.tool(annotations=READS)
    async def review(item: str, password: str) -> str:
        """Read what nobody else may read."""
        note("review")
        return f"{item} {password}"

    @shop.tool(annotations=READS)
    async def open_page(page: int, pages: int) -> Page:
        """Open the catalogue, which has one page, at any."""
        note("open_page")
        return Page(page=page, pages=min(pages, 1), paper="thick")

    @shop.tool(annotations=READS)
    async def count_orders() -> Counted:
        """Count the orders."""
        note("count_orders")
        return Counted(orders=len(orders))

    @shop.tool(annotations=ADDS)
    async def order(note_to_shop: str, idempotency_key: str = "") -> str:
        """Order something, once for each key."""
        note("order")
        key = "" if forgets else idempotency_key
        orders.setdefault(key or str(len(orders)), note_to_shop)
        return f"ordered: {note_to_shop}"

    _more(shop, note)
    return shop


def _more(shop: MCPServer[Any], note: Callable[[str], None]) -> None:
    """What is not about the wares."""

    @shop.tool(annotations=DESTROYS)
    async def close_down() -> str:
        """End it all."""
        note("close_down")
        return "gone"

    @shop.tool()
    async def unsaid(text: str) -> str:
        """Do something that nobody has annotated."""
        note("unsaid")
        return text

    @shop.resource("shop://hours")
    def hours() -> str:
        """Say when it is open."""
        return "always"

    @shop.prompt()
    def advise(topic: str) -> str:
        """Ask for advice."""
        return f"What do you think of {topic}?"


def _filed(shop: MCPServer[Any], folder: Path) -> None:
    """Tools that want what only whoever started the server can know."""

    @shop.tool(annotations=READS)
    def read_file(path: str) -> str:
        """Read a receipt."""
        if Path(path).parent != folder:
            raise ToolError(f"{path} is outside of the shop")
        return Path(path).read_text(encoding="utf-8")

    @shop.tool(annotations=READS)
    async def compare(target: str) -> str:
        """Compare with something that nobody can guess."""
        raise ToolError(f"there is no {target}")


def _fragile(shop: MCPServer[Any]) -> None:
    """One tool that ends the whole server, though it says that it only reads."""

    @shop.tool(annotations=READS)
    async def abandon() -> str:
        """End the process."""
        os._exit(3)


def main() -> None:
    """Serve until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="over HTTP, instead of pipes")
    parser.add_argument("--fragile", action="store_true")
    parser.add_argument("--forgets", action="store_true", help="to keep each order single")
    parser.add_argument("--folder", type=Path, help="of receipts")
    options = parser.parse_args()

    def note(call: str) -> None:
        with options.calls.open("a", encoding="utf-8") as calls:
            calls.write(f"{call}\n")

    shop = build(note, forgets=options.forgets)
    if options.fragile:
        _fragile(shop)
    if options.folder:
        _filed(shop, options.folder)
    if options.port:
        shop.run("streamable-http", host="127.0.0.1", port=options.port)
    else:
        shop.run("stdio")


if __name__ == "__main__":
    main()
