"""What two runs have to share before their figures may be held together, and where they differ.

The target is what is compared, so it is no part of it; nor are limits, which only judge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.redaction import redact
from harness.scenario.records import Scenario

_FREE: Final = {"question", "seed", "era", "target", "limits", "abort", "observe"}
_GIB: Final = 1 << 30
_VALUE_MAX: Final = 60  # characters of a value that are kept to be shown
_PLACES_MAX: Final = 300
_DIGITS: Final = 12
_TOLD_MAX: Final = 6


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a run was of."""

    scenario: str  # its name
    seed: int
    era: str
    transport: str
    toxiproxy: str
    workers: int
    machine: Mapping[str, str]
    asked: Mapping[str, str]  # place in the scenario -> its value, as far as it is no default
    digest: str  # of all that was asked


def identify(scenario: Scenario, facts: Mapping[str, Any], *, era: str) -> Identity:
    """Say what a run was of, from its scenario and its facts."""
    document = scenario.model_dump(mode="json", by_alias=True, exclude=_FREE, exclude_defaults=True)
    if scenario.limits.recovery is not None:  # the score is held against it
        document["limits"] = {"recovery": scenario.limits.recovery}
    text = json.dumps(document, sort_keys=True)
    places = sorted(_places(document))[:_PLACES_MAX]
    return Identity(
        scenario=redact(str(facts.get("scenario", ""))),
        seed=scenario.seed,
        era=era,
        transport=str(facts.get("transport", "")),
        toxiproxy=str(_part(facts, "toxiproxy").get("kind", "")),
        workers=int(facts.get("workers", 0)),
        machine=_machine(_part(facts, "machine")),
        asked={place: redact(value)[:_VALUE_MAX] for place, value in places},
        digest=hashlib.sha256(text.encode()).hexdigest()[:_DIGITS],
    )


def differences(base: Identity, head: Identity) -> tuple[str, ...]:
    """Name what forbids a comparison, base first; nothing when there is nothing."""
    pairs = (
        ("seed", str(base.seed), str(head.seed)),
        ("era", base.era, head.era),
        ("transport", base.transport, head.transport),
        ("Toxiproxy", base.toxiproxy, head.toxiproxy),
        ("worker processes", str(base.workers), str(head.workers)),
    )
    told = [
        f"{name} {one or 'untold'} and {other or 'untold'}"
        for name, one, other in pairs
        if one != other
    ]
    told += _apart("machine", base.machine, head.machine)
    if base.digest != head.digest:
        where = _apart("scenario", base.asked, head.asked)
        told += where or [f"scenario {base.scenario} ({base.digest}) and ({head.digest})"]
    return tuple(told)


def _apart(what: str, base: Mapping[str, str], head: Mapping[str, str]) -> list[str]:
    """Name the places in which two mappings differ, the first few of many."""
    places = [
        place
        for place in dict.fromkeys((*base, *head))
        if base.get(place, "") != head.get(place, "")
    ]
    told = [
        f"{what}'s {place} {base.get(place, 'not given')} and {head.get(place, 'not given')}"
        for place in places[:_TOLD_MAX]
    ]
    if len(places) > _TOLD_MAX:
        told.append(f"and in {len(places) - _TOLD_MAX} more of the {what}'s places")
    return told


def _machine(machine: Mapping[str, Any]) -> dict[str, str]:
    """Tell a kind of machine: memory is rounded, for the kernel keeps some of it."""
    memory_bytes = machine.get("memory_bytes")
    kind = {name: str(machine.get(name, "")) for name in ("system", "architecture", "processors")}
    gib = round(memory_bytes / _GIB) if isinstance(memory_bytes, int) else ""
    return {**kind, "memory": f"{gib} GiB" if gib else ""}


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = facts.get(name)
    return part if isinstance(part, Mapping) else {}


def _places(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Walk a document: each leaf with where it is."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _places(part, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _places(part, f"{place}.{number}")
    else:
        yield place, json.dumps(value, ensure_ascii=False)
