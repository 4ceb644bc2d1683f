"""`verdict.json`: the machine's view of a judgement, with stable keys and a published schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite
from typing import Any, Final

from harness.verdict import Judgement

SCHEMA_VERSION: Final = "squall.verdict/1"
_DECIMALS: Final = 6

Schema = dict[str, Any]  # JSON Schema is open by nature


def verdict(judgement: Judgement) -> str:
    """Write a judgement as `verdict.json`: the same judgement gives the same bytes."""
    parts = asdict(judgement)
    ordered = {
        "schema": SCHEMA_VERSION,
        "scenario": parts["scenario"],
        "question": parts["question"],
        "seed": parts["seed"],
        "era": parts["era"],
        "ruling": parts["ruling"],
        "exit_code": parts["exit_code"],
        "headline": parts["headline"],
        "score": parts["score"],
        "limits": parts["limits"],
        "faults": parts["faults"],
        "findings": parts["findings"],
        "latency": [_latency(row) for row in parts["latency"]],
        "latency_answered": [_latency(row) for row in parts["latency_answered"]],
        "sessions": parts["sessions"],
        "calls": parts["calls"],
        "effects": parts["effects"],
        "tokens": parts["tokens"],
        "soundness": parts["soundness"],
        "generator": parts["generator"],
        "engines": parts["engines"],
        "quality": parts["quality"],
        "amplification": parts["amplification"],
        "misled": parts["misled"],
        "manners": parts["manners"],
        "readiness": parts["readiness"],
        "traces": parts["traces"],
        "bare_arms": parts["bare_arms"],
        "notes": parts["notes"],
    }
    return json.dumps(_plain(ordered), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _latency(row: Mapping[str, Any]) -> dict[str, Any]:
    """Rename `origin` to the key that readers know, in its place."""
    return {"from" if key == "origin" else key: value for key, value in row.items()}


def _plain(value: object) -> object:
    """Make JSON of it: what is not finite is null, and figures stop at the sixth decimal."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return round(value, _DECIMALS) + 0.0 if isfinite(value) else None
    return value


# --- the schema -----------------------------------------------------------------------------

_NUMBER: Final[Schema] = {"type": "number"}
_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT: Final[Schema] = {"type": "string"}
_YES_NO: Final[Schema] = {"type": "boolean"}
_TEXTS: Final[Schema] = {"type": "array", "items": _TEXT}
_COUNTS: Final[Schema] = {"type": "object", "additionalProperties": _COUNT}
_RULING: Final[Schema] = {"enum": ["pass", "fail", "unknown"]}


def _maybe(schema: Schema, description: str = "") -> Schema:
    either: Schema = {"anyOf": [schema, {"type": "null"}]}
    return either | {"description": description} if description else either


