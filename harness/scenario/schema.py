"""The JSON Schema of scenario files (draft 2020-12), for editors: files as they are written.

Most of it is what the records say of themselves. Where a file is written otherwise than its record
is built (steps, fault windows, targets, defaults with their units) this module says how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from faults.catalogue import CATALOGUE
from faults.fault import Fault
from faults.quantities import Bandwidth, Duration, Pace, Share, Size
from harness.scenario import units
from harness.scenario.decode import LISTINGS, SUBSCRIPTIONS, WINDOW_KEYS
from harness.scenario.records import FLAWS, HARDENED, ListStep, Scenario

Schema = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DEFS: Final = "#/$defs/"
# A quantity's schema is known by its pattern; its default has to be written with the unit again.
_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    TypeAdapter(quantity).json_schema()["pattern"]: write
    for quantity, write in (
        (Duration, units.duration),
        (Size, units.size),
        (Share, units.share),
        (Pace, units.pace),
        (Bandwidth, units.bandwidth),
    )
}
_NUMERIC: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def json_schema() -> Schema:
    """Give the schema of a scenario file, as `squall schema` prints it."""
    parts: tuple[type[BaseModel], ...] = (Scenario, *CATALOGUE.values())
    _, schema = models_json_schema(
        [(part, "validation") for part in parts], ref_template=f"{_DEFS}{{model}}"
    )
    defs: Schema = _written(schema["$defs"])
    defs["Window"] = _window(defs["Window"])
    singles = [_bare_step(), *_refs("CallStep", "ReadStep", "PromptStep"), _listing(defs)]
    singles.append(_subscription(defs))
    defs["SingleStep"] = {"anyOf": singles}
    defs["Step"] = {"anyOf": [*singles, _ref("ParallelStep")]}
    defs["ParallelStep"]["properties"]["parallel"]["items"] = _ref("SingleStep")
    defs["Agent"]["properties"]["steps"]["items"] = _ref("Step")
    defs["ReferenceTarget"]["properties"]["reference"] = _reference()
    statuses = defs["Client"]["properties"]["reinitialize_on"]["items"]
    defs["Client"]["properties"]["reinitialize_on"]["items"] = {
        "enum": [*statuses["enum"], *map(int, statuses["enum"])]
    }
    del defs["ListStep"]
    del defs["SubscribeStep"]
    answers = defs["Answers"]["properties"]
    answers["sampling"]["anyOf"].insert(0, {"const": "refuse"})
    actions = defs["Elicitation"]["properties"]["action"]["enum"]
    answers["elicitation"]["anyOf"].insert(0, {"enum": actions})
    scenario = defs.pop("Scenario")
    scenario["properties"]["target"] = {
        "anyOf": _refs("ReferenceTarget", "UrlTarget", "LaunchTarget", "StdioTarget"),
        "description": "the server under test; the bundled one when left out",
    }
    return {
        "$schema": DIALECT,
        "title": "squall scenario",
        **{key: member for key, member in scenario.items() if key != "title"},
        "$defs": dict(sorted(defs.items())),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"{_DEFS}{name}"}


def _refs(*names: str) -> list[Schema]:
    return [_ref(name) for name in names]


def _written(node: Any) -> Any:
    """Turn what a record holds into what its author writes."""
    if isinstance(node, list):
        return [_written(each) for each in node]
    if not isinstance(node, dict):
        return node
    out = {
        key: _written(member)
        for key, member in node.items()
        if not (key == "title" and isinstance(member, str) and "properties" not in node)
    }
    writer = _writer(node)
    if writer is not None:
        # Bounds are of the number behind the text; a text cannot be compared with them.
        out = {key: member for key, member in out.items() if key not in _NUMERIC}
        if isinstance(out.get("default"), int | float):
            out["default"] = writer(out["default"])
    elif isinstance(node.get("default"), Mapping):
        # A whole section's default repeats its members' defaults, which stand beside them.
        del out["default"]
    return out


def _writer(node: Mapping[str, Any]) -> Callable[[Any], str] | None:
    for option in (node, *node.get("anyOf", ())):
        if isinstance(option, Mapping) and option.get("pattern") in _WRITERS:
            return _WRITERS[option["pattern"]]
    return None


def _bare_step() -> Schema:
    return {"enum": list(LISTINGS), "description": (ListStep.__doc__ or "").strip()}


def _listing(defs: Schema) -> Schema:
    """Describe a listing that has an expectation: the word with nothing behind it, and expect."""
    expect = defs["ListStep"]["properties"]["expect"]
    return {
        "type": "object",
        "properties": {**{word: {"type": "null"} for word in LISTINGS}, "expect": expect},
        "additionalProperties": False,
        "oneOf": [{"required": [word]} for word in LISTINGS],
    }


def _subscription(defs: Schema) -> Schema:
    """Describe a subscription: the word with the URI behind it, and what stands beside it."""
    record = defs["SubscribeStep"]
    beside = {key: record["properties"][key] for key in ("expect", "deadline")}
    uri = record["properties"]["uri"]
    return {
        "type": "object",
        "description": record["description"],
        "properties": {**dict.fromkeys(SUBSCRIPTIONS, uri), **beside},
        "additionalProperties": False,
        "oneOf": [{"required": [word]} for word in SUBSCRIPTIONS],
    }


def _window(record: Schema) -> Schema:
    """Describe a fault window: the fault, its parameters behind it, what may stand beside it."""
    described = {
        kind: {
            "anyOf": [_ref(fault.__name__), {"type": "null"}],
            "description": _summary(fault),
        }
        for kind, fault in CATALOGUE.items()
    }
    beside = {key: record["properties"][key] for key in WINDOW_KEYS}
    return {
        "description": record.get("description", ""),
        "anyOf": [
            {"enum": list(CATALOGUE), "description": "a fault with its defaults"},
            {
                "type": "object",
                "properties": {**described, **beside},
                "additionalProperties": False,
                "oneOf": [{"required": [kind]} for kind in CATALOGUE],
            },
        ],
    }


def _summary(fault: type[Fault]) -> str:
    return " ".join((fault.__doc__ or "").split())


def _reference() -> Schema:
    return {
        "anyOf": [
            {"enum": [HARDENED, *FLAWS]},
            {"type": "array", "items": {"enum": list(FLAWS)}, "uniqueItems": True},
        ],
        "description": "hardened, or one or several of its flaws",
    }
