from __future__ import annotations

from typing import Any

import pytest

from faults.agent_calls import ArgsInvalid
from harness.checks import validation
from harness.journal import EffectEntry, ProbeEntry
from tests.checks import cases
from tests.journals import S

FORBIDDEN = "null query, forbidden by its schema"
NONCE = "n0123456789abcdef"


def probe(**changes: Any) -> ProbeEntry:
    """Make one odd call that was refused as it should be."""
    fields: dict[str, Any] = {
        "at_ns": 14 * S,
        "session": 3,
        "window": 1,
        "kind": "spoil_arguments",
        "variant": "null",
        "index": 5,
        "tool": "search",
        "sent": FORBIDDEN,
        "outcome": "tool_error",
        "reason": "tool_error",
        "status": 200,
        "is_error": True,
        "nonce": NONCE,
        "text": "1 validation error for search",
    }
    return ProbeEntry(**(fields | changes))


def judged(*entries: Any) -> tuple[Any, ...]:
    """Judge a run in which these odd calls were made."""
    return validation.bad_validation(cases.run(ArgsInvalid(), extra=entries))


@pytest.mark.parametrize(
    ("changes", "how"),
    [
        ({"outcome": "ok", "reason": "none"}, "success 1 times"),
        ({"outcome": "protocol_error", "code": -32603}, "an internal error (-32603) 1 times"),
        ({"outcome": "http_error", "status": 500}, "HTTP 500 1 times"),
        ({"reason": "stack_trace", "text": "Traceback …"}, "a stack trace 1 times"),
        ({"sent": "edge", "outcome": "protocol_error", "code": -32603}, "internal error"),
    ],
)
def test_odd_arguments_are_refused_in_words(changes: dict[str, Any], how: str) -> None:
    """Neither success nor an answer that only the server's author can read will do."""
    (finding,) = judged(probe(), probe(**changes, index=9))
    assert (finding.verdict, finding.ruling, finding.fault) == (
        "bad-validation", "fail", "1:args-invalid",
    )  # fmt: skip
    assert finding.why.startswith("1 of 2 odd calls (search)")
    assert how in finding.why
    assert finding.evidence == ("s3.9.0",)


def test_a_refused_call_must_have_changed_nothing() -> None:
    """An error that follows the effect is a lie."""
    (finding,) = judged(probe(), EffectEntry(at_ns=14 * S, key=f"{NONCE} x"))
    assert finding.ruling == "fail"
    assert "an effect in the ledger" in finding.why


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"outcome": "protocol_error", "code": -32602},
        {"outcome": "http_error", "status": 400},
        {"outcome": "http_error", "status": 413},
        {"sent": "extra squall_unknown", "outcome": "ok", "reason": "none"},
        {"sent": "null limit", "outcome": "ok", "reason": "none"},
    ],
)
def test_any_honest_refusal_is_right_and_so_is_tolerance(changes: dict[str, Any]) -> None:
    """What a schema does not forbid past doubt may be accepted."""
    (finding,) = judged(probe(**changes))
    assert finding.ruling == "pass"


def test_calls_that_never_ended_say_nothing() -> None:
    """Other checks ask why."""
    (finding,) = judged(probe(outcome="transport_error", reason="reset", text=""))
    assert finding.ruling == "unknown"


def test_nothing_is_said_of_a_run_without_odd_calls() -> None:
    """Nobody was asked."""
    assert judged() == ()
