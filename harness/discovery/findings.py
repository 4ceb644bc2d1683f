"""What was learned about a server, thing by thing, and what was left out and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from harness.discovery.offers import Effects, Offer

Kind = Literal["tool", "resource", "prompt"]


@dataclass(frozen=True, kw_only=True)
class Link:
    """An argument whose value comes out of another tool's answer."""

    argument: str
    provider: str  # the tool whose answer holds it
    path: str
    name: str  # under which it is kept


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Something that answered twice, and what the two answers had in common."""

    kind: Kind
    name: str  # of the tool or prompt, or the resource's URI
    about: str = ""  # what it says it does, in a sentence
    arguments: dict[str, Any] = field(default_factory=dict)  # a template
    links: tuple[Link, ...] = ()
    effects: Effects = "none"
    open_world: bool = False  # it says that it reaches beyond the server
    repeat_key: str = ""
    rows: int = -1  # the fewer of both; -1 where nothing can be counted
    reply_bytes: int = 0  # the larger
    latency_ms: float = 0.0  # the shorter: what it takes when nothing is in its way
    longest_ms: float = 0.0
    carries: bool = False  # both answers held the nonce of their call
    echoes: tuple[str, str] = ("", "")  # a path of the answer, and the kept name that stands there
    repeats: dict[str, str] = field(default_factory=dict)  # path of the answer -> an argument
    counted: bool = False  # each call was counted as one by the audit


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Something that no step of the scenario uses, and why."""

    kind: Kind
    name: str
    why: str
    lacking: str = ""  # the argument for which there was no value


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A tool whose answer counts effects: a number in it grew by one with each call."""

    tool: str
    arguments: dict[str, Any]
    path: str


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that there is to write about."""

    offer: Offer
    learned: tuple[Learned, ...]
    left_out: tuple[LeftOut, ...]
    counter: Counter | None = None
    noise: str = ""  # a line of its standard output that was no message
    open_door: bool = False  # a session opens without any token
    opening_ms: float = 0.0  # how long a session took to open, its process started where it has one
