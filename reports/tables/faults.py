"""The table of faults: each window as it really was, and what came of it."""

from __future__ import annotations

from typing import Final

from harness.verdict import FaultVerdict
from reports.tables.table import Of, Table


def _recovered(one: FaultVerdict) -> str:
    if one.recovery_s is None:
        return "not measured"
    return "never" if one.recovery_s < 0 else "yes"


def _recovery_s(one: FaultVerdict) -> float | None:
    return one.recovery_s if _recovered(one) == "yes" else None


_OF: Final = Of(lambda run: run.judgement.faults)
TABLE: Final = Table(
    name="faults",
    row="one fault window, in the order of the scenario",
    columns=(
        _OF.text("fault", "its id, as other tables name it: 2:token-expire", lambda one: one.id),
        _OF.text("kind", "what broke", lambda one: one.kind),
        _OF.text("lever", "network, identity, agent, process, dependency", lambda one: one.lever),
        _OF.text("arm", "whom it struck: treated or both", lambda one: one.arm),
        _OF.number("start_s", "in force from, since the run began", lambda one: one.start_s),
        _OF.number("end_s", "in force until", lambda one: one.end_s),
        _OF.yes_no("bit", "whether it is proven to have hit anything", lambda one: one.bit),
        _OF.text("exposure", "what it hit, by the injector's own count", lambda one: one.exposure),
        _OF.yes_no("healed", "whether it is proven undone", lambda one: one.healed),
        _OF.text("ruling", "pass, fail or unknown", lambda one: one.ruling),
        _OF.number("score", "0 to 100; missing where it is withheld", lambda one: one.score),
        _OF.text("recovered", "yes, never or not measured", _recovered),
        _OF.number("recovery_s", "how long that took; missing unless it did", _recovery_s),
        _OF.text("findings", "what failed under it, by name", lambda one: " ".join(one.findings)),
    ),
)
