"""A database that squall starts: what is known of it, and what it takes to start one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.rig.process import Origin

Kind = Literal["postgres", "redis"]


@dataclass(frozen=True, kw_only=True)
class Database:
    """One that runs; whoever has `url` has its password too, so it is never shown."""

    kind: Kind
    host: str
    port: int
    url: str = field(repr=False)
    pid: int  # leads its process group
    origin: Origin | None
    version: str  # in the program's own words


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one kind is made ready in an empty folder, started on a port, and known to be up."""

    kind: Kind
    version: str
    end: Literal["TERM", "INT"]  # the signal on which it ends without waiting for its clients
    prepare: tuple[str, ...]  # a command to run once before it starts; () for none
    start: Callable[[int], tuple[str, ...]]  # the command for a port
    url: Callable[[int], str]
    is_up: Callable[[int], Awaitable[bool]]


Make = Callable[[Path, str, int], Recipe]  # folder, password, most connections at a time
