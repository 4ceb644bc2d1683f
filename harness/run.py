"""Conducts one run: a folder for it, the rig up, the storm, everything down and healed."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anyio.to_thread import run_sync

from harness import facts, overrides, played, yardstick
from harness import plan as plans
from harness.capacity import course as courses
from harness.capacity.course import Course
from harness.errors import NotHealedError, SquallError, UsageError
from harness.gameday.day import Day, awaited
from harness.overrides import Overrides
from harness.plan import Plan
from harness.played import GAME_DAY
from harness.redaction import redact_logs
from harness.rig.safety import kept_whole
from harness.running import assembly, audit, guard, leftovers, preflight
from harness.running.interruption import Interruption, interruptible
from harness.running.status import Status
from harness.scenario.auth import Auth
from harness.scenario.bare import stretch_s
from harness.scenario.load import Loaded
from harness.session.access import Doors
from harness.storm import Ran, Stage, storm

SCENARIO = "scenario.yaml"
FACTS = "facts.json"
LOGS = "logs"
CAPACITY = "capacity"  # the fact that the run was a search for capacity, and which


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
    course: Course | None = None  # of a search for capacity; the scenario is prepared for it
    day: Day | None = None  # of faults by hand


async def foresee(order: Order) -> None:
    """Refuse what `conduct` would refuse, as far as that is known while nothing is started.

    Raises:
        TargetError, RigError, UsageError: as `conduct`.
    """
    await _check(order)
    await assembly.look_ahead(order.loaded.scenario, order.allowed)


async def conduct(order: Order, on_status: Callable[[Status], None]) -> Ran:
    """Run a scenario and give its folder; the journal in it is closed and ready to be judged.

    A run that is refused before any load leaves no folder behind, unless a part of the rig has
    said in its log why it would not start: then the error names it.

    Raises:
        TargetError, RigError, UsageError: before any load was offered; the latter also when an
            earlier run has left something broken.
        InterruptedRunError: a signal came before any load was offered.
        BrokenOffError: the journal cannot be written any more; the faults are undone.
        NotHealedError: when a part of the rig could not be shown to be gone.
    """
    await _check(order)
    folder = _folder(order)
    try:
        async with interruptible() as interruption, awaited(order.day):
            return await _conduct(order, on_status, folder, interruption)
    except SquallError as error:
        _clear_away(folder, error)
        raise
    finally:
        _hide_secrets(folder / LOGS, order.loaded.scenario.auth)


async def _check(order: Order) -> None:
    """See that this machine can hold the run, and that no earlier one has left it broken."""
    if order.web_port is not None:
        guard.check_port(order.web_port)
    own = order.toxiproxy_url is None
    guard.raise_file_limit(guard.files_needed(order.loaded.scenario, order.workers, proxied=own))
    guard.check_process_limit(guard.processes_needed(order.loaded.scenario))
    await run_sync(leftovers.check, order.out, order.toxiproxy_url)


async def _conduct(
    order: Order, on_status: Callable[[Status], None], folder: Path, interruption: Interruption
) -> Ran:
    scenario = order.loaded.scenario
    run_id = folder.name.rpartition("-")[2]
    course = order.course
    plan = _plan(order)
    known = facts.gather(
        command=order.command, seed=scenario.seed, era=scenario.spoken_era, name=order.loaded.name
    )
    known |= {"run_id": run_id, "overrides": overrides.dump(order.overrides)}
    known |= {"file": order.loaded.lines.file, "workers": order.workers}
    if course is not None:
        known |= {CAPACITY: courses.dump(course)}
    elif order.day is not None:
        known |= {GAME_DAY: asdict(_course_of(order.day))}
    else:
        known |= _yardstick(order, known["machine"])
    ran: Ran | None = None
    _tell(order, "the target and what stands around it are being started")
    try:
        async with (
            kept_whole(folder, run_id, folder / LOGS) as safety,
            assembly.build(
                scenario,
                run_id=run_id,
                toxiproxy_url=order.toxiproxy_url,
                allowed=order.allowed,
                folder=folder,
            ) as rig,
        ):
            _tell(order, "one session through each arm's door looks whether the target answers")
            tools = await preflight.check(scenario, rig.doors, rig.access)
            known |= {
                "target": rig.doors.url,
                "transport": _transport(rig.doors),
                "toxiproxy": {"kind": rig.toxiproxy_kind, "version": rig.toxiproxy_version},
            }
            _write_facts(folder, known)
            _tell(order, "the sessions are being prepared")
            ran = await storm(
                Stage(
                    loaded=order.loaded,
                    overrides=order.overrides,
                    plan=plan,
                    rig=rig,
                    tools=tools,
                    audited=() if course is not None else await audit.begin(scenario, rig, tools),
                    folder=folder,
                    run_id=run_id,
                    workers=order.workers,
                    web_port=order.web_port,
                    interruption=interruption,
                    course=course,
                    day=order.day,
                    pillars=(safety.watchdog.lost, rig.proxies_lost),
                ),
                on_status,
            )
    except NotHealedError as error:
        if ran is None:
            raise
        return replace(ran, not_healed=(*ran.not_healed, str(error)))
    assert ran is not None
    return ran


def _tell(order: Order, words: str) -> None:
    """Say to those who look at a game day's page what it waits for."""
    if order.day is not None:
        order.day.wait_for(words)


