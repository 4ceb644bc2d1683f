"""With what parameters a fault can be started in a scenario: its defaults, or what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from faults.agent import PayloadResponse, SlowReader
from faults.dependency import DependencyFault
from faults.fault import Fault
from faults.identity import TokenExpire
from faults.issuers import RefreshFail
from harness.gameday.wish import missing, unfit
from harness.scenario.records import ReferenceTarget, Scenario

ANY_TOOL = "some_tool"  # stands for one that only the people of the day can name


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One fault as it can be started; `why` says why it cannot be."""

    fault: Fault
    preset: Mapping[str, str] = field(default_factory=dict)  # what the form is filled with
    needed: tuple[str, ...] = ()  # parameters that somebody has to fill in
    why: str = ""


def offer(kind: type[Fault], scenario: Scenario, levers: frozenset[str], proxy: str) -> Offer:
    """Find with what parameters a fault fits; with its defaults where nothing does."""
    plain = Offer(fault=kind(), why=_why(kind(), scenario, levers, proxy))
    if not plain.why:
        return plain
    for given, needed in _otherwise(kind, scenario):
        fault = kind.model_validate(given)
        if not _why(fault, scenario, levers, proxy):
            preset = {name: value for name, value in given.items() if name not in needed}
            return Offer(fault=fault, preset=preset, needed=needed)
    return plain


def _why(fault: Fault, scenario: Scenario, levers: frozenset[str], proxy: str) -> str:
    return unfit(fault, scenario) or missing(fault, levers, proxy)


def _otherwise(
    kind: type[Fault], scenario: Scenario
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """Give what else a fault may be started with, and what of that is only a place holder."""
    if issubclass(kind, DependencyFault):
        for name in scenario.dependencies:
            yield {"dependency": name}, ()
    if issubclass(kind, TokenExpire):
        yield {"by": "damage"}, ()
    if issubclass(kind, RefreshFail):
        for name in scenario.dependencies:
            yield {"of": "dependency", "dependency": name}, ()
    if issubclass(kind, SlowReader) and isinstance(scenario.target, ReferenceTarget):
        yield {"tool": "feed"}, ()
    if issubclass(kind, SlowReader | PayloadResponse):
        yield {"tool": ANY_TOOL}, ("tool",)
