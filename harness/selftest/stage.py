"""Stages: ordinary scenarios, of which a trial keeps only the fault windows it is about."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.scenario.document import read
from harness.scenario.load import load
from harness.selftest.cases import ERAS, Era


def stages() -> dict[str, Path]:
    """Give every stage by name."""
    folder = Path(str(files("harness.selftest").joinpath("stages")))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def eras_of(stage: str) -> tuple[Era, ...]:
    """Give the eras that a stage can be played in."""
    era = load(stages()[stage]).scenario.era
    return ERAS if era == "auto" else (era,)


def cut(stage: str, faults: tuple[str, ...] | None, *, manner: str = "") -> str:
    """Give a stage's text with these kinds of faults kept; None keeps all of them.

    The text is JSON, which is YAML too.

    Raises:
        UsageError: when the stage has no such fault.
    """
    file = stages()[stage]
    document: Any = read(file.read_text(encoding="utf-8"), str(file)).value
    if faults is not None:
        windows = document.pop("faults", [])
        kept = [window for window in windows if set(window) & set(faults)]
        there = {kind for window in windows for kind in window}
        if missing := [kind for kind in faults if kind not in there]:
            raise UsageError(f"expected {', '.join(missing)} among the faults of stage {stage}")
        if kept:
            document["faults"] = kept
    if manner:
        document["target"] = {**document["target"], "manner": manner}
    return json.dumps(document, ensure_ascii=False, indent=2)
