"""What the issuer does wrong because it was told to, and to whom: the identity lever's far end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import urlencode

import anyio

from faults.levers import RefreshManner

OutageManner = Literal["down", "slow"]

HANG_S: Final = 30.0  # longer than any client waits for a token
ODD_LIFETIME_S: Final = 60  # of a token whose clock is off: short, so that its end can be missed
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, kw_only=True)
class Outage:
    """No endpoint answers as it should: at once with a 503, or `delay_s` late."""

    manner: OutageManner
    delay_s: float = 0.0


@dataclass(kw_only=True)
class Mishaps:
    """The mishaps in force, and how many requests each has hit."""

    outage: Outage | None = None
    refreshing: dict[str, RefreshManner] = field(default_factory=dict)  # by group
    leeway_s: dict[str, float] = field(default_factory=dict)  # by group: a spent token still good
    struck: Counter[str] = field(default_factory=Counter)

    async def lets_through(self, *, counted: bool) -> bool:
        """Hold a request up as the outage does; False when a 503 is all that it gets.

        Those of targets are `counted`: for the metadata and the keys, and nothing else.
        """
        outage = self.outage
        if outage is None:
            return True
        self.struck["outage"] += counted
        if outage.manner == "down":
            return False
        await anyio.sleep(outage.delay_s)
        return True

    def refresh(self, group: str) -> RefreshManner | None:
        """How a refresh of this group goes wrong, which is counted; None when it does not."""
        manner = self.refreshing.get(group)
        if manner is not None:
            self.struck["refresh"] += 1
        return manner


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How the issuer answers now: every mishap in force, each group's leeway and lifetime."""

    outage: str = ""  # its manner; "" for none
    refreshing: Mapping[str, str] = field(default_factory=dict)
    leeway_s: Mapping[str, float] = field(default_factory=dict)
    ttl_s: Mapping[str, float] = field(default_factory=dict)
    old_keys: int = 0  # that sign nothing any more, and are published yet


@dataclass(frozen=True, kw_only=True)
class Oddity:
    """A token that is wrong on purpose: of another kind, by a clock that is off, or another's."""

    kind: Literal["access", "refresh", "id"] = "access"
    shift_s: int | None = None
    subject: str = ""  # a good one, for another user
    withdrawn: bool = False  # under the last key that was withdrawn


def oddity(text: str) -> Oddity | None:
    """Read `refresh`, `id`, `shift=-30` for a clock that is off, `subject=NAME`, `withdrawn`."""
    if text == "refresh":
        return Oddity(kind="refresh")
    if text == "id":
        return Oddity(kind="id")
    if text == "withdrawn":
        return Oddity(withdrawn=True)
    name, _, value = text.partition("=")
    if name == "shift" and value.removeprefix("-").isdecimal():
        return Oddity(shift_s=int(value))
    if name == "subject" and value:
        return Oddity(subject=value)
    return None


async def refused(manner: RefreshManner) -> tuple[str, int] | None:
    """The answer of a refresh that is not even looked at; None for one that is."""
    if manner == "hang":
        await anyio.sleep(HANG_S)
    if manner in {"hang", "error"}:
        return json.dumps({"error": "server_error"}), 500
    if manner == "invalid_grant":
        return json.dumps({"error": "invalid_grant"}), 400
    return None


def spoiled(manner: RefreshManner | None, body: str) -> tuple[str, str]:
    """The body and media type that a good answer is turned into."""
    answer = json.loads(body)
    if manner == "form":
        return urlencode(answer), FORM
    if manner == "undated":
        return json.dumps({k: v for k, v in answer.items() if not k.startswith("expires_in")}), JSON
    return body, JSON
