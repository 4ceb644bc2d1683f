"""Records that several callers edit at once: read, changed, and written back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Annotated

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field
from typing_extensions import TypedDict

from harness.flaws import Flaw, Flaws

RECORDS_MAX = 1000  # the oldest gives way
ENTRIES_MAX = 20_000  # of one record
STORAGE_S = 0.01  # what one way to the storage takes

ADDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
Name = Annotated[str, Field(min_length=1, max_length=128)]


class Added(TypedDict):
    """An entry as it was added, and how many its record has with it."""

    record: str
    entry: str
    count: int


@dataclass(kw_only=True)
class Record:
    """One list of texts, which nobody may edit while another does."""

    entries: tuple[str, ...] = ()
    lock: anyio.Lock = field(default_factory=anyio.Lock)


class Records:
    """Named records in a storage that is a way off; every edit that was answered for stays."""

    def __init__(self, *, flaws: Flaws) -> None:
        """Begin with none."""
        self._locked = Flaw.LOST_UPDATE not in flaws
        self._records: OrderedDict[str, Record] = OrderedDict()

    async def add(self, name: str, entry: str) -> int:
        """Add one entry and give how many there are now.

        Raises:
            ToolError: the record is full.
        """
        record = self._record(name)
        if not self._locked:
            return await _edit(record, entry)
        async with record.lock:
            return await _edit(record, entry)

    async def entries(self, name: str) -> list[str]:
        """Every entry of a record, in the order in which they were added."""
        await anyio.sleep(STORAGE_S)
        return list(self._record(name).entries)

    def _record(self, name: str) -> Record:
        record = self._records.setdefault(name, Record())
        if len(self._records) > RECORDS_MAX:
            self._records.popitem(last=False)
        return record


async def _edit(record: Record, entry: str) -> int:
    before = record.entries
    if len(before) >= ENTRIES_MAX:
        raise ToolError(f"a record may have {ENTRIES_MAX} entries; begin another")
    await anyio.sleep(STORAGE_S)
    record.entries = (*before, entry)
    return len(before) + 1


def add_records(server: MCPServer, records: Records) -> None:
    """Add the tools that edit and read records."""

    @server.tool(annotations=ADDS)
    async def add_entry(record: Name, entry: str) -> Added:
        """Add an entry to a record that others may be editing too."""
        return Added(record=record, entry=entry, count=await records.add(record, entry))

    @server.tool(annotations=READS)
    async def list_entries(record: Name) -> list[str]:
        """Everything that was ever added to a record."""
        return await records.entries(record)
