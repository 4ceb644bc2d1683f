from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from math import inf, nan

import jsonschema_rs
import pytest

from faults.network import TcpReset
from harness.judge import judge
from reports.document import SCHEMA_VERSION, verdict, verdict_schema
from tests.journals import storm
from tests.reports.samples import judgement_of_a_calm, judgement_of_a_storm

VALIDATOR = jsonschema_rs.validator_for(verdict_schema())


def test_the_published_schema_is_the_one_in_the_code() -> None:
    """The file in the repository is what `verdict_schema` gives."""
    text = (files("reports") / "verdict.schema.json").read_text(encoding="utf-8")
    assert text == json.dumps(verdict_schema(), indent=2, ensure_ascii=False) + "\n"


def test_every_verdict_fits_the_schema() -> None:
    """Failed, calm, without a score, and from the real judge."""
    judgements = [
        judgement_of_a_storm(),
        judgement_of_a_calm(),
        replace(judgement_of_a_storm(), score=None),
        judge(storm(TcpReset()), name="dropped"),
    ]
    for judgement in judgements:
        VALIDATOR.validate(json.loads(verdict(judgement)))


def test_the_schema_refuses_what_is_not_a_verdict() -> None:
    """A missing key, an unknown ruling and a key nobody knows are all refused."""
    document = json.loads(verdict(judgement_of_a_storm()))
    missing = {key: value for key, value in document.items() if key != "score"}
    for broken in (missing, document | {"ruling": "maybe"}, document | {"extra": 1}):
        with pytest.raises(jsonschema_rs.ValidationError):
            VALIDATOR.validate(broken)


def test_the_keys_are_in_their_stable_order() -> None:
    """Readers and diffs can rely on the order; the first key names the version."""
    document = json.loads(verdict(judgement_of_a_storm()))
    assert list(document) == list(verdict_schema()["properties"])
    assert document["schema"] == SCHEMA_VERSION
    assert document["latency"][0]["from"] == "due"
    assert "origin" not in document["latency"][0]


def test_the_same_judgement_gives_the_same_bytes() -> None:
    """Judging and writing twice is byte for byte the same."""
    first, second = (verdict(judge(storm(TcpReset()), name="x")) for _ in range(2))
    assert first == second


def test_what_is_not_a_number_is_null() -> None:
    """JSON knows no infinity; a reader gets null rather than a broken file."""
    judgement = replace(judgement_of_a_storm(), tokens={"mean": nan, "max": inf})
    assert json.loads(verdict(judgement))["tokens"] == {"mean": None, "max": None}
