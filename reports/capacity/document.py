"""`capacity.json`: everything concluded from a climb, in stable keys that a schema describes."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from harness.capacity.knee import CONFIDENCE
from harness.capacity.ruling import Capacity, Curve
from harness.capacity.steps import Reading

SCHEMA: Final = "squall-capacity-1"
SCHEMA_FILE: Final = "capacity.schema.json"


def capacity(result: Capacity) -> str:
    """Give the file's text; the same result gives the same bytes."""
    return json.dumps(_document(result), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the file."""
    text = files("reports.capacity").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


def _document(result: Capacity) -> dict[str, Any]:
    course, gate = result.course, result.gate
    return {
        "schema": SCHEMA,
        "scenario": result.scenario,
        "question": result.question,
        "seed": result.seed,
        "era": result.era,
        "ruling": result.ruling,
        "exit_code": result.exit_code,
        "headline": result.headline,
        "at_least": None
        if gate is None
        else {"rate_per_s": gate.at_least_per_s, "ruling": gate.ruling},
        "asked": {
            "sessions": course.sessions,
            "spacing": course.spacing,
            "step_s": course.step_s,
            "budget_s": course.budget_s,
            "from_per_s": course.first_per_s,
            "to_per_s": course.last_per_s,
            "limits": result.limits,
        },
        "curves": [_curve(curve) for curve in result.curves],
        "notes": list(result.notes),
    }


def _curve(curve: Curve) -> dict[str, Any]:
    knee, share = curve.knee, curve.of_bare
    return {
        "curve": curve.name,
        "knee": None
        if knee is None
        else {
            "rate_per_s": _figure(knee.estimate),
            "low_per_s": _figure(knee.low),
            "high_per_s": _figure(knee.high),
            "confidence": CONFIDENCE,
            "ended_by": curve.ended,
        },
        "of_bare": None
        if share is None
        else {"share": _figure(share[0]), "low": _figure(share[1]), "high": _figure(share[2])},
        "exposure": curve.exposure,
        "unsound": curve.unsound,
        "healed": curve.healed,
        "steps": [_step(one) for one in curve.steps],
    }


def _step(one: Reading) -> dict[str, Any]:
    return {
        "step": one.step,
        "rate_per_s": _figure(one.rate_per_s),
        "start_s": _figure(one.start_s),
        "end_s": _figure(one.end_s),
        "calls": one.offered,
        "offered_per_s": _figure(one.offered_per_s),
        "answered_per_s": _figure(one.answered_per_s),
        "p50_ms": _figure(one.p50_ms),
        "p99_ms": _figure(one.p99_ms),
        "error_share": _figure(one.error_share),
        "unsent": one.unsent,
        "growth": _figure(one.growth),
        "generator": one.strain.state if one.verdict != "limited" else "limited",
        "verdict": one.verdict,
        "counted": one.counts,
        "why": one.why,
    }


def _figure(value: float | None) -> float | None:
    """Give a figure in as many digits as anybody measures."""
    return None if value is None else float(f"{value:.5g}")
