"""Arguments that a tool's own inputSchema allows: few, plausible, and marked where text is free.

What is given is a template: `${nonce}` stands where a call's own mark goes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic_core import from_json

from harness.discovery import names
from harness.scenario import expressions
from harness.session.inputschema import (
    breaker,
    members,
    named_types,
    required_names,
)

NONCE: Final = "${nonce}"
_NONCE_CHARACTERS: Final = 17
SAMPLE: Final = "n0000000000000000"  # what a nonce looks like
_DEPTH_MAX: Final = 6
_TEXT_MAX: Final = 200
Style = Literal["marked", "plain"]
STYLES: Final[tuple[Style, ...]] = ("marked", "plain")


class NoGuessError(Exception):
    """Arguments that cannot be invented; the text says which, and why, for people."""

    argument = ""  # of the tool's own, the one that has to be given; "" where it is not known


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Arguments for one tool, as a template, and what is to be known about them."""

    arguments: dict[str, Any]
    marked: bool = False  # some of them hold the nonce
    references: tuple[str, ...] = ()  # of them, those that name what has to exist
    repeat_key: str = ""  # of them, the one by which a repeated call is known


@dataclass(kw_only=True)
class _Making:
    """One set of arguments while it is made."""

    root: Mapping[str, Any]
    style: Style
    writes: bool  # what it names need not be there yet
    marked: bool = False
    references: list[str] = field(default_factory=list)


def guess(
    schema: Mapping[str, Any], *, style: Style, given: Mapping[str, str], writes: bool = False
) -> Guess:
    """Make the least arguments that a schema asks for.

    `marked` puts the nonce into every free text, `plain` a word that suits its name. `given` are
    texts for arguments by their names; a tool that `writes` gets a key of its own
    for each call, where it takes one.

    Raises:
        NoGuessError: one of them cannot be invented, or what was invented breaks the schema.
    """
    making = _Making(root=schema, style=style, writes=writes)
    known, needed = members(schema), required_names(schema)
    arguments: dict[str, Any] = {}
    repeat_key = ""
    for name, inner in known.items():
        if name in given:
            arguments[name] = _read(given[name], _resolved(schema, inner))
            making.marked = making.marked or NONCE in given[name]
        elif writes and names.is_repeat_key(name):
            arguments[name], repeat_key, making.marked = NONCE, name, True
        elif name in needed:
            arguments[name] = _argument(making, name, inner)
        elif names.is_time(name) and _is_number(inner):
            arguments[name] = _number(inner, least=names.least(name))  # its default may be long
    for name in sorted(needed - known.keys()):
        if name not in given:
            raise _lacking(name, f"{name}: its schema does not say what it is")
        arguments[name] = given[name]
    _check(schema, arguments)
    return Guess(
        arguments=arguments,
        marked=making.marked,
        references=tuple(dict.fromkeys(making.references)),
        repeat_key=repeat_key,
    )


def _argument(making: _Making, name: str, schema: Mapping[str, Any]) -> Any:
    try:
        return _value(making, name, schema, 0)
    except NoGuessError as error:
        raise _lacking(name, str(error)) from None


def _lacking(argument: str, why: str) -> NoGuessError:
    error = NoGuessError(why)
    error.argument = argument
    return error


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    """Read a value that was given as text: as JSON, unless the argument is a text itself."""
    if _kind(schema) == "string":
        return text
    try:
        return from_json(text)
    except ValueError:
        return text


def fill(template: dict[str, Any], values: Mapping[str, object]) -> dict[str, Any]:
    """Give a template's value for one call."""
    filled = expressions.compile(template).render(values)
    assert isinstance(filled, dict)
    return filled


def escaped(text: str) -> str:
    """Write a plain text so that a template means exactly it."""
    return text.replace("${", "$${")


