"""What an A/A run measured, kept beside the runs for those that come after it.

One small file in the folder that holds the run folders, named after the scenario and a digest of
what the figures depend on: what is asked, by whom, of which target, and on which machine. A run
copies what it found into its own `facts.json`, so that judging it again gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

import harness
from harness.scenario.bare import bare, stretch_s
from harness.scenario.records import Scenario
from harness.verdict import BareArms

# These change nothing between bare arms.
_ALIKE: Final = {"question", "seed", "faults", "limits", "abort", "phases"}
_DIGITS: Final = 12
_ADAPTER: Final[TypeAdapter[BareArms]] = TypeAdapter(BareArms)


def place(
    out: Path, name: str, scenario: Scenario, *, workers: int, machine: Mapping[str, Any]
) -> Path:
    """Give the file for a scenario (with its faults) on a machine, beside the runs in `out`."""
    parts = {
        "squall": harness.__version__,
        "machine": dict(machine),
        "workers": workers,
        "stretch_s": stretch_s(scenario),
        "scenario": bare(scenario).model_dump(mode="json", exclude=_ALIKE),
    }
    text = json.dumps(parts, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return out / f"aa-{name}-{digest}.json"


def recall(file: Path) -> BareArms | None:
    """Give what was measured; None when nothing was, or it cannot be read."""
    try:
        return restore(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def remember(file: Path, measured: BareArms) -> None:
    """Keep what was measured, instead of what was there.

    Raises:
        OSError: when the folder cannot be written.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(dump(measured), indent=1) + "\n", encoding="utf-8")
    fresh.replace(file)


def forget(file: Path) -> None:
    """Drop what was measured: bare arms do not agree here any more."""
    with suppress(OSError):
        file.unlink()


def dump(measured: BareArms) -> dict[str, Any]:
    """Make what was measured fit for `facts.json`."""
    return asdict(replace(measured, own=False))


def restore(data: Any) -> BareArms | None:
    """Read what `dump` made; None when it is not that."""
    with suppress(ValidationError):
        return _ADAPTER.validate_python(data)
    return None
