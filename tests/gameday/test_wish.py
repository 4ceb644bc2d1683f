from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from faults.catalogue import CATALOGUE
from faults.network import TcpLatency
from harness.gameday import wish
from harness.gameday.board import opening
from harness.gameday.panel import panel
from harness.gameday.wish import RefusedError
from tests import journals
from tests.gameday.days import HYPOTHESIS, staged, wanted

SCENARIO = journals.scenario(limits={"latency_p99": "<= 800ms"})
EVERY = frozenset(("network", "identity", "agent", "process", "dependency"))


def test_a_fault_is_read_as_a_scenario_writes_it() -> None:
    """Units are needed, what is left out has its default, and what was given is kept as given."""
    asked = wanted(SCENARIO, parameters={"delay": "300ms"}, **{"for": "2m"})
    assert asked.fault == TcpLatency.model_validate({"delay": "300ms"})
    assert asked.parameters == {"delay": "300ms"}
    assert asked.for_s == 120.0


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({"kind": "rain"}, "kind", "a fault of the catalogue"),
        ({"kind": "spike"}, "kind", "squall run"),
        ({"parameters": {"delay": "300"}}, "parameters.delay", "unit"),
        ({"parameters": {"depth": "1"}}, "parameters", "no parameter 'depth'"),
        ({"parameters": ["delay"]}, "parameters", "by name"),
        ({"for": "30"}, "for", "unit"),
        ({"for": "2h"}, "for", "1s to 1h"),
        ({"hypothesis": {}}, "expected", "a text"),
        ({"hypothesis": {**HYPOTHESIS, "expected": "bad"}}, "expected", "hypothesis"),
        ({"hypothesis": {**HYPOTHESIS, "expected": "x" * 3000}}, "expected", "at most"),
        ({"hypothesis": {**HYPOTHESIS, "stop_when": ""}}, "stop_when", "when you will stop"),
        ({"hypothesis": {**HYPOTHESIS, "breaks": "recovery"}}, "breaks", "latency_p99"),
        ({"hypothesis": {**HYPOTHESIS, "stop_errors": "lots"}}, "stop_errors", "comparison"),
        ({"hypothesis": {**HYPOTHESIS, "stop_errors": "< 5%"}}, "stop_errors", "above which"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_field(
    changes: dict[str, Any], at: str, says: str
) -> None:
    """Each refusal names the field of the form and the mend."""
    with pytest.raises(RefusedError, match=says) as refused:
        wanted(SCENARIO, **changes)
    assert refused.value.at == at


def test_a_hypothesis_may_name_a_limit_and_a_condition() -> None:
    """Both are kept as written, and the condition is read."""
    said = {**HYPOTHESIS, "breaks": "latency_p99", "stop_errors": "> 50% for 10s"}
    asked = wanted(SCENARIO, hypothesis=said).hypothesis
    assert (asked.breaks, asked.stop_errors) == ("latency_p99", "> 50% for 10s")
    assert asked.condition is not None
    assert (asked.condition.limit, asked.condition.for_s) == (0.5, 10.0)


def test_control_characters_never_reach_the_record() -> None:
    """What people paste is made plain."""
    assert wish.text("a\x1b[31mb\nc\u202e", at="text") == "a [31mb c"


def test_the_panel_shows_every_fault_with_units_and_defaults() -> None:
    """From the faults' own fields, those that cannot be started with the reason."""
    shown = {entry["kind"]: entry for entry in panel(SCENARIO, EVERY, "embedded")}
    assert shown.keys() == CATALOGUE.keys()
    latency = shown["tcp-latency"]
    assert latency["available"]
    assert [(one["name"], one["default"]) for one in latency["parameters"]] == [
        ("delay", "250ms"),
        ("jitter", "50ms"),
        ("direction", "both"),
    ]
    assert latency["parameters"][2]["choices"] == ["upstream", "downstream", "both"]
    assert all(entry["why"] for entry in shown.values() if not entry["available"])
    assert not shown["dep-down"]["available"]
    assert "dependency" in shown["dep-down"]["why"]


def test_what_the_rig_lacks_is_not_available() -> None:
    """A lever that is not there, or another's proxy, is a reason of its own."""
    shown = {entry["kind"]: entry for entry in panel(SCENARIO, frozenset({"agent"}), "external")}
    assert "network lever" in shown["tcp-down"]["why"]
    whole = {entry["kind"]: entry for entry in panel(SCENARIO, EVERY, "shopify-process")}
    assert "squall's own proxy" in whole["idle-cut"]["why"]
    assert whole["tcp-down"]["available"]


def test_a_scenarios_own_faults_are_the_game_plan(tmp_path: Path) -> None:
    """Each fills the form: parameters with their units, and what stands beside it for the day."""
    fault = {"fault": TcpLatency.model_validate({"delay": "300ms"}), "for": "1m"}
    beside = {"pause": "Ready?", "hypothesis": {"expected": "slower", "breaks": "latency_p99"}}
    day, _ = staged(tmp_path, journals.scenario(fault | beside, {"fault": TcpLatency()}))
    first, second = opening(day.game)["plan"]
    assert first == {
        "kind": "tcp-latency",
        "parameters": {"delay": "300ms"},
        "for": "60s",
        "pause": "Ready?",
        "hypothesis": {
            "expected": "slower",
            "breaks": "latency_p99",
            "stop_when": "",
            "stop_errors": "",
        },
    }
    assert (second["parameters"], second["for"], second["pause"]) == ({}, "10s", "")
