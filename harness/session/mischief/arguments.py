"""Arguments that a tool's own inputSchema forbids, or just allows: made from it, and seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from harness.session.inputschema import (
    breaker,
    members,
    named_types,
    named_values,
    required_names,
)

HUGE_CHARACTERS: Final = 64 * 1024
CASES_MAX: Final = 1000
NESTING_MAX: Final = 4
CHANGES_MAX: Final = 3  # of one fuzzed case
OPTION_SHARE: Final = 0.3  # how often what a schema names itself is taken
UNKNOWN: Final = "squall_unknown"
# Of another type in every language: no tolerant reader turns these into what was asked for.
_OTHER: Final[dict[str, Any]] = {
    "string": {"squall": ["not", "a", "text"]},
    "integer": "not a number",
    "number": "not a number",
    "boolean": "perhaps",
    "array": 7,
    "object": 7,
}
_TEXTS: Final = (
    "", " ", "\x00", "\u202e", "Ω≈ç√", "🦑" * 64, "../../etc/passwd", "'; DROP TABLE x; --",
    "${nonce}", "%s%n", "\n\r\n", "NaN", "null", "x" * 4096, "{{7*7}}", "<b>", "\ud7ff\ue000",
)  # fmt: skip
_NUMBERS: Final = (0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, -0.0, 0.1, 1e308, -1e-308)
_ODDITIES: Final[tuple[Any, ...]] = (None, True, [], {}, "", 0, [[]], {"": {}}, [None, None])


@dataclass(frozen=True, kw_only=True, slots=True)
class Arguments:
    """One set of arguments for a tool, and what its schema makes of it."""

    variant: str
    place: str  # the argument that is odd; "" for all of them
    value: dict[str, Any] | None  # None leaves `arguments` out
    forbidden: bool  # no reader that honours the schema, however tolerant, may take it


def spoil(schema: Mapping[str, Any], valid: Mapping[str, Any]) -> tuple[Arguments, ...]:
    """Give every way in which a valid set of arguments is spoilt, in a fixed order.

    One thing is wrong in each. `forbidden` says that to accept it is wrong for sure: extra members,
    which many readers drop, and null or nothing for what may be left out, are not.
    """
    properties, required = members(schema), required_names(schema)
    cases: list[Arguments] = []
    for name in sorted(required):
        left = {key: value for key, value in valid.items() if key != name}
        cases.append(_case("missing", name, left, required=True))
    for name in sorted(properties):
        kinds = named_types(properties[name])
        if len(kinds) == 1 and kinds[0] in _OTHER:
            odd = {**valid, name: _OTHER[kinds[0]]}
            cases.append(_case("wrong-type", name, odd, required=True))
        cases.append(_case("null", name, {**valid, name: None}, required=name in required))
        huge, bounded = _huge(properties[name], kinds)
        if huge is not None:
            cases.append(_case("huge", name, {**valid, name: huge}, required=bounded))
    cases.append(_case("extra", UNKNOWN, {**valid, UNKNOWN: "x"}, required=False))
    cases.append(
        Arguments(variant="omitted", place="arguments", value=None, forbidden=bool(required))
    )
    breaks = breaker(schema)
    return tuple(
        Arguments(
            variant=case.variant,
            place=case.place,
            value=case.value,
            forbidden=case.forbidden and breaks(case.value or {}),
        )
        for case in cases
    )


def fuzz(
    schema: Mapping[str, Any], valid: Mapping[str, Any], *, seed: int, count: int
) -> tuple[Arguments, ...]:
    """Give `count` sets of arguments at and beyond the schema's edges; the same for one seed.

    About half of them are built from the schema, at the edges of what it allows; the rest are the
    valid ones with one to three odd changes.
    """
    draw = random.Random(seed)
    spoilt = spoil(schema, valid)
    breaks = breaker(schema)
    cases: list[Arguments] = []
    for number in range(min(count, CASES_MAX)):
        if number % 4 == 0:
            cases.append(spoilt[draw.randrange(len(spoilt))])
            continue
        if number % 2:
            value = _at_the_edges(schema, draw)
            variant, place = "edge", ""
        else:
            value = deepcopy(dict(valid))
            variant, place = "changed", _change(value, draw)
        certain = _lacks(schema, value) or _mistyped(schema, value)
        cases.append(
            Arguments(
                variant=variant, place=place, value=value, forbidden=certain and breaks(value)
            )
        )
    return tuple(cases)


def _case(variant: str, place: str, value: dict[str, Any], *, required: bool) -> Arguments:
    return Arguments(variant=variant, place=place, value=value, forbidden=required)


def _huge(schema: Mapping[str, Any], kinds: list[str]) -> tuple[Any, bool]:
    """A value over the schema's limit, and whether there is one; None where size means nothing."""
    if kinds == ["string"]:
        limit = schema.get("maxLength")
        if isinstance(limit, int):
            return ("x" * (limit + 1), True) if limit < HUGE_CHARACTERS else (None, False)
        return ("x" * HUGE_CHARACTERS, False) if "enum" not in schema else (None, False)
    if kinds in (["integer"], ["number"]):
        limit = schema.get("maximum", schema.get("exclusiveMaximum"))
        if isinstance(limit, int | float) and not isinstance(limit, bool):
            return (limit + 1, True)
        return (10**18, False)
    return (None, False)


