"""What a request asks for: a proxy, a toxic, other settings for one; checked, and nothing done."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from faults.toxiproxy.control.bodies import BodyError, Kind, Members, decode, fields, numbers
from faults.toxiproxy.control.leases import LEASE_MS_MAX
from faults.toxiproxy.path.stage import Toxic
from faults.toxiproxy.path.toxics import ADDITIONS, ATTRIBUTES, objection

Given = Mapping[str, object]

PROXY: Final[Mapping[str, Kind]] = {
    "name": "string",
    "listen": "string",
    "upstream": "string",
    "enabled": "bool",
    "logger": "object",  # the original shows it, so it reads it too
}
TOXIC: Final[Mapping[str, Kind]] = {
    "name": "string",
    "type": "string",
    "stream": "string",
    "toxicity": "float32",
    "attributes": "object",
}
SETTINGS: Final[Mapping[str, Kind]] = {"toxicity": "float32", "attributes": "object"}
LEASE: Final[Mapping[str, Kind]] = {"lease_ms": "int"}


class ApiError(Exception):
    """An answer that is not a success: its status, and the text under `error`."""

    def __init__(self, status: int, text: str) -> None:
        """Carry what the body shows."""
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What may change of a toxic."""

    toxicity: float
    attributes: dict[str, int]
    fractions: dict[str, float]

    def apply(self, toxic: Toxic) -> None:
        """Give a toxic these settings."""
        toxic.toxicity = self.toxicity
        toxic.attributes.update(self.attributes)
        toxic.fractions.update(self.fractions)


def read(body: bytes, kinds: Mapping[str, Kind]) -> dict[str, object]:
    """The fields of a request's body.

    Raises:
        ApiError: 400.
    """
    try:
        return fields(decode(body), kinds)
    except BodyError as error:
        raise ApiError(400, f"bad request body: {error}") from None


def text(given: Given, name: str, default: str = "") -> str:
    """A field that holds text."""
    value = given.get(name, default)
    assert isinstance(value, str)
    return value


def require(given: Given, *names: str, where: str = "") -> None:
    """See to it that the named fields hold something.

    Raises:
        ApiError: 400, naming the first that does not.
    """
    for name in names:
        if not text(given, name):
            raise ApiError(400, f"missing required field: {name}{where}")


def new_toxic(given: Given, taken: Container[str], *, additions: bool = False) -> Toxic:
    """The toxic that is asked for; types of our own only where `additions` are.

    Raises:
        ApiError: 400 or 409, in the original's order of checks.
    """
    stream = text(given, "stream", "downstream")
    if stream.lower() not in {"upstream", "downstream"}:
        raise ApiError(400, "stream was invalid, can be either upstream or downstream")
    kind = text(given, "type")
    name = text(given, "name") or f"{kind}_{stream}"
    if kind not in ATTRIBUTES or (kind in ADDITIONS and not additions):
        raise ApiError(400, "invalid toxic type")
    if name in taken:
        raise ApiError(409, "toxic already exists")
    kinds = ATTRIBUTES[kind]
    unset = Settings(
        toxicity=1.0,
        attributes={key: 0 for key, held in kinds.items() if held == "int"},
        fractions={key: 0.0 for key, held in kinds.items() if held != "int"},
    )
    found = new_settings(kind, unset, given)
    return Toxic(
        name=name,
        type=kind,
        stream=stream,
        upstream=stream.lower() == "upstream",
        toxicity=found.toxicity,
        attributes=found.attributes,
        fractions=found.fractions,
    )


def settings(toxic: Toxic) -> Settings:
    """What a toxic is set to."""
    return Settings(
        toxicity=toxic.toxicity,
        attributes=dict(toxic.attributes),
        fractions=dict(toxic.fractions),
    )


def new_settings(kind: str, old: Settings, given: Given) -> Settings:
    """The settings after a partial change; impossible ones are refused, not died of.

    Raises:
        ApiError: 400.
    """
    kinds = ATTRIBUTES[kind]
    held = given.get("attributes")
    assert held is None or isinstance(held, Members)
    try:
        found = numbers(held, kinds)
    except BodyError as error:
        raise ApiError(400, f"bad request body: {error}") from None
    attributes = old.attributes | {
        name: int(value) for name, value in found.items() if kinds[name] == "int"
    }
    fractions = old.fractions | {
        name: float(value) for name, value in found.items() if kinds[name] != "int"
    }
    reason = objection(kind, attributes)
    if reason is not None:
        raise ApiError(400, f"bad request body: {reason}")
    toxicity = given.get("toxicity", old.toxicity)
    assert isinstance(toxicity, int | float)
    return Settings(toxicity=float(toxicity), attributes=attributes, fractions=fractions)


def lease_ms(given: Given, name: str = "lease_ms") -> int | None:
    """For how long something is to live, in milliseconds; None where nothing is said.

    Raises:
        ApiError: 400.
    """
    ttl_ms = given.get(name)
    if ttl_ms is None:
        return None
    if not isinstance(ttl_ms, int) or not 0 <= ttl_ms <= LEASE_MS_MAX:
        raise ApiError(400, f"bad request body: {name} must be in 0..{LEASE_MS_MAX}")
    return ttl_ms
