from __future__ import annotations

from typing import Any

import pytest

from faults.catalogue import CATALOGUE
from harness.gameday.offers import offer
from harness.gameday.panel import panel
from tests import journals

LEVERS = frozenset({"network", "agent", "process", "dependency", "identity"})
TWO = {"a": {"embedded": {}}, "b": {"embedded": {}, "variable": "B"}}
LAUNCHED = {"launch": ["serve", "${dependency.a}"], "url": "http://127.0.0.1:1/mcp"}


@pytest.mark.parametrize(
    ("kind", "changes", "preset", "needed"),
    [
        ("tcp-latency", {}, {}, ()),
        ("dep-latency", {"dependencies": {"a": {"embedded": {}}}}, {}, ()),
        ("dep-down", {"target": LAUNCHED, "dependencies": TWO}, {"dependency": "a"}, ()),
        ("token-expire", {"auth": {"issuer": "target"}}, {"by": "damage"}, ()),
        (
            "refresh-fail",
            {"dependencies": {"store": {"embedded": {}}}},
            {"of": "dependency", "dependency": "store"},
            (),
        ),
        ("slow-reader", {}, {"tool": "feed"}, ()),
        ("slow-reader", {"target": {"url": "http://127.0.0.1:1/mcp"}}, {}, ("tool",)),
        ("payload-response", {"target": {"url": "http://127.0.0.1:1/mcp"}}, {}, ("tool",)),
    ],
)
def test_a_fault_is_offered_with_what_makes_it_fit(
    kind: str, changes: dict[str, Any], preset: dict[str, str], needed: tuple[str, ...]
) -> None:
    """Its defaults where they do; else a value of the scenario's, or one that people fill in."""
    found = offer(CATALOGUE[kind], journals.scenario(**changes), LEVERS, "embedded")
    assert (found.why, dict(found.preset), found.needed) == ("", preset, needed)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("dep-down", "a dependency in squall's hands"),
        ("token-expire", "sessions with tokens"),
        ("spike", "planned before a storm begins"),
    ],
)
def test_what_nothing_makes_fit_is_not_offered_and_says_why(kind: str, why: str) -> None:
    """In the words that are said of its defaults."""
    assert why in offer(CATALOGUE[kind], journals.scenario(), LEVERS, "embedded").why


def test_the_panel_fills_the_form_with_it_and_says_how_long_a_fault_wants() -> None:
    """Three floods with their rests take minutes; most faults have shown all in half of one."""
    of = journals.scenario(target={"url": "http://127.0.0.1:1/mcp"}, auth={"issuer": "target"})
    shown = {entry["kind"]: entry for entry in panel(of, LEVERS, "embedded")}
    by = {each["name"]: each for each in shown["token-expire"]["parameters"]}["by"]
    assert (by["default"], by["preset"], by["needed"]) == ("ttl", "damage", False)
    tool = {each["name"]: each for each in shown["slow-reader"]["parameters"]}["tool"]
    assert (tool["preset"], tool["needed"]) == ("", True)
    assert (shown["tcp-latency"]["for"], shown["reject-flood"]["for"]) == ("30s", "49s")
    assert shown["session-flood"]["for"] == "285s"
