"""What people did on a game day, and what they wrote down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class OrderEntry:
    """A fault that a person ordered on a game day; on disk before anything is touched.

    What a window of a scenario says beforehand, and what its people expect of it.
    """

    at_ns: int
    window: int
    who: str
    kind: str
    parameters: dict[str, Any]  # as a scenario would write them; what is left out has its default
    for_s: float  # how long it is wanted
    expected: str  # what they think will happen
    breaks: str  # the limit they think will be missed; "" for none
    stop_when: str  # when they will end it, in words
    stop_errors: str = ""  # the treated arm's errors that end it by themselves, "> 50% for 10s"
    type: Literal["order"] = "order"


@dataclass(frozen=True, kw_only=True)
class DeedEntry:
    """What somebody did on a game day, beside ordering faults."""

    at_ns: int
    who: str
    deed: Literal["came", "left", "stopped", "extended", "resumed", "ended"]
    window: int = 0
    words: str = ""
    type: Literal["deed"] = "deed"


@dataclass(frozen=True, kw_only=True)
class LeaseEntry:
    """One edge of the lease on a fault that was ordered by hand; each renewal is not written."""

    at_ns: int
    window: int
    edge: Literal["granted", "cut", "restored", "ended"]
    until_ns: int  # as it stands, should nobody renew it
    why: str = ""
    type: Literal["lease"] = "lease"


@dataclass(frozen=True, kw_only=True)
class HaltEntry:
    """Everything was to be undone at once: who said so, and whether it is proven."""

    at_ns: int
    who: str
    edge: Literal["asked", "proven", "not_proven"]
    words: str = ""
    type: Literal["halt"] = "halt"


@dataclass(frozen=True, kw_only=True)
class RemarkEntry:
    """What a person wrote down on a game day, and what it is about."""

    at_ns: int
    who: str
    kind: Literal["note", "observation", "action"]
    text: str
    window: int = 0  # the fault it is about; 0 for the day as a whole
    as_expected: Literal["", "yes", "partly", "no"] = ""  # of an observation
    type: Literal["remark"] = "remark"
