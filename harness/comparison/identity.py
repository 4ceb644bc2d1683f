"""What two runs have to share before their figures may be held together, and where they differ.

The target is what is compared, so it is no part of it; nor are limits, which only judge.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from harness.comparison.keys import DEFAULT, keys
from harness.redaction import redact
from harness.scenario.records import Scenario

_FREE: Final = {"question", "seed", "era", "target", "limits", "abort", "observe"}
_GIB: Final = 1 << 30
_KINDS: Final = ("dependencies", "faults")  # the digest does not know of which kind they are
_DIGITS: Final = 12
_TOLD_MAX: Final = 8
_ABSENT: Final = "left out"


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
    digest: str  # of all that was asked
    given: Mapping[str, str] | None  # key path in the file -> value; None: an older baseline file


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing in which two runs differ; None: it is left out there."""

    place: str
    base: str | None
    head: str | None
    more: str = ""  # what there is to say beside it

    @property
    def told(self) -> str:
        """Say it in a line."""
        base, head = (_ABSENT if one is None else one for one in (self.base, self.head))
        words = f"{self.place}: {base}, then {head}"
        return f"{words}; {self.more}" if self.more else words


def identify(scenario: Scenario, facts: Mapping[str, Any], *, era: str) -> Identity:
    """Say what a run was of, from its scenario and its facts."""
    document = scenario.model_dump(mode="json", by_alias=True, exclude=_FREE, exclude_defaults=True)
    if scenario.limits.recovery is not None:  # the score is held against it
        document["limits"] = {"recovery": scenario.limits.recovery}
    text = json.dumps(document, sort_keys=True)
    given = keys(scenario, free=_FREE)
    if scenario.limits.recovery is not None:
        given["limits.recovery"] = scenario.limits.recovery
    return Identity(
        scenario=redact(str(facts.get("scenario", ""))),
        seed=scenario.seed,
        era=era,
        transport=str(facts.get("transport", "")),
        toxiproxy=str(_part(facts, "toxiproxy").get("kind", "")),
        workers=int(facts.get("workers", 0)),
        machine=_machine(_part(facts, "machine")),
        digest=hashlib.sha256(text.encode()).hexdigest()[:_DIGITS],
        given=given,
    )


def differences(base: Identity, head: Identity) -> tuple[Difference, ...]:
    """Name what forbids a comparison; nothing when there is nothing."""
    pairs = (
        ("seed", str(base.seed), str(head.seed)),
        ("era", base.era, head.era),
        ("transport", base.transport, head.transport),
        ("Toxiproxy", base.toxiproxy, head.toxiproxy),
        ("worker processes", str(base.workers), str(head.workers)),
        *(
            (f"machine's {name}", base.machine.get(name, ""), head.machine.get(name, ""))
            for name in dict.fromkeys((*base.machine, *head.machine))
        ),
    )
    told = [
        Difference(place=place, base=one or "untold", head=other or "untold")
        for place, one, other in pairs
        if one != other
    ]
    return (*told, *_asked(base, head))


def _asked(base: Identity, head: Identity) -> list[Difference]:
    """Name where the scenarios differ, the first few of many."""
    same = base.digest == head.digest
    if base.given is None or head.given is None:
        return [] if same else [_whole(base, head, _OLDER)]
    apart = _apart(base.given, head.given)
    if same:
        return [one for one in apart if one.place in _KINDS]
    told = apart[:_TOLD_MAX]
    if base.scenario != head.scenario:
        told.insert(0, Difference(place="scenario", base=base.scenario, head=head.scenario))
    if not apart:
        return [_whole(base, head, "they differ where no key was kept")]
    if len(apart) > _TOLD_MAX:
        last = told.pop()
        more = f"and {len(apart) - _TOLD_MAX} more of the scenario's keys differ"
        told.append(replace(last, more=more))
    return told


_OLDER: Final = (
    "a baseline file of an older squall does not hold the scenario's keys, so none can be named: "
    "save it again with squall baseline save"
)


def _whole(base: Identity, head: Identity, more: str) -> Difference:
    one, other = (f"{of.scenario or 'untold'} ({of.digest})" for of in (base, head))
    return Difference(place="scenario", base=one, head=other, more=more)


def _apart(base: Mapping[str, str], head: Mapping[str, str]) -> list[Difference]:
    """Name the keys whose values differ, but none of what only one side has as a whole."""
    apart = {
        place: Difference(place=place, base=base.get(place), head=head.get(place))
        for place in dict.fromkeys((*base, *head))
        if base.get(place) != head.get(place) and not _same(base.get(place), head.get(place))
    }
    stems = [{stem for place in side for stem in _stems(place)} for side in (base, head)]

    def lone(place: str) -> bool:
        """Whether it belongs to something that one side lacks, and that is told already."""
        above = _stems(place)
        lacking = any(above and above[-1] not in side for side in stems)
        return lacking and any(stem in apart for stem in above)

    return [one for place, one in apart.items() if not lone(place)]


def _same(base: str | None, head: str | None) -> bool:
    """Whether one side says what the other leaves to its default."""
    told = [one for one in (base, head) if one is not None]
    return len(told) == 1 and told[0].endswith(DEFAULT)


def _stems(place: str) -> list[str]:
    """Give the key paths above one, the longest last."""
    parts = place.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _machine(machine: Mapping[str, Any]) -> dict[str, str]:
    """Tell a kind of machine: memory is rounded, for the kernel keeps some of it."""
    memory_bytes = machine.get("memory_bytes")
    kind = {name: str(machine.get(name, "")) for name in ("system", "architecture", "processors")}
    gib = round(memory_bytes / _GIB) if isinstance(memory_bytes, int) else ""
    return {**kind, "memory": f"{gib} GiB" if gib else ""}


def _part(facts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = facts.get(name)
    return part if isinstance(part, Mapping) else {}
