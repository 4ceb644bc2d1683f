"""What an operator asks for, read at one door: a fault, for how long, and what is expected of it.

Pure. No fault can be started without a hypothesis: who has not said what will happen cannot be
surprised by what does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from faults.catalogue import CATALOGUE
from faults.fault import Fault
from faults.issuers import RefreshFail
from faults.load import LoadShape
from faults.network import IdleCut
from faults.quantities import parse_duration_s
from harness.errors import Mistake
from harness.scenario import sense
from harness.scenario.conditions import LIMITS, Condition, ConditionError, parse_abort
from harness.scenario.mistakes import Mistakes
from harness.scenario.records import Scenario
from harness.scenario.window import Window

TEXT_MAX: Final = 2000
EXPECTED_MIN: Final = 8
STOP_MIN: Final = 4
FOR_MIN_S: Final = 1.0
FOR_MAX_S: Final = 3600.0
NAME_MAX: Final = 40


class RefusedError(Exception):
    """Something that was asked for on the page is not done; says why and what to do instead."""

    def __init__(self, why: str, *, at: str = "", status: int = 400) -> None:
        """Say why, and at which field of the form; `status` is the one of HTTP."""
        super().__init__(why)
        self.at = at
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """What people think before they break something."""

    expected: str
    breaks: str  # the limit that they think will be missed; "" for none
    stop_when: str
    stop_errors: str = ""  # as written
    condition: Condition | None = None  # the same, read


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A fault that may be started."""

    fault: Fault
    parameters: Mapping[str, Any]  # as they were given
    for_s: float
    hypothesis: Hypothesis


def read(body: Mapping[str, Any], scenario: Scenario) -> Wish:
    """Read what the form sends.

    Raises:
        RefusedError: when something is missing or makes no sense, naming the field.
    """
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in CATALOGUE:
        raise RefusedError("expected a fault of the catalogue; choose one from the list", at="kind")
    fault, parameters = _fault(kind, body.get("parameters", {}))
    for_s = duration(body.get("for"), at="for")
    why = unfit(fault, scenario)
    if why:
        raise RefusedError(why, at="kind", status=409)
    return Wish(
        fault=fault,
        parameters=parameters,
        for_s=for_s,
        hypothesis=hypothesis(body.get("hypothesis"), scenario),
    )


def duration(value: object, *, at: str) -> float:
    """Read how long a fault is wanted, in seconds.

    Raises:
        RefusedError: when it is none, too short or too long.
    """
    try:
        for_s = parse_duration_s(value)
    except PydanticCustomError as error:
        raise RefusedError(str(error), at=at) from None
    if not FOR_MIN_S <= for_s <= FOR_MAX_S:
        raise RefusedError("a fault lasts from 1s to 1h; write for example 30s", at=at)
    return for_s


def hypothesis(given: object, scenario: Scenario) -> Hypothesis:
    """Read a hypothesis.

    Raises:
        RefusedError: when it says nothing.
    """
    said = given if isinstance(given, dict) else {}
    expected = text(said.get("expected"), at="expected")
    stop_when = text(said.get("stop_when"), at="stop_when")
    if len(expected) < EXPECTED_MIN:
        raise RefusedError(
            "a fault starts with a hypothesis: say what you expect to happen, "
            "for example 'calls slow down by 500 ms and every one is answered'",
            at="expected",
        )
    if len(stop_when) < STOP_MIN:
        raise RefusedError(
            "say when you will stop, for example 'when half of the calls fail'", at="stop_when"
        )
    breaks = said.get("breaks", "")
    known = limits_of(scenario)
    if breaks not in ("", *known):
        names = ", ".join(known) or "none; leave it empty"
        raise RefusedError(f"expected one of the scenario's limits: {names}", at="breaks")
    stop_errors = text(said.get("stop_errors", ""), at="stop_errors")
    return Hypothesis(
        expected=expected,
        breaks=breaks,
        stop_when=stop_when,
        stop_errors=stop_errors,
        condition=_condition(stop_errors),
    )


def limits_of(scenario: Scenario) -> dict[str, str]:
    """Give the limits that a scenario sets, by name, as they are written."""
    found = {name: getattr(scenario.limits, name) for name in LIMITS}
    return {name: limit for name, limit in found.items() if limit is not None}


def text(value: object, *, at: str, longest: int = TEXT_MAX) -> str:
    """Read a text that a person wrote: no control characters, no blanks around it.

    Raises:
        RefusedError: when it is none, or too long.
    """
    if not isinstance(value, str):
        raise RefusedError("expected a text", at=at)
    clean = "".join(sign if sign.isprintable() else " " for sign in value).strip()
    if len(clean) > longest:
        raise RefusedError(f"expected at most {longest} characters, got {len(clean)}", at=at)
    return clean


def unfit(fault: Fault, scenario: Scenario) -> str:
    """Say why a scenario's rig cannot apply a fault; "" when it can."""
    if isinstance(fault, LoadShape):
        return "its sessions are planned before a storm begins; run it with squall run"
    window = Window.model_validate({"fault": fault, "for": "10s"})
    before = _mistakes(scenario, ())
    found = [one for one in _mistakes(scenario, (window,)) if one not in before]
    return f"needs {found[0].expected}; this scenario has {found[0].came}" if found else ""


def _mistakes(scenario: Scenario, faults: tuple[Window, ...]) -> tuple[Mistake, ...]:
    mistakes = Mistakes("the scenario")
    sense.examine(scenario.model_copy(update={"faults": faults}), mistakes, by_hand=True)
    return mistakes.in_order()


def missing(fault: Fault, levers: frozenset[str], proxy: str) -> str:
    """Say which part of the rig a fault needs and this run has not; "" when it has all."""
    of_dependency = isinstance(fault, RefreshFail) and fault.of == "dependency"
    lever = "dependency" if of_dependency else fault.lever
    if lever not in levers:
        return f"needs the {lever} lever, and nothing in this run has one"
    if isinstance(fault, IdleCut) and proxy != "embedded":
        return "needs squall's own proxy, and this run has another one"
    return ""


def _fault(kind: str, given: object) -> tuple[Fault, dict[str, Any]]:
    if not isinstance(given, dict):
        raise RefusedError("expected the fault's parameters by name", at="parameters")
    fields = {field.alias or key for key, field in CATALOGUE[kind].model_fields.items()}
    strange = [name for name in given if name not in fields]
    if strange:
        raise RefusedError(f"{kind} has no parameter {strange[0]!r:.60}", at="parameters")
    try:
        return CATALOGUE[kind].model_validate(given), given
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = str(first["loc"][0]) if first["loc"] else "parameters"
        raise RefusedError(f"{where}: {first['msg']}", at=f"parameters.{where}") from None


def _condition(written: str) -> Condition | None:
    if not written:
        return None
    try:
        return parse_abort(written)
    except ConditionError as error:
        raise RefusedError(str(error), at="stop_errors") from None