def _lacks(schema: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return bool(required_names(schema) - value.keys())


def _mistyped(schema: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    """Whether some argument is of a kind that no tolerant reader takes for the right one."""
    for name, inner in members(schema).items():
        kinds = named_types(inner)
        if name not in value or len(kinds) != 1:
            continue
        given = value[name]
        if given == _OTHER.get(kinds[0]) and type(given) is type(_OTHER.get(kinds[0])):
            return True
        if name in required_names(schema) and given is None:
            return True
        if kinds[0] in {"string", "integer", "number"} and isinstance(given, dict):
            return True
    return False


# --- at the edges --------------------------------------------------------------------------------


def _at_the_edges(
    schema: Mapping[str, Any], draw: random.Random, *, depth: int = 0
) -> dict[str, Any]:
    required = required_names(schema)
    return {
        name: _value(inner, draw, depth=depth)
        for name, inner in members(schema).items()
        if name in required or draw.choice((True, False))
    }


def _value(schema: Mapping[str, Any], draw: random.Random, *, depth: int) -> Any:
    """One value that the schema allows or nearly so, at one of its edges where it has any."""
    options = named_values(schema)
    if options and draw.random() < OPTION_SHARE:
        return draw.choice(options)
    for word in ("anyOf", "oneOf"):
        branches = [one for one in schema.get(word, ()) if isinstance(one, dict)]
        if branches and depth < NESTING_MAX:
            return _value(draw.choice(branches), draw, depth=depth + 1)
    kind = draw.choice(named_types(schema) or ["string"])
    made: Any = None
    if kind in ("integer", "number"):
        made = draw.choice([*_edges(schema, "minimum", "maximum"), *_NUMBERS])
    elif kind == "boolean":
        made = draw.choice((True, False))
    elif kind == "array":
        made = list(_items(schema, draw, depth=depth))
    elif kind == "object":
        made = {} if depth >= NESTING_MAX else _at_the_edges(schema, draw, depth=depth + 1)
    elif kind != "null":
        made = _text(schema, draw)
    return made


def _edges(schema: Mapping[str, Any], *names: str) -> list[Any]:
    limits = [schema[name] for name in names if isinstance(schema.get(name), int | float)]
    return [edge for limit in limits for edge in (limit, limit - 1, limit + 1)]


def _items(schema: Mapping[str, Any], draw: random.Random, *, depth: int) -> Iterator[Any]:
    inner = schema.get("items")
    if depth >= NESTING_MAX or not isinstance(inner, dict):
        return
    for _ in range(draw.choice((0, 1, 2, 16))):
        yield _value(inner, draw, depth=depth + 1)


def _text(schema: Mapping[str, Any], draw: random.Random) -> str:
    longest = schema.get("maxLength")
    if isinstance(longest, int) and longest < HUGE_CHARACTERS and draw.random() < OPTION_SHARE:
        return "x" * (longest + draw.choice((0, 1)))
    return draw.choice(_TEXTS)


def _change(value: dict[str, Any], draw: random.Random) -> str:
    """Change one to three things about a set of arguments in place; which, in words."""
    changed: list[str] = []
    for _ in range(draw.randint(1, CHANGES_MAX)):
        name = draw.choice(sorted(value) or [UNKNOWN])
        changed.append(name)
        match draw.randrange(4):
            case 0:
                value.pop(name, None)
            case 1:
                value[name] = draw.choice(_ODDITIES)
            case 2:
                value[name] = draw.choice(_TEXTS)
            case _:
                value[name] = draw.choice(_NUMBERS)
    return ", ".join(dict.fromkeys(changed))
