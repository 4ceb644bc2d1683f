"""The catalogue as a panel: every fault with its parameters, and whether it can be started here."""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import Any, Final

from pydantic import ValidationError

from faults.agent_sessions import RejectFlood, SessionFlood
from faults.catalogue import CATALOGUE
from faults.fault import Fault
from faults.identity import TokenExpire
from harness.gameday.wish import missing, unfit
from harness.scenario.parameters import paragraph, parameters_of
from harness.scenario.records import Scenario
from harness.scenario.schema import json_schema
from harness.scenario.units import duration
from harness.session.mischief.floods import FLOODS, SETTLE_S

USUAL_S: Final = 30.0
SPARE_S: Final = 10.0


def panel(scenario: Scenario, levers: frozenset[str], proxy: str) -> list[dict[str, Any]]:
    """Give every fault; `levers` names those that this run has, `proxy` the kind of its proxy."""
    return [_entry(fault, scenario, levers, proxy) for fault in CATALOGUE.values()]


def _entry(
    fault: type[Fault], scenario: Scenario, levers: frozenset[str], proxy: str
) -> dict[str, Any]:
    plain = _plain(fault)
    why = "" if plain is None else unfit(plain, scenario) or missing(plain, levers, proxy)
    return {
        "kind": fault.kind,
        "lever": fault.lever,
        "what": paragraph(fault, 0),
        "resilient": paragraph(fault, 1),
        "strikes": "both" if plain is None else plain.strikes(),
        "shows": list(fault.shows),
        "parameters": _parameters(fault),
        "for": duration(ceil(_wanted_s(plain))),
        "available": not why,
        "why": why,
    }


def _wanted_s(fault: Fault | None) -> float:
    """Give how long a fault wants to last, with its defaults, until it has shown what it can."""
    match fault:
        case SessionFlood():
            return FLOODS * (fault.sessions * fault.rate_s + fault.rest_s + SETTLE_S) + SPARE_S
        case RejectFlood():
            return FLOODS * (fault.requests * fault.rate_s + fault.rest_s) + SPARE_S
        case TokenExpire():
            return max(USUAL_S, 2 * fault.ttl_s)
        case _:
            return USUAL_S


def _plain(fault: type[Fault]) -> Fault | None:
    """Give the fault with its defaults; None where it has none for everything."""
    try:
        return fault()
    except ValidationError:
        return None


def _parameters(fault: type[Fault]) -> list[dict[str, Any]]:
    described = _described(fault.__name__)
    found = []
    for name, default, meaning in parameters_of(fault):
        told = described.get(name, {})
        choices = [str(choice) for choice in told.get("enum", ())]
        found.append(
            {
                "name": name,
                "default": "" if default == "none" else default,
                "meaning": meaning,
                "choices": choices,
                "pattern": told.get("pattern", ""),
                "examples": [str(example) for example in told.get("examples", ())],
                "number": told.get("type") in {"integer", "number"},
                "fixed": told.get("type") not in {"string", "integer", "number"} and not choices,
            }
        )
    return found


def _described(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = schema()["$defs"][name].get("properties", {})
    return properties


@cache
def schema() -> dict[str, Any]:
    """Give the schema of scenario files, made once: it takes a good part of a second."""
    return json_schema()
