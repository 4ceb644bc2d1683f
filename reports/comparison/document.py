"""A comparison as JSON, in stable keys that `comparison.schema.json` describes."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

from harness.comparison.ruling import Change, Comparison, Side

SCHEMA: Final = "squall-comparison-1"
SCHEMA_FILE: Final = "comparison.schema.json"
_DIGITS: Final = 6


def comparison(told: Comparison) -> str:
    """Give the document's text; the same comparison gives the same bytes."""
    document = {
        "schema": SCHEMA,
        "verdict": told.verdict,
        "headline": told.headline,
        "scenario": told.base.identity.scenario,
        "seed": told.base.identity.seed,
        "era": told.base.identity.era,
        "base": _side(told.base),
        "head": _side(told.head),
        "differences": list(told.differences),
        "apart": [{"place": one.place, "base": one.base, "head": one.head} for one in told.apart],
        "changes": [_change(change) for change in told.changes],
        "notes": list(told.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of the document."""
    text = files("reports.comparison").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "runs": [
            {
                **run.origin,
                "doubts": list(run.doubts),
            }
            for run in side.runs
        ],
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "arm": change.arm,
        "phase": change.phase,
        "tool": change.tool,
        "measure": change.measure,
        "unit": change.unit,
        "effect_is": "ratio" if change.unit == "ms" else "difference",
        "whole": change.whole,
        "verdict": change.verdict,
        "why_not": change.why_not,
        "base": _figure(change.base),
        "head": _figure(change.head),
        "base_calls": change.base_calls,
        "head_calls": change.head_calls,
        "effect": _figure(change.effect),
        "low": _figure(change.low),
        "high": _figure(change.high),
        "smallest": _figure(change.smallest),
        "chance": _figure(change.chance),
        "level": _figure(change.level),
    }


def _figure(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
