"""A fault window of a scenario: which fault, when, and what people on a game day make of it."""

from __future__ import annotations

from pydantic import Field

from faults.catalogue import AnyFault
from faults.quantities import Duration
from harness.scenario.record import Record


class Hypothesis(Record):
    """What is expected of a fault; on a game day it is the form's first content."""

    expected: str = Field("", max_length=2000, description="what will happen")
    breaks: str = Field("", description="the limit that will be missed; left out, none")
    stop_when: str = Field("", max_length=2000, description="when people stop it, in words")
    stop_errors: str = Field(
        "",
        description="the treated arm's errors that stop it by themselves",
        examples=["> 50% for 10s"],
    )


class Window(Record):
    """One fault and when it is in force. In the file: `- tcp-reset: {after: 200ms}` and `for:`."""

    fault: AnyFault
    duration_s: Duration = Field(10.0, alias="for")
    at_s: Duration | None = Field(
        None, alias="at", description="since the run's start; default: after the window before"
    )
    pause: str = Field(
        "",
        max_length=2000,
        description="on a game day: what to see to before this fault is started; a run goes on",
    )
    hypothesis: Hypothesis | None = Field(
        None, description="on a game day: what is expected of this fault"
    )
