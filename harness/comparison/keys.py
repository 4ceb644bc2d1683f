"""A scenario in its author's words: each key path of its file, and the value as a file writes it.

Agents, faults, dependencies and steps are named, not numbered, so that one more of them does not
shift the others: `agents.researcher.pace`, `agents.researcher.steps.search.with.query`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from faults import quantities
from harness.redaction import redact
from harness.scenario import units
from harness.scenario.decode import LISTINGS, SUBSCRIPTIONS
from harness.scenario.dependencies import KINDS
from harness.scenario.document import resolve
from harness.scenario.records import (
    CallStep,
    ListStep,
    ParallelStep,
    PromptStep,
    ReadStep,
    Scenario,
    SubscribeStep,
)
from harness.scenario.window import Window

PLACES_MAX: Final = 300
VALUE_CHARACTERS_MAX: Final = 60
LIST_CHARACTERS_MAX: Final = 160  # of the names of agents, steps or faults
NAME_CHARACTERS_MAX: Final = 40
PLACE_CHARACTERS_MAX: Final = 120
DEFAULT: Final = " (default)"
_WRITERS: Final[Mapping[object, Callable[[Any], str]]] = {
    quantities.parse_duration_s: units.duration,
    quantities.parse_size_bytes: units.size,
    quantities.parse_share: units.share,
    quantities.parse_pace_s: units.pace,
    quantities.parse_bytes_per_s: units.bandwidth,
}
_WORDS: Final = {method: word for word, method in (LISTINGS | SUBSCRIPTIONS).items()}
_HEADS: Final = {"method", "call", "read", "prompt"}  # what a step is named by
_MARK: Final = 4

Place = tuple[str, str]  # the key path, and the value there
_Named = tuple[str, BaseModel]


def keys(scenario: Scenario, *, free: Iterable[str] = ()) -> dict[str, str]:
    """Give the value of each key path, the outermost first, 300 at most, without `free` ones.

    What a file leaves out has its default, and says so. Credentials are taken out.
    """
    found = sorted(_record(scenario, "", skip=set(free)), key=lambda one: one[0].count("."))
    return {
        _short(redact(place), PLACE_CHARACTERS_MAX): redact(value)
        for place, value in found[:PLACES_MAX]
    }


def _record(
    record: BaseModel, place: str, *, skip: Iterable[str] = (), sparse: bool = False
) -> Iterator[Place]:
    """Walk a record; with `sparse` only what is no default is told of it."""
    for name, field in type(record).model_fields.items():
        if name in skip:
            continue
        value = getattr(record, name)
        default = not field.is_required() and value == field.get_default(call_default_factory=True)
        if default and (sparse or value in (None, "", ()) or value == {}):
            continue
        key = field.alias or name
        where = _beneath(place, key)
        if isinstance(value, BaseModel):
            if field.default is None:
                yield where, "given"
            yield from _record(value, where, sparse=sparse)
            continue
        for beneath, said in _value(value, where, field):
            yield beneath, said + DEFAULT if default else said


def _value(value: object, place: str, field: FieldInfo) -> Iterator[Place]:
    named = _named(value)
    if named is not None:
        names = ", ".join(_of_kind(name, one) for name, one in named)
        yield place, f"[{_short(names, LIST_CHARACTERS_MAX)}]"
        for name, one in named:
            yield from _item(one, _beneath(place, name))
    elif isinstance(value, Mapping):
        for key, member in value.items():
            yield from _plain(member, _beneath(place, str(key)))
    else:
        write = _writer(field)
        yield place, write(value) if write is not None else _short(redact(_flow(value)))


def _named(value: object) -> list[_Named] | None:
    """Give each member of a list or mapping of records its name; those alike are counted."""
    if isinstance(value, Mapping) and value and isinstance(next(iter(value.values())), BaseModel):
        return list(value.items())
    if not isinstance(value, tuple) or not value or not isinstance(value[0], BaseModel):
        return None
    seen: dict[str, int] = {}
    told: list[_Named] = []
    for one in value:
        name = _name(one)
        seen[name] = seen.get(name, 0) + 1
        told.append((name if seen[name] == 1 else f"{name}#{seen[name]}", one))
    return told


def _name(one: BaseModel) -> str:
    match one:
        case Window():
            return one.fault.kind
        case CallStep():
            name = one.call
        case ReadStep():
            name = f"read {one.read}"
        case PromptStep():
            name = f"prompt {one.prompt}"
        case SubscribeStep():
            name = f"{_WORDS[one.method]} {one.uri}"
        case ListStep():
            name = _WORDS[one.method]
        case ParallelStep():
            name = "parallel"
        case _:
            name = str(getattr(one, "name", type(one).__name__))
    return _short(name, NAME_CHARACTERS_MAX)


def _of_kind(name: str, one: BaseModel) -> str:
    """Name a member, and of which kind it is where its name does not say so."""
    kind = next((kind for kind, record in KINDS.items() if isinstance(one, record)), "")
    return f"{name}: {kind}" if kind else name


def _item(one: BaseModel, place: str) -> Iterator[Place]:
    match one:
        case Window():
            yield from _record(one.fault, place)
            yield from _record(one, place, skip={"fault"})
        case ParallelStep():
            yield from _record(one, place)
        case CallStep() | ReadStep() | PromptStep() | SubscribeStep() | ListStep():
            yield from _record(one, place, skip={*_HEADS, "uri"}, sparse=True)
        case _:
            yield from _record(one, place, skip={"name"})


def _plain(value: object, place: str) -> Iterator[Place]:
    """Walk what JSON can say: an argument, or an expected value."""
    if isinstance(value, Mapping) and value:
        for key, member in value.items():
            yield from _plain(member, _beneath(place, str(key)))
    else:
        yield place, _short(redact(_flow(value)))


def _writer(field: FieldInfo) -> Callable[[Any], str] | None:
    """Give what writes a quantity of this field with its unit; None where it is none."""
    pending: list[object] = [*field.metadata, field.annotation]
    while pending:
        part = pending.pop()
        if isinstance(part, BeforeValidator):
            write = _WRITERS.get(part.func)
            if write is not None:
                return write
        pending += [*get_args(part), *getattr(part, "__metadata__", ())]
    return None


def _flow(value: object) -> str:
    """Write a value as one line of a file."""
    if isinstance(value, str):
        bare = value == value.strip() and value.isprintable() and resolve(value) == value
        return value if bare and value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_flow(member) for member in value)}]"
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", by_alias=True)
    return json.dumps(value, ensure_ascii=False)


def _short(text: str, most: int = VALUE_CHARACTERS_MAX) -> str:
    """Cut a long text, with a mark that another has not, for both may begin alike."""
    if len(text) <= most:
        return text
    mark = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_MARK]
    return f"{text[: most - _MARK - 3]}… #{mark}"


def _beneath(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
