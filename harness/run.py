"""Conducts one run: a folder for it, the rig up, the storm, everything down and healed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import assembly, facts, guard, overrides, preflight
from harness import plan as plans
from harness.errors import NotHealedError
from harness.overrides import Overrides
from harness.scenario.load import Loaded
from harness.storm import Ran, Stage, Status, storm

SCENARIO = "scenario.yaml"
FACTS = "facts.json"
LOGS = "logs"


@dataclass(frozen=True, kw_only=True)
class Order:
    """One run as it was asked for."""

    loaded: Loaded
    overrides: Overrides
    command: Sequence[str]  # what repeats it
    out: Path
    toxiproxy_url: str | None = None
    workers: int = 0  # 0: every session in this process
    web_port: int | None = None
    allowed: tuple[str, ...] = ()


async def conduct(order: Order, on_status: Callable[[Status], None]) -> Ran:
    """Run a scenario and give its folder; the journal in it is closed and ready to be judged.

    Raises:
        TargetError, RigError, UsageError: before any load was offered.
        NotHealedError: when a part of the rig could not be shown to be gone.
    """
    scenario = order.loaded.scenario
    guard.check_platform()
    guard.raise_file_limit(guard.files_needed(scenario, order.workers))
    plan = plans.make(scenario)
    run_id = secrets.token_hex(4)
    folder = _folder(order, run_id)
    known = facts.gather(
        command=order.command, seed=scenario.seed, era=scenario.era, name=order.loaded.name
    )
    known |= {"run_id": run_id, "overrides": overrides.dump(order.overrides)}
    known |= {"file": order.loaded.lines.file, "workers": order.workers}
    ran: Ran | None = None
    try:
        async with assembly.build(
            scenario,
            run_id=run_id,
            toxiproxy_url=order.toxiproxy_url,
            allowed=order.allowed,
            folder=folder,
        ) as rig:
            tools = await preflight.check(scenario, rig.doors, rig.access)
            known |= {
                "target": rig.doors.url,
                "toxiproxy": {"kind": rig.toxiproxy_kind, "version": rig.toxiproxy_version},
            }
            _write_facts(folder, known)
            ran = await storm(
                Stage(
                    loaded=order.loaded,
                    overrides=order.overrides,
                    plan=plan,
                    rig=rig,
                    tools=tools,
                    folder=folder,
                    run_id=run_id,
                    workers=order.workers,
                    web_port=order.web_port,
                ),
                on_status,
            )
    except NotHealedError as error:
        if ran is None:
            raise
        return replace(ran, not_healed=(*ran.not_healed, str(error)))
    assert ran is not None
    return ran


def _folder(order: Order, run_id: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = order.out / f"{order.loaded.name}-{stamp}-{run_id}"
    (folder / "logs").mkdir(parents=True)
    (folder / SCENARIO).write_text(order.loaded.text, encoding="utf-8")
    return folder


def _write_facts(folder: Path, known: dict[str, Any]) -> None:
    text = json.dumps(known, indent=2, ensure_ascii=False) + "\n"
    (folder / FACTS).write_text(text, encoding="utf-8")