def _plan(order: Order) -> Plan:
    """Plan what the order asks for."""
    scenario = order.loaded.scenario
    if order.course is not None:
        return courses.make_plan(scenario, order.course)
    if order.day is not None:
        return played.plan_for(scenario, _course_of(order.day))
    return plans.make(scenario)


def _course_of(day: Day) -> played.Course:
    """Give what is known of a game day before it."""
    return played.Course(longest_s=day.terms.longest_s)


def _yardstick(order: Order, machine: Mapping[str, Any]) -> dict[str, Any]:
    """Say where A/A figures of this scenario are kept, and which: this run's, or those it found."""
    asked = replace(order.overrides, aa=None).load(order.loaded.text, order.loaded.lines.file)
    file = yardstick.place(
        order.out, order.loaded.name, asked.scenario, workers=order.workers, machine=machine
    )
    if order.overrides.aa:
        return {"yardstick": file.name, "stretch_s": stretch_s(asked.scenario)}
    found = yardstick.recall(file)
    return {"yardstick": file.name, "bare_arms": yardstick.dump(found) if found else None}


def _transport(doors: Doors) -> str:
    """How the target is reached, in words."""
    name = "HTTP+SSE" if doors.transport == "sse" else "Streamable HTTP"
    tls = " over TLS" if urlsplit(doors.url).scheme == "https" else ""
    return f"{name}{tls}" + (f" on the socket {doors.unix_socket}" if doors.unix_socket else "")


def _folder(order: Order) -> Path:
    """Make the run's folder.

    Raises:
        UsageError: when it cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = order.out / f"{order.loaded.name}-{stamp}-{secrets.token_hex(4)}"
    try:
        (folder / LOGS).mkdir(parents=True)
        (folder / SCENARIO).write_text(order.loaded.text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot write to {order.out}: {error.strerror or error}; name another with --out"
        ) from error
    return folder


def _clear_away(folder: Path, error: SquallError) -> None:
    """Remove the folder of a run that was not to be, unless the error tells to look into it."""
    if isinstance(error, NotHealedError) or str(folder) in str(error):
        return
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()  # when it was made for this run alone


def _hide_secrets(logs: Path, auth: Auth | None) -> None:
    """Take out of the logs what a launched target may have said of the tokens it was shown."""
    variables = () if auth is None else (auth.token_variable, auth.client_secret_variable)
    redact_logs(logs, [os.environ.get(name, "").strip() for name in variables])


def _write_facts(folder: Path, known: dict[str, Any]) -> None:
    """Write the facts, whole or not at all: what dies half-way must still be readable."""
    text = json.dumps(known, indent=2, ensure_ascii=False) + "\n"
    fresh = folder / f"{FACTS}.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(folder / FACTS)
