from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from faults.catalogue import CATALOGUE
from harness.errors import ScenarioError
from harness.scenario.document import read
from harness.scenario.load import load_text
from harness.scenario.schema import json_schema
from tests.scenario.broken import BROKEN, SOUND
from tests.scenario.test_broken import place
from tests.scenario.test_load import STEPS

SCHEMA = json_schema()
VALIDATOR = jsonschema_rs.Draft202012Validator(SCHEMA)


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping inside a schema."""
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from nodes(member)
    elif isinstance(value, list):
        for member in value:
            yield from nodes(member)


def test_the_schema_is_one() -> None:
    """Draft 2020-12, as it says, and every reference in it leads somewhere."""
    assert jsonschema_rs.meta.is_valid(SCHEMA)
    assert SCHEMA["$schema"].endswith("2020-12/schema")
    references = {node["$ref"] for node in nodes(SCHEMA) if isinstance(node.get("$ref"), str)}
    assert {reference.removeprefix("#/$defs/") for reference in references} == set(SCHEMA["$defs"])


@pytest.mark.parametrize("text", [SOUND, STEPS], ids=["sound", "steps"])
def test_a_sound_scenario_meets_the_schema(text: str) -> None:
    """An editor underlines nothing that squall accepts."""
    assert [error.message for error in VALIDATOR.iter_errors(read(text, "x").value)] == []


@pytest.mark.parametrize("kind", CATALOGUE)
def test_every_fault_is_offered_in_each_way_to_write_it(kind: str) -> None:
    """As a word and as a mapping, and what it takes is described."""
    for written in (f"- {kind}", f"- {kind}:", f"- {kind}: {{}}\n    for: 5s"):
        text = SOUND.replace("- tcp-latency: {delay: 100ms}\n    for: 5s", written)
        assert VALIDATOR.is_valid(read(text, "x").value)
    assert not VALIDATOR.is_valid(
        read(SOUND.replace("tcp-latency: {delay: 100ms}", f"{kind}: {{nothing: 1}}"), "x").value
    )


def test_the_schema_refuses_what_is_misspelt_or_of_another_kind() -> None:
    """An editor shows most mistakes before squall is asked; never one that squall accepts."""
    refused = 0
    for case in BROKEN:
        text = place(case)[0]
        try:
            value = read(text, "x").value
        except ScenarioError:
            continue
        refused += not VALIDATOR.is_valid(value)
    assert refused >= 35


def test_every_default_is_written_as_a_file_would_write_it() -> None:
    """A default that an editor fills in is accepted by squall."""
    units = [node for node in nodes(SCHEMA) if "pattern" in node and "default" in node]
    assert len(units) > 20
    for node in units:
        assert isinstance(node["default"], str)
        assert jsonschema_rs.is_valid({"pattern": node["pattern"]}, node["default"])
    load = SCHEMA["$defs"]["Load"]["properties"]
    assert (load["ramp"]["default"], load["treated"]["default"]) == ("2s", "50%")
    text = SOUND.replace("ramp: 2s", f"ramp: {load['ramp']['default']}")
    assert load_text(text, "x").scenario.load.ramp_s == 2.0


def test_the_schema_is_the_same_each_time_and_plain_json() -> None:
    """It can be kept in a repository and compared."""
    assert json.dumps(json_schema()) == json.dumps(SCHEMA)
