"""The catalogue as a panel: every fault with its parameters, and whether it can be started here."""

from __future__ import annotations

from functools import cache
from math import ceil
from typing import Any, Final

from faults.agent_sessions import RejectFlood, SessionFlood
from faults.catalogue import CATALOGUE
from faults.fault import Fault
from faults.identity import TokenExpire
from harness.gameday.offers import Offer, offer
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
    found = offer(fault, scenario, levers, proxy)
    return {
        "kind": fault.kind,
        "lever": fault.lever,
        "what": paragraph(fault, 0),
        "resilient": paragraph(fault, 1),
        "strikes": found.fault.strikes(),
        "shows": list(fault.shows),
        "parameters": _parameters(found),
        "for": duration(ceil(_wanted_s(found.fault))),
        "available": not found.why,
        "why": found.why,
    }


def _wanted_s(fault: Fault) -> float:
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


def _parameters(found: Offer) -> list[dict[str, Any]]:
    fault = type(found.fault)
    described = _described(fault.__name__)
    listed = []
    for name, default, meaning in parameters_of(fault):
        told = described.get(name, {})
        choices = [str(choice) for choice in told.get("enum", ())]
        listed.append(
            {
                "name": name,
                "default": "" if default == "none" else default,
                "preset": found.preset.get(name, ""),
                "needed": name in found.needed,
                "meaning": meaning,
                "choices": choices,
                "pattern": told.get("pattern", ""),
                "examples": [str(example) for example in told.get("examples", ())],
                "number": told.get("type") in {"integer", "number"},
                "fixed": told.get("type") not in {"string", "integer", "number"} and not choices,
            }
        )
    return listed


def _described(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = schema()["$defs"][name].get("properties", {})
    return properties


@cache
def schema() -> dict[str, Any]:
    """Give the schema of scenario files, made once: it takes a good part of a second."""
    return json_schema()
