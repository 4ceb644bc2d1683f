"""Pydantic's refusals in the words that a scenario's author needs: expected, came, mend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from faults.quantities import DURATION_UNITS_S, SIZE_UNITS_BYTES
from harness.scenario import units
from harness.scenario.mistakes import nearest, shown

_KINDS: Final = {
    "string": ("text", "quote it"),
    "int": ("a whole number", "write it without quotes, point or unit"),
    "bool": ("true or false", "write true or false without quotes"),
    "dict": ("a mapping", "write keys and values"),
    "mapping": ("a mapping", "write keys and values"),
    "model": ("a mapping", "write keys and values"),
    "tuple": ("a list", "write [one, two], or one dash a line"),
    "list": ("a list", "write [one, two], or one dash a line"),
}
# How people spell units that have one spelling here; read without regard to capitals.
_SPELLINGS: Final = {
    **{name.lower(): name for name in SIZE_UNITS_BYTES},
    **{name: name for name in DURATION_UNITS_S},
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("msec", "millis", "milliseconds"), "ms"),
    **dict.fromkeys(("hour", "hours"), "h"),
    "k": "KiB",
}


class Words(NamedTuple):
    """The three parts of a mistake that are for reading."""

    expected: str
    came: str
    mend: str


def word(error: ErrorDetails, record: type[BaseModel], given: object) -> Words:
    """Put one refusal into words; `given` is the value as it stands in the file."""
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx") or {}
    came = shown(given)
    key = error["loc"][-1] if error["loc"] else ""
    match kind:
        case "quantity":
            expected, mend = str(context["expected"]), str(context["mend"])
            return Words(expected, came, _unit_mend(error["input"]) or mend)
        case "missing":
            return Words(f"the key {key}", "nothing", f"add {key}: {_described(record, key)}")
        case "extra_forbidden":
            known = keys_at(record, error["loc"][:-1])
            came = f"{key}" or "an empty one"
            return Words("a known key", came, nearest(key, known, what="known keys"))
        case "literal_error":
            choices = _choices(str(context["expected"]))
            return Words(
                f"one of {', '.join(choices)}",
                came,
                nearest(error["input"], choices, what="one of"),
            )
        case "string_type" if isinstance(given, int | float) and (like := _example(record, error)):
            return Words("text", came, f'write for example "{like}"')
    return _plain(error, given)


def _example(record: type[BaseModel], error: ErrorDetails) -> str:
    """Give how the field that was refused is written; "" where its record does not say."""
    fields = dict(_fields(_record_at(record, error["loc"][:-1])))
    field = fields.get(str(error["loc"][-1])) if error["loc"] else None
    return str(field.examples[0]) if field is not None and field.examples else ""


def _plain(error: ErrorDetails, given: object) -> Words:
    """Word the refusals that need no knowledge of the record."""
    came = shown(given)
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx") or {}
    if kind == "string_pattern_mismatch":
        mend = "begin with a letter, as in researcher"
        return Words("a name of small letters, digits, - and _", came, mend)
    if kind in {"too_short", "too_long", "string_too_short"}:
        return _length(kind, context, came)
    if "_than" in kind:
        return _bound(kind, context, given)
    expected, mend = _KINDS.get(kind.partition("_")[0], (error["msg"], "see squall schema"))
    return Words(expected, came, mend)


def keys_at(record: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[str, ...]:
    """List the keys that a file may use at a place inside a record."""
    return tuple(name for name, _ in _fields(_record_at(record, loc)))


def _record_at(record: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel]:
    for part in loc:
        if isinstance(part, str):
            field = dict(_fields(record)).get(part)
            record = next(_records(field.annotation), record) if field is not None else record
    return record


def _fields(record: type[BaseModel]) -> Iterator[tuple[str, Any]]:
    for name, field in record.model_fields.items():
        yield field.alias or name, field


def _records(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _records(argument)


def _described(record: type[BaseModel], key: str | int) -> str:
    field = dict(_fields(record)).get(str(key))
    return (field.description if field is not None else None) or "and its value"


def _choices(expected: str) -> list[str]:
    return [each.strip().strip("'") for each in expected.replace(" or ", ", ").split(",")]


def _length(kind: str, context: dict[str, Any], came: str) -> Words:
    if kind == "string_too_short":
        least = context.get("min_length")
        return Words(f"text of at least {least} characters", came, "say it in words")
    if kind == "too_short":
        return Words(f"at least {context.get('min_length')} entries", came, "add what is missing")
    return Words(f"at most {context.get('max_length')} entries", came, "split it in two")


def _bound(kind: str, context: dict[str, Any], given: object) -> Words:
    bound = context.get("ge", context.get("gt", context.get("le", context.get("lt"))))
    if isinstance(given, str) and isinstance(bound, int | float):
        bound = units.size(round(bound)) if given.endswith("B") else units.duration(bound)
    edge = "" if kind.endswith("equal") else ", that itself not included"
    relation, way = ("at least", "larger") if kind.startswith("greater") else ("at most", "smaller")
    came = given if isinstance(given, str) else shown(given)
    return Words(f"{relation} {bound}{edge}", came, f"write a {way} value")


def _unit_mend(value: object) -> str:
    """Guess the unit that was meant: `10 sec` is 10s, `5mb` is 5MB."""
    if not isinstance(value, str):
        return ""
    number = value.strip().rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
    unit = value.strip()[len(number) :].strip()
    meant = _SPELLINGS.get(unit.lower())
    if not meant or not number.replace(".", "", 1).isdigit() or f"{number}{meant}" == value:
        return ""
    return f"did you mean {number}{meant}?"
