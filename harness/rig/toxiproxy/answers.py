"""What a Toxiproxy server says, and what it can be asked: names, numbers, refusals, counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import httpx

from harness.errors import RigError


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What a toxic, or a whole proxy, has touched."""

    connections: int
    bytes: int
    hits: int  # pieces of data touched, and closings caused
    open: int  # of the proxy's connections, now
    # "injector": the server's own counters. "proxy": the server keeps none that can be read while
    # connections are open; all figures are then 0 and mean nothing.
    source: Literal["injector", "proxy"]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A proxy of the server, ours or not."""

    listen: str
    upstream: str
    enabled: bool


class Refused(Exception):  # noqa: N818 - an answer, not yet an error of ours
    """The server answered with a status from 400 up."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class RefusalError(RigError):
    """The server answered, and the answer was no."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def sentence(body: str) -> str:
    """The `error` field of a Toxiproxy answer, or the beginning of whatever came instead."""
    try:
        said = httpx.Response(200, text=body).json()["error"]
    except (ValueError, KeyError, TypeError):
        said = body.strip()
    return str(said)[:300]


def check_name(name: str) -> None:
    """Refuse names that the API's paths cannot carry."""
    if not name or not all(letter.isalnum() or letter in "-_." for letter in name):
        raise RigError(f"{name!r} cannot name a proxy or toxic: use letters, digits, - _ and .")


def check_integers(name: str, attributes: Mapping[str, int]) -> None:
    """Refuse what the original would refuse with a riddle: 100.0 is no integer to it."""
    for key, value in attributes.items():
        if type(value) is not int:
            raise RigError(f"toxic {name}: {key} must be an int, got {value!r}")


def read_exposure(answer: Any, proxy: str, toxic: str | None) -> Exposure:
    """One proxy's counts, or one toxic's, out of what `/squall/exposure` answered.

    Raises:
        RigError: it counts nothing for them.
    """
    try:
        counts = answer["proxies"][proxy]
        open_now = int(counts["open"])
        if toxic is None:
            size_bytes = counts["upstream_bytes"] + counts["downstream_bytes"]
            hits = counts["closed_by_disable"]
        else:
            counts = counts["toxics"][toxic]
            size_bytes, hits = counts["bytes"], counts["hits"]
        return Exposure(
            connections=int(counts["connections"]),
            bytes=int(size_bytes),
            hits=int(hits),
            open=open_now,
            source="injector",
        )
    except (KeyError, TypeError, ValueError):
        name = proxy if toxic is None else f"{proxy}/{toxic}"
        raise RigError(f"Toxiproxy counts nothing for {name}") from None


def read_listen(answer: httpx.Response) -> str:
    """Where a proxy listens that `/squall/changes` has just made.

    Raises:
        RigError: the answer does not say.
    """
    try:
        return str(answer.json()[0]["listen"])
    except (ValueError, KeyError, TypeError, IndexError):
        raise RigError(f"Toxiproxy does not say where it listens: {answer.text[:200]}") from None


def read_version(answer: httpx.Response) -> str:
    """2.x gives an object, older servers bare text."""
    try:
        return str(answer.json()["version"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:40] or "unknown"
