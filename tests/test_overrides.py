from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import JournalError, UsageError
from harness.overrides import Overrides, dump, restore
from harness.scenario.records import LaunchTarget, ReferenceTarget, UrlTarget

TEXT = """\
question: Does it hold when things break?
seed: 7
era: legacy
target: {reference: hardened}
agents:
  - name: worker
    steps:
      - {call: search, with: {query: "${nonce}"}}
"""
URL = "http://127.0.0.1:9/mcp"


def test_without_flags_a_scenario_is_what_the_file_says() -> None:
    """Nothing is taken from anywhere else."""
    scenario = Overrides().load(TEXT, "a.yaml").scenario
    assert (scenario.seed, scenario.era) == (7, "legacy")
    assert scenario.target == ReferenceTarget(reference="hardened")


@pytest.mark.parametrize(
    ("overrides", "target"),
    [
        (Overrides(target_url=URL), UrlTarget(url=URL)),
        (
            Overrides(launch=("serve", "--port", "${port}"), target_url=URL),
            LaunchTarget(launch=("serve", "--port", "${port}"), url=URL),
        ),
        (Overrides(reference=("no-dedup",)), ReferenceTarget(reference=("no-dedup",))),
    ],
)
def test_a_flag_takes_the_place_of_the_file_s_target(overrides: Overrides, target: object) -> None:
    """Everything else stays, the text included."""
    loaded = overrides.load(TEXT, "a.yaml")
    assert loaded.scenario.target == target
    assert loaded.scenario.seed == 7
    assert loaded.text == TEXT


def test_seed_and_era_can_be_set(tmp_path: Path) -> None:
    """Zero is a seed like any other."""
    file = tmp_path / "a.yaml"
    file.write_text(TEXT)
    scenario = Overrides(seed=0, era="modern").load_file(file).scenario
    assert (scenario.seed, scenario.era) == (0, "modern")


def test_an_unknown_flaw_is_refused_with_the_known_ones() -> None:
    """The message names the one that was meant, or lists what there is."""
    with pytest.raises(UsageError, match=r"got 'xyz'; there are: .*no-dedup"):
        Overrides(reference=("no-dedup", "xyz")).target()
    with pytest.raises(UsageError, match=r"got 'no-dedpu'; did you mean no-dedup\?"):
        Overrides(reference=("no-dedpu",)).target()


@pytest.mark.parametrize(
    "overrides",
    [
        Overrides(),
        Overrides(target_url=URL, seed=0),
        Overrides(reference=("no-dedup", "sync-blocks-loop"), era="modern"),
        Overrides(launch=("a", "b"), target_url=URL),
    ],
)
def test_a_run_folder_remembers_the_flags(overrides: Overrides, tmp_path: Path) -> None:
    """Through the JSON of `facts.json`, with nothing said that was not."""
    data = json.loads(json.dumps(dump(overrides)))
    assert None not in data.values()
    assert restore(data, tmp_path) == overrides


@pytest.mark.parametrize("data", [{"mood": "good"}, {"seed": "many"}, {"reference": 3}])
def test_flags_of_another_version_are_refused(data: dict[str, object], tmp_path: Path) -> None:
    """Rather than judged as something else."""
    with pytest.raises(JournalError, match="another version of squall"):
        restore(data, tmp_path)
