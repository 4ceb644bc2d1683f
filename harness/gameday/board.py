"""Where a day stands, as pages are shown it: plain values, described in this folder's README.md."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from harness.clock import NS_PER_S
from harness.evidence.generator import LAG_P99_SUSPECT_MS, RUN_DELAY_SUSPECT, STALL_OVER_MS
from harness.gameday.game import Game
from harness.gameday.terms import LEVERS
from harness.gameday.windows import Struck
from harness.gameday.wish import limits_of
from harness.journal import RemarkEntry
from harness.scenario.parameters import given
from harness.scenario.units import counted, duration
from harness.scenario.window import Hypothesis, Window

Json = dict[str, Any]


def opening(game: Game) -> Json:
    """Give what does not change while a day lasts, and the points so far."""
    plan = game.plan
    return {
        "scenario": game.name,
        "question": game.scenario.question,
        "run": game.run_id,
        "sessions": {
            arm: sum(each.arm == arm for each in plan.sessions) for arm in ("control", "treated")
        },
        "limits": limits_of(game.scenario),
        "lease_s": game.terms.lease_s,
        "longest_s": plan.end_ns / NS_PER_S,
        "baseline_s": [plan.baseline_start_ns / NS_PER_S, plan.baseline_end_ns / NS_PER_S],
        "recovery_s": game.scenario.phases.recovery_s,
        "stop_condition": game.scenario.abort.control_errors or "",
        "plan": [_step(each) for each in game.scenario.faults],
        "points": list(game.series.points),
    }


def _step(window: Window) -> Json:
    """Give a fault of the scenario's own as the form is filled with it."""
    said = window.hypothesis or Hypothesis()
    return {
        "kind": window.fault.kind,
        "parameters": given(window.fault),
        "for": duration(window.duration_s),
        "pause": window.pause,
        "hypothesis": said.model_dump(),
    }


def state(game: Game) -> Json:
    """Give where a day stands now."""
    now_ns = game.clock.now_ns()
    now_s = now_ns / NS_PER_S
    baseline = _baseline(game)
    return {
        "now_s": round(now_s, 2),
        "left_s": round(max(0.0, (game.plan.end_ns - now_ns) / NS_PER_S), 1),
        "phase": game.phase(),
        "recovering_s": round(game.recovering_s(), 1),
        "can_start": not game.why_not(),
        "why_not": game.why_not(),
        "over": game.over,
        "how": game.ended()[0],
        "point": game.series.points[-1] if game.series.points else None,
        "baseline": baseline,
        "faults": [_fault(game, one, now_ns, baseline) for one in game.faults],
        "levers": _levers(game),
        "halt": asdict(game.halted) | {"at_s": _s(game.halted.at_ns)} if game.halted else None,
        "people": [
            {"who": page.who, "role": page.role} for page in game.attendance.crowd.pages.values()
        ],
        "lease_cut": game.attendance.leases.cut and bool(game.attendance.leases.held),
        "remarks": [_remark(one) for one in game.book.remarks if not one.window],
        "generator": _generator(game),
    }


def _fault(game: Game, one: Struck, now_ns: int, baseline: Json | None) -> Json:
    said = one.wish.hypothesis
    running = not one.over.is_set()
    hit = one.exposure
    live = game.exposures.get(one.number)
    if live is not None and live.count:
        hit = counted(live.count, live.unit)
    behaved = game.series.behaved.get(one.number, 0)
    seen = counted(behaved, "calls") if behaved else game.hits.words(one.number)
    return {
        "window": one.number,
        "id": one.id,
        "kind": one.wish.fault.kind,
        "lever": one.wish.fault.lever,
        "strikes": one.wish.fault.strikes(),
        "parameters": {name: str(value) for name, value in one.wish.parameters.items()},
        "who": one.who,
        "state": one.state,
        "ordered_s": _s(one.ordered_ns),
        "start_s": None if one.start_ns is None else _s(one.start_ns),
        "end_s": None if one.end_ns is None else _s(one.end_ns),
        "left_s": _left(one.lease.wanted_ns, now_ns) if running else None,
        "lease_left_s": _left(one.lease.until_ns, now_ns) if running else None,
        "why": one.why,
        "error": one.error,
        "hit": hit or seen,
        "hypothesis": {
            "expected": said.expected,
            "breaks": said.breaks,
            "stop_when": said.stop_when,
            "stop_errors": said.stop_errors,
        },
        "observed": _observed(game, one, now_ns),
        "baseline": baseline,
        "remarks": [_remark(each) for each in game.book.remarks if each.window == one.number],
    }


def _observed(game: Game, one: Struck, now_ns: int) -> Json | None:
    """Give what was seen while it was in force, arm by arm; None before."""
    if one.start_ns is None:
        return None
    end_s = _s(one.end_ns if one.end_ns is not None else now_ns)
    during = game.series.between(_s(one.start_ns), end_s)
    after = None
    if one.end_ns is not None:
        after = game.series.between(end_s + 1, _recovered_by_s(game, one, end_s))
    return {"during": during, "after": after}


def _recovered_by_s(game: Game, one: Struck, end_s: float) -> float:
    """Give the end of a fault's recovery: what the next fault does is none of its doing."""
    until_s = end_s + 1 + game.scenario.phases.recovery_s
    nexts = [each.start_ns for each in game.faults if each.number > one.number and each.start_ns]
    return min([until_s, *map(_s, nexts)])


def _baseline(game: Game) -> Json | None:
    """Give the baseline once it is over, and nothing was in force in it."""
    if game.clock.now_ns() < game.plan.baseline_end_ns:
        return None
    start_s, end_s = _s(game.plan.baseline_start_ns), _s(game.plan.baseline_end_ns)
    return game.series.between(start_s, end_s)


def _levers(game: Game) -> list[Json]:
    """Give each lever with the state of what was last done with it."""
    found = []
    for lever in LEVERS:
        mine = [one for one in game.faults if one.wish.fault.lever == lever]
        bad = [one for one in mine if one.state == "not proven healed"]
        running = [one for one in mine if not one.is_over]
        said = [one for one in mine if one.state == "healed"]
        if bad:
            how, of = "not proven healed", bad[-1].id
        elif running:
            how, of = "applied", running[-1].id
        elif said:
            how, of = "healed", said[-1].id
        else:
            how, of = ("at rest" if lever in game.has else "not here"), ""
        found.append({"lever": lever, "state": how, "fault": of})
    return found


def _generator(game: Game) -> Json | None:
    health = game.load.health if game.load is not None else None
    if health is None:
        return None
    return {
        "lag_p99_ms": round(health.lag_p99_ms, 2),
        "lag_suspect_ms": LAG_P99_SUSPECT_MS,
        "lag_late_ms": STALL_OVER_MS,
        "slip_p99_ms": round(health.slip_p99_ms, 2),
        "cpu_share": round(health.cpu_share, 3),
        "run_delay_share": health.run_delay_share,
        "run_delay_suspect": RUN_DELAY_SUSPECT,
        "open_files": health.open_files,
        "open_files_max": health.open_files_max,
        "sessions": health.sessions,
    }


def _remark(one: RemarkEntry) -> Json:
    return {
        "at_s": _s(one.at_ns),
        "who": one.who,
        "kind": one.kind,
        "text": one.text,
        "window": one.window,
        "as_expected": one.as_expected,
    }


def _left(until_ns: int, now_ns: int) -> float:
    return round(max(0, until_ns - now_ns) / NS_PER_S, 1)


def _s(at_ns: int) -> float:
    return round(at_ns / NS_PER_S, 2)
