"""Whether what a scenario says of dependencies can be had, and whether its faults find them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from faults.dependency import DependencyFault, ProgrammeFault
from harness.scenario.dependencies import EmbeddedDependency, PostgresDependency
from harness.scenario.mistakes import Trail, nearest
from harness.scenario.objections import Objection
from harness.scenario.records import LaunchTarget, ReferenceTarget, Scenario
from harness.scenario.transports import is_piped

PLACEHOLDER: Final = re.compile(r"\$\{dependency(?:\.([^}]*))?\}")


def _no(trail: Trail, expected: str, came: str, mend: str) -> Objection:
    return Objection(trail=trail, expected=expected, came=came, mend=mend)


def depending(scenario: Scenario) -> Iterator[Objection]:
    """Yield everything about dependencies that makes no sense."""
    yield from _targets(scenario)
    yield from _faults(scenario)


def _targets(scenario: Scenario) -> Iterator[Objection]:
    """Look at the target: only one that squall starts can be given another address."""
    target, named = scenario.target, scenario.dependencies
    if isinstance(target, LaunchTarget):
        yield from _launched(target, scenario)
        return
    if not named:
        return
    if not isinstance(target, ReferenceTarget) or is_piped(target):
        yield _no(
            ("dependencies",),
            "a target over HTTP that squall starts and can tell where its dependency is",
            "pipes" if is_piped(target) else "a server that runs already",
            "write target: {launch: [COMMAND], url: …}, or remove dependencies",
        )
        return
    for number, (name, one) in enumerate(named.items()):
        if not isinstance(one, EmbeddedDependency | PostgresDependency) or number:
            yield _no(
                ("dependencies", name),
                "one dependency, embedded or postgres, as the reference server keeps its things "
                "in one place",
                name,
                "remove it" if number else "write {embedded: {}} or {postgres: {}}",
            )


def _launched(target: LaunchTarget, scenario: Scenario) -> Iterator[Objection]:
    """Look at how a launched target learns of its dependencies."""
    named = scenario.dependencies
    words: list[tuple[Trail, str]] = [
        *((("target", "launch", n), word) for n, word in enumerate(target.launch)),
        *((("target", "environment", key), text) for key, text in target.environment.items()),
    ]
    told: set[str] = set()
    for trail, text in words:
        for found in PLACEHOLDER.finditer(text):
            name = found[1] if found[1] is not None else next(iter(named), "")
            told.add(name)
            if name not in named or (found[1] is None and len(named) > 1):
                expected = "${dependency.NAME} of one of the dependencies"
                yield _no(trail, expected, found[0], nearest(name, named, what="dependencies"))
    for name, one in named.items():
        if not one.variable and name not in told:
            yield _no(
                ("dependencies", name),
                "variable: NAME, or ${dependency." + name + "} in the target's launch",
                "nothing that tells the target of it",
                "add variable: NAME",
            )


def _faults(scenario: Scenario) -> Iterator[Objection]:
    named = scenario.dependencies
    for number, window in enumerate(scenario.faults):
        fault = window.fault
        if not isinstance(fault, DependencyFault):
            continue
        trail: Trail = ("faults", number, fault.kind)
        if not named:
            expected = "a dependency in squall's hands"
            mend = "add dependencies: {store: {embedded: {}}}, or remove the fault"
            yield _no(trail, expected, "none", mend)
        elif not fault.dependency and len(named) > 1:
            expected = f"dependency: one of {', '.join(named)}"
            yield _no(trail, expected, "none", f"add dependency: {next(iter(named))}")
        elif fault.dependency and fault.dependency not in named:
            mend = nearest(fault.dependency, named, what="dependencies")
            place = (*trail, "dependency")
            yield _no(place, "a dependency of this scenario", fault.dependency, mend)
        elif isinstance(fault, ProgrammeFault):
            struck = fault.dependency or next(iter(named))
            if not isinstance(named[struck], EmbeddedDependency):
                yield _no(
                    trail,
                    "an embedded dependency, which alone can be told how to answer",
                    f"{struck}, of which squall has the connections only",
                    "use dep-latency, dep-reset or dep-down, or write {embedded: {}}",
                )