def _record(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _rows(**properties: Schema) -> Schema:
    return {"type": "array", "items": _record(**properties)}


def verdict_schema() -> Schema:
    """Give the JSON Schema of `verdict.json`; the repository's copy equals it."""
    properties = {
        "schema": {"const": SCHEMA_VERSION},
        "scenario": _TEXT,
        "question": _TEXT,
        "seed": {"type": "integer"},
        "era": _TEXT,
        "ruling": _RULING,
        "exit_code": {"type": "integer", "minimum": 0, "maximum": 255},
        "headline": _TEXT,
        "score": _maybe(_score(), "null when the evidence does not support a number"),
        "limits": _rows(
            name=_TEXT,
            wanted=_TEXT,
            observed=_maybe(_NUMBER),
            unit=_TEXT,
            ruling=_RULING,
            why=_TEXT,
        ),
        "faults": _faults(),
        "findings": _findings(),
        "latency": _latencies() | {"description": "failed calls count at their deadline"},
        "latency_answered": _latencies() | {"description": "over answered calls only"},
        "sessions": _COUNTS | {"description": "opened, survived, reopened, lost"},
        "calls": _COUNTS | {"description": "logical calls by outcome"},
        "effects": _COUNTS | {"description": "happened, absent, unknown, doubled, orphaned"},
        "tokens": {
            "type": "object",
            "additionalProperties": _maybe(_NUMBER),
            "description": "estimates per session: mean, max",
        },
        "soundness": _rows(
            name=_TEXT,
            ruling=_RULING,
            why=_TEXT,
            observed=_maybe(_NUMBER),
            limit=_maybe(_NUMBER),
            unit=_TEXT,
        ),
        "generator": _maybe(_generator(), "null when no process of it said how it fared"),
        "engines": _rows(
            engine={"enum": ["wire", "sdk"]},
            phase=_TEXT,
            calls=_COUNT,
            answered=_COUNT,
            p50_ms=_maybe(_NUMBER, "of the answered calls, from sent"),
            outcomes=_COUNTS,
        )
        | {"description": "empty unless the official client drove sessions beside squall's own"},
        **_consequences(),
        "bare_arms": _maybe(_bare_arms(), "null when no A/A run has measured them here"),
        "notes": _TEXTS,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "verdict.json of squall",
        **_record(**properties),
    }


def _manners() -> Schema:
    return _rows(
        fault=_TEXT,
        calls=_COUNT | {"description": "of tools that lean on the dependency"},
        asking=_COUNT | {"description": "of them, those that reached it"},
        requests=_COUNT,
        per_call=_maybe(_NUMBER, "requests for each time that a client asked"),
        usual_per_call=_maybe(_NUMBER, "with nothing broken"),
        retried=_COUNT | {"description": "calls that tried again after a failure"},
        retries_max=_COUNT,
        spacing_ms=_maybe(_NUMBER, "the median pause before the first retry"),
        spacing_growth=_maybe(_NUMBER, "of the second pause over the first"),
        jitter=_maybe(_YES_NO, "null when there were too few pauses to tell"),
        retry_after={
            "enum": ["kept", "passed on", "ignored", "waited past the deadline", "not asked"]
        },
        breaker={"enum": ["opened", "stayed shut", "not measured"]},
        probes=_maybe(_COUNT, "calls that reached it while the breaker was open"),
        back_s=_maybe(_NUMBER, "from the fault's end to the first request that went well"),
    ) | {"description": "how the target treated a failing dependency, by the dependency's ledger"}


def _consequences() -> dict[str, Schema]:
    """What the faults did to the answers and to those who believed them; and the checklist."""
    return {
        "quality": _rows(
            tool=_TEXT,
            phase=_TEXT,
            arm=_TEXT,
            answers=_COUNT,
            rows_p05=_maybe(_NUMBER),
            rows_p50=_maybe(_NUMBER),
            empty_share=_maybe(_NUMBER, "of the answers whose rows can be counted"),
            bytes_p05=_maybe(_NUMBER),
            bytes_p50=_maybe(_NUMBER),
            null_share=_maybe(_NUMBER, "of the values in the answers that were looked into"),
        ),
        "amplification": _rows(
            fault=_TEXT,
            attempts_per_call=_maybe(_NUMBER),
            baseline_attempts_per_call=_maybe(_NUMBER),
            tokens_per_minute=_maybe(_NUMBER, "of one session, estimated at 4 bytes a token"),
            baseline_tokens_per_minute=_maybe(_NUMBER),
            tokens_ratio=_maybe(_NUMBER, "warn above 3, fail above 10"),
            level={"enum": ["ok", "warn", "fail", "not measured"]},
        ),
        "misled": _rows(
            fault=_TEXT | {"description": "the fault window's id, or empty"},
            agents=_COUNT | {"description": "sessions that were answered meanwhile"},
            empty=_COUNT | {"description": "of them, those that went on from an empty answer"},
            masked=_COUNT | {"description": "from a refusal in the words of an answer"},
            untrue=_COUNT | {"description": "from another's, a cut or a false answer"},
            answers=_COUNT,
            first_s=_maybe(_NUMBER, "from the fault's start, or the run's, to the first answer"),
        ),
        "manners": _manners(),
        "readiness": _rows(
            area={"enum": ["auth", "transport", "observability", "error handling", "testing"]},
            line=_TEXT,
            state={"enum": ["met", "not met", "not measured"]},
            why=_TEXT,
            evidence=_TEXTS | {"description": "call ids, or verdicts with their fault"},
        ),
        "traces": _rows(
            tool=_TEXT | {"description": "empty: spans that name none, or of other traces"},
            calls=_COUNT | {"description": "that were answered"},
            joined=_COUNT | {"description": "of them, those with a span of the target's"},
            spans=_COUNT,
            named=_COUNT,
            timed=_COUNT,
            sized=_COUNT,
            failed=_COUNT,
            downstream=_COUNT | {"description": "requests to others, within these calls"},
            exposed=_COUNT | {"description": "spans that hold what looks like a credential"},
        )
        | {"description": "empty unless the run received spans"},
    }


_PERCENTILES: Final = ("p50", "p90", "p95", "p99", "p999", "max")


def _latencies() -> Schema:
    return _rows(
        arm=_TEXT,
        phase=_TEXT,
        tool=_TEXT | {"description": "empty for all calls together"},
        **{"from": {"enum": ["due", "sent"]}},
        count=_COUNT,
        **{f"{name}_ms": _maybe(_NUMBER) for name in _PERCENTILES},
    )


def _score() -> Schema:
    points: Schema = {"type": "number", "minimum": 0, "maximum": 100}
    return _record(
        points=points,
        low=points,
        high=points,
        components={
            "type": "object",
            "additionalProperties": _maybe({"type": "number", "minimum": 0, "maximum": 1}),
        },
        caps=_TEXTS,
    )


def _generator() -> Schema:
    fared: Schema = {"enum": ["ok", "suspect", "invalid"]}
    late: Schema = _NUMBER | {"description": "sent - due of calls that nothing held back"}
    share: Schema = {"type": "number", "minimum": 0}
    return _record(
        verdict=fared | {"description": "suspect is believed; invalid ends in exit code 3"},
        why=_TEXT,
        sent_late_p50_ms=late,
        sent_late_p99_ms=late,
        lag_p99_ms=_NUMBER | {"description": "of the worst process; beware of figures below 10x"},
        processes=_rows(
            worker=_COUNT,
            name=_TEXT,
            verdict=fared,
            why=_TEXT,
            sent_late_p50_ms=late,
            sent_late_p99_ms=late,
            lag_p50_ms=_NUMBER,
            lag_p99_ms=_NUMBER,
            lag_max_ms=_NUMBER,
            stalled_share=share,
            stalled_in=_TEXT | {"description": "the phase in which the event loop stood still"},
            cpu_share=share,
            run_delay_share=_maybe(share, "runnable, without a processor"),
            throttled_share=_maybe(share, "held back by a limit of the container's"),
            gc_pause_max_ms=_NUMBER,
            open_files=_maybe(_COUNT),
            open_files_max=_maybe(_COUNT),
        ),
    )


def _bare_arms() -> Schema:
    return _record(
        run=_TEXT | {"description": "the id of the A/A run that measured it"},
        own=_YES_NO | {"description": "this very run"},
        stretch_s=_NUMBER | {"description": "how long the scenario's shortest fault is"},
        stretches=_COUNT,
        measures=_rows(
            measure={"enum": ["answered", "p50", "p95", "p99"]},
            unit={"enum": ["share", "ms"]},
            control=_NUMBER,
            treated=_NUMBER,
            difference=_NUMBER | {"description": "treated - control"},
            low=_NUMBER,
            high=_NUMBER,
            smallest=_NUMBER | {"description": "no smaller difference can be claimed here"},
        ),
    )


def _faults() -> Schema:
    return _rows(
        id=_TEXT | {"description": "the window's number and kind, as in 1:tcp-latency"},
        kind=_TEXT,
        lever=_TEXT,
        arm={"enum": ["treated", "both"]},
        start_s=_NUMBER,
        end_s=_NUMBER,
        bit=_YES_NO,
        exposure=_TEXT,
        healed=_YES_NO,
        ruling=_RULING,
        score=_maybe(_NUMBER),
        recovery_s=_maybe(
            _NUMBER, "-1: not within the time watched; null: not measured, or in doubt"
        ),
        findings=_TEXTS,
    )


def _findings() -> Schema:
    return _rows(
        verdict=_TEXT,
        ruling=_RULING,
        fault=_TEXT | {"description": "the fault window's id, or empty"},
        tool=_TEXT,
        observed=_maybe(_NUMBER),
        limit=_maybe(_NUMBER),
        unit=_TEXT,
        why=_TEXT,
        source=_TEXT,
        evidence=_TEXTS
        | {"description": "call ids, s<session>.<index>.<attempt>, or other requests in words"},
        hard=_YES_NO,
        cause=_TEXT,
        first_s=_maybe(_NUMBER, "when the first offender was sent, since the run began"),
        last_s=_maybe(_NUMBER, "when the last one ended"),
        treated=_maybe(_COUNT, "sessions of that arm that it happened to"),
        control=_maybe(_COUNT),
    )