def breaks(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether filled arguments break the schema."""
    return breaker(schema)(arguments)


def _check(schema: Mapping[str, Any], arguments: dict[str, Any]) -> None:
    try:
        broken = breaks(schema, fill(arguments, {"nonce": SAMPLE}))
    except (UnicodeError, expressions.ExpressionError, KeyError) as error:
        why = "holds what cannot be sent as text" if isinstance(error, UnicodeError) else str(error)
        raise NoGuessError(f"{_listed(arguments)}: its value {why}") from None
    if broken:
        raise NoGuessError(f"what was made up for {_listed(arguments)} does not meet its schema")


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(arguments) or "no arguments"


def _value(making: _Making, name: str, schema: Mapping[str, Any], depth: int) -> Any:
    """Make one value; `name` is the argument's, and tells what its type does not."""
    schema = _resolved(making.root, schema)
    if depth > _DEPTH_MAX:
        raise NoGuessError(f"{name}: its schema is nested too deeply")
    if names.is_secret(name) and "string" in (named_types(schema) or ["string"]):
        raise NoGuessError(f"{name}: it looks like a secret, which no file may hold")
    for word in ("const", "default"):
        if word in schema and not _may_mark(making, name, schema):
            return _plain(schema[word])
    listed = schema.get("enum")
    if isinstance(listed, list) and listed:
        harmless = [one for one in listed if names.flat(str(one)) not in names.HARMFUL]
        return _plain((harmless or listed)[0])
    match _kind(schema):
        case "integer" | "number":
            made: Any = _number(schema, least=names.least(name))
        case "boolean" | "null" as kind:
            made = False if kind == "boolean" else None
        case "array":
            made = _items(making, name, schema, depth)
        case "object":
            made = _object(making, name, schema, depth)
        case _:
            made = _text(making, name, schema)
    return made


def _resolved(root: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Follow references inside the schema, and take the first choice that is not null."""
    found: dict[str, Any] = dict(schema)
    for _ in range(_DEPTH_MAX):
        place = found.get("$ref")
        if isinstance(place, str):
            found = {**_at(root, place), **{k: v for k, v in found.items() if k != "$ref"}}
            continue
        merged = _schemas(found.get("allOf"))
        if merged and "type" not in found:
            found = {**found, **merged[0], "allOf": merged[1:]}
            continue
        choices = [*_schemas(found.get("anyOf")), *_schemas(found.get("oneOf"))]
        branches = [one for one in choices if one.get("type") != "null"]
        if branches and "type" not in found:
            rest = {k: v for k, v in found.items() if k not in {"anyOf", "oneOf"}}
            if rest.get("default", 0) is None:
                del rest["default"]
            found = {**rest, **branches[0]}
            continue
        break
    return found


def _schemas(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _at(root: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Give the schema that a local `$ref` names; an empty one where it leads nowhere."""
    found: Any = root
    if not place.startswith("#/"):
        return {}
    for step in place[2:].split("/"):
        step = step.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901  as RFC 6901 has it
        found = found.get(step) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _kind(schema: Mapping[str, Any]) -> str:
    kinds = [kind for kind in named_types(schema) if kind != "null"]
    if kinds:
        return kinds[0]
    if named_types(schema):
        return "null"
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _is_number(schema: Mapping[str, Any]) -> bool:
    return _kind(schema) in {"integer", "number"}


def _number(schema: Mapping[str, Any], *, least: float) -> Any:
    """Give the smallest sensible number: `least`, or the nearest that the schema allows."""
    whole = _kind(schema) == "integer"
    examples = schema.get("examples")
    first = _figure(examples[0]) if isinstance(examples, list) and examples else None
    if first is not None:
        return int(first) if whole else first
    low, high = _bound(schema, "minimum", 1, whole), _bound(schema, "maximum", -1, whole)
    value = float(math.ceil(least)) if whole else least
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    step = _figure(schema.get("multipleOf"))
    if step is not None and step > 0 and value % step:
        value = (value // step + 1) * step
    return int(value) if whole or value == int(value) else value


def _bound(schema: Mapping[str, Any], name: str, sign: int, whole: bool) -> float | None:
    strict = _figure(schema.get(f"exclusive{name.title()}"))
    if strict is not None:
        return strict + sign * (1 if whole else 0.5)
    return _figure(schema.get(name))


def _figure(value: object) -> float | None:
    """Give a number that can be counted with; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _items(making: _Making, name: str, schema: Mapping[str, Any], depth: int) -> list[Any]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = least if isinstance(least, int) and least > 0 else 1
    if isinstance(most, int) and most < count:
        count = max(most, 0)
    if count > 10:  # noqa: PLR2004  what is asked for in bulk is not plausible made up
        raise NoGuessError(f"{name}: it wants at least {count} items")
    first = schema.get("prefixItems")
    inner = first[0] if isinstance(first, list) and first else schema.get("items")
    one = inner if isinstance(inner, dict) else {}
    singular = name.removesuffix("s") or name
    return [_value(making, singular, one, depth + 1) for _ in range(count)]


def _object(making: _Making, name: str, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    known, needed = members(schema), required_names(schema)
    lost = sorted(needed - known.keys())
    if lost:
        raise NoGuessError(f"{name}.{lost[0]}: its schema does not say what it is")
    return {
        each: _value(making, each, inner, depth + 1)
        for each, inner in known.items()
        if each in needed
    }


def _may_mark(making: _Making, name: str, schema: Mapping[str, Any]) -> bool:
    if making.style != "marked" or _kind(schema) != "string":
        return False
    if names.is_reference(name) and not making.writes:
        return False
    longest = schema.get("maxLength")
    fits = not isinstance(longest, int) or longest >= _NONCE_CHARACTERS
    return fits and names.takes_any_text(name, dict(schema))


def _text(making: _Making, name: str, schema: Mapping[str, Any]) -> str:
    if names.is_reference(name):
        making.references.append(name)
    if _may_mark(making, name, schema):
        making.marked = True
        return _stretched(NONCE, _NONCE_CHARACTERS, schema)
    examples = schema.get("examples")
    if isinstance(examples, list) and examples and isinstance(examples[0], str):
        return escaped(examples[0])
    suited = names.text_for(name, dict(schema))
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        return _matching(name, pattern, schema, suited)
    text = suited or "squall"
    longest = schema.get("maxLength")
    if isinstance(longest, int) and longest < len(text):
        text = text[:longest]
    return _stretched(escaped(text), len(text), schema)


def _stretched(text: str, characters: int, schema: Mapping[str, Any]) -> str:
    least = schema.get("minLength")
    missing = least - characters if isinstance(least, int) else 0
    return text + "x" * min(max(missing, 0), _TEXT_MAX)


def _matching(name: str, pattern: str, schema: Mapping[str, Any], suited: str | None) -> str:
    check = breaker({"type": "object", "properties": {"it": dict(schema)}})
    for sample in (*((suited,) if suited else ()), *names.SAMPLES):
        if not check({"it": sample}):
            return escaped(sample)
    shown = re.sub(r"[\x00-\x1f\x7f]", "", pattern)[:60]
    raise NoGuessError(f"{name}: nothing was found that matches {shown}")


def _plain(value: Any) -> Any:
    """Give a schema's own value as a template that means exactly it."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {str(key): _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    return deepcopy(value)
