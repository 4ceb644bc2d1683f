"""Was squall itself the bottleneck? A verdict for each of its processes, and for all together.

- **ok**: nothing to remark;
- **suspect**: a process was short of something, and no figure shows it; said, and believed;
- **invalid**: squall's own lateness is in the figures, or a process was lost; nothing is concluded.

What counts is how late calls left that nothing held back: that lateness is in every latency from
due, so a machine that is merely busy harms nobody while it stays small beside the reported p50.
Where no call was free to leave on time, the event loop's own lateness stands in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.clock import NS_PER_MS, NS_PER_S
from harness.journal import Calls, HealthEntry
from harness.verdict import GeneratorHealth, GeneratorVerdict, ProcessHealth

# Measured beside a server that stamps its own times: the error of p99 was 1 to 5 times the loop's
# lag at p99, whether the processor was shared or not, and CPU alone saw nothing of stolen time.
LAG_P99_SUSPECT_MS: Final = 5.0
LAG_P50_MAX_MS: Final = 2.0
RUN_DELAY_SUSPECT: Final = 0.05
RUN_DELAY_MAX: Final = 0.20
CPU_SUSPECT: Final = 0.85
THROTTLED_SUSPECT: Final = 0.05
OPEN_FILES_SUSPECT: Final = 0.9  # of the limit
# What of it may show in a figure: two crowded cores made every run invalid without these.
SLIP_P50_MAX_MS: Final = 2.0
SLIP_P50_MAX_SHARE: Final = 0.25  # of the reported p50
SLIP_P99_MAX_MS: Final = 20.0  # or the reported p50, whichever is more
STALL_OVER_MS: Final = 20.0  # a timer later than that is a stall, and counts by what is beyond
STALLED_MAX: Final = 0.05  # of a phase: its p95 is squall's own then, if one is above p50
STALLED_MIN_S: Final = 0.5  # below that a short phase is not given up for a hiccup
FREE_CALLS_MIN: Final = 29  # what bounds a p90

MASTER: Final = 0
RANK: Final[Mapping[GeneratorVerdict, int]] = {"ok": 0, "suspect": 1, "invalid": 2}
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A named part of the run, in nanoseconds since it began; the end is outside."""

    name: str
    start_ns: int
    end_ns: int


def assess(
    calls: Calls,
    entries: Sequence[HealthEntry],
    stretches: Sequence[Stretch],
    *,
    p50_ms: float | None = None,
    lost: Mapping[int, str] | None = None,
) -> GeneratorHealth | None:
    """Judge every process of the generator over some stretches; None when none of them spoke.

    `calls` are those whose lateness counts, sorted by (session, index), of several attempts the
    last. `p50_ms` is the median latency from due that is reported of them; without it, theirs.
    `lost` are processes that went away, with the reason.
    """
    gone = {} if lost is None else lost
    watched = [list(_within(entries, worker, stretches)) for worker in _workers(entries, gone)]
    if not any(watched) and not gone:
        return None
    if p50_ms is None:
        sent = calls[calls["sent_ns"] >= 0]
        p50_ms = _quantile((sent["done_ns"] - sent["due_ns"]) / NS_PER_MS, 0.5)
    workers, slips_ms = _free_slips(calls)
    processes = tuple(
        _process(
            worker,
            seen,
            slips_ms[workers == worker],
            p50_ms=p50_ms,
            alone=len(watched) == 1,
            lost=gone.get(worker),
        )
        for worker, seen in zip(_workers(entries, gone), watched, strict=True)
        if seen or worker in gone
    )
    return _together(processes, slips_ms)


# --- what was seen --------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """One entry, with the stretch that it is of."""

    entry: HealthEntry
    stretch: Stretch


def _workers(entries: Sequence[HealthEntry], gone: Mapping[int, str]) -> list[int]:
    return sorted({entry.worker for entry in entries} | gone.keys())


def _within(
    entries: Sequence[HealthEntry], worker: int, stretches: Sequence[Stretch]
) -> Iterator[_Seen]:
    """Give a process's entries whose middle lies in a stretch: one may be long after a stall."""
    before_ns: int | None = None
    for entry in entries:
        if entry.worker != worker:
            continue
        began_ns = entry.at_ns - NS_PER_S if before_ns is None else before_ns
        before_ns = entry.at_ns
        middle_ns = (began_ns + entry.at_ns) // 2
        for stretch in stretches:
            if stretch.start_ns <= middle_ns < stretch.end_ns:
                yield _Seen(entry=entry, stretch=stretch)
                break


def _free_slips(calls: Calls) -> tuple[NDArray[np.uint8], Floats]:
    """Give worker and lateness (ms) of the calls whose session was idle when they were due."""
    if len(calls) < 2:  # noqa: PLR2004  a predecessor takes two
        return np.zeros(0, dtype=np.uint8), np.zeros(0)
    free = calls["session"][1:] == calls["session"][:-1]
    free &= calls["done_ns"][:-1] <= calls["due_ns"][1:]
    free &= (calls["attempt"][1:] == 1) & (calls["sent_ns"][1:] >= 0)
    late_ns = calls["sent_ns"][1:][free] - calls["due_ns"][1:][free]
    return calls["worker"][1:][free], np.asarray(np.maximum(0, late_ns) / NS_PER_MS)


def _quantile(values: Floats, share: float) -> float:
    return round(float(np.quantile(values, share)), 3) if len(values) else 0.0


def _median(values: Sequence[float | None]) -> float | None:
    """Give the median of what was told; None when nothing was."""
    told = [value for value in values if value is not None]
    return round(float(np.median(told)), 4) if told else None


# --- one process ----------------------------------------------------------------------------


def _process(
    worker: int,
    seen: Sequence[_Seen],
    slips_ms: Floats,
    *,
    p50_ms: float,
    alone: bool,
    lost: str | None,
) -> ProcessHealth:
    """Rule on one process by its figures: over its typical second, and at its worst."""
    entries = [one.entry for one in seen]
    lag_p50_ms = _median([entry.lag_p50_ms for entry in entries]) or 0.0
    lag_p99_ms = _median([entry.lag_p99_ms for entry in entries]) or 0.0
    told = len(slips_ms) >= FREE_CALLS_MIN or not any(entry.calls for entry in entries)
    stalled = max(_stalls(seen), default=(0.0, ""))
    open_files = [entry.open_files for entry in entries if entry.open_files is not None]
    limits = [entry.open_files_max for entry in entries if entry.open_files_max is not None]
    process = ProcessHealth(
        worker=worker,
        name=_name(worker, alone=alone),
        verdict="ok",
        why="",
        sent_late_p50_ms=_quantile(slips_ms, 0.5) if told else lag_p50_ms,
        sent_late_p99_ms=_quantile(slips_ms, 0.99) if told else lag_p99_ms,
        lag_p50_ms=lag_p50_ms,
        lag_p99_ms=lag_p99_ms,
        lag_max_ms=max((entry.lag_max_ms for entry in entries), default=0.0),
        stalled_share=round(stalled[0], 4),
        stalled_in=stalled[1],
        cpu_share=_median([entry.cpu_share for entry in entries]) or 0.0,
        run_delay_share=_median([entry.run_delay_share for entry in entries]),
        throttled_share=_median([entry.throttled_share for entry in entries]),
        gc_pause_max_ms=max((entry.gc_pause_max_ms for entry in entries), default=0.0),
        open_files=max(open_files, default=None),
        open_files_max=min(limits, default=None),
    )
    harms = tuple(_harms(process, p50_ms, lost))
    remarks = harms or tuple(_remarks(process))
    verdict: GeneratorVerdict = "invalid" if harms else "suspect" if remarks else "ok"
    return replace(process, verdict=verdict, why="; ".join(remarks))


def _stalls(seen: Sequence[_Seen]) -> Iterator[tuple[float, str]]:
    """Give the share of each stretch in which the event loop stood still, where it matters."""
    for stretch in dict.fromkeys(one.stretch for one in seen):
        stalled_s = sum(one.entry.stalled_ms for one in seen if one.stretch == stretch) / 1000
        if stalled_s >= STALLED_MIN_S:
            yield stalled_s * NS_PER_S / max(1, stretch.end_ns - stretch.start_ns), stretch.name


def _name(worker: int, *, alone: bool) -> str:
    if worker != MASTER:
        return f"worker {worker}"
    return "squall" if alone else "the master"


def _harms(process: ProcessHealth, p50_ms: float, lost: str | None) -> Iterator[str]:
    """Give every way in which a process's own lateness is in the figures."""
    if lost is not None:
        yield f"{process.name} was lost ({lost})"
    if process.name == "the master":
        return  # it sends nothing: its lateness moves the faults, which are recorded as they were
    late_ms, most_ms = process.sent_late_p50_ms, max(SLIP_P50_MAX_MS, SLIP_P50_MAX_SHARE * p50_ms)
    if late_ms > most_ms:
        yield (
            f"the typical call left {late_ms:.1f} ms late, which is more than {most_ms:.1f} ms "
            "and shows in every latency"
        )
    late_ms, most_ms = process.sent_late_p99_ms, max(SLIP_P99_MAX_MS, p50_ms)
    if late_ms > most_ms and (busy := [*_overloads(process)]):
        yield f"p99 of calls left {late_ms:.0f} ms late (at most {most_ms:.0f}), and {busy[0]}"
    # A stall that is shorter than the typical call takes anyway moves no percentile by much.
    if process.stalled_share > STALLED_MAX and process.lag_max_ms > p50_ms:
        yield f"{process.name} stood still for {process.stalled_share:.0%} of {process.stalled_in}"


def _overloads(process: ProcessHealth) -> Iterator[str]:
    """Give what a process has far too little of."""
    if process.run_delay_share is not None and process.run_delay_share > RUN_DELAY_MAX:
        yield f"{process.name} waited for a processor {process.run_delay_share:.0%} of the time"
    if process.lag_p50_ms > LAG_P50_MAX_MS:
        yield f"the event loop of {process.name} lagged {process.lag_p50_ms:.1f} ms at its median"


def _remarks(process: ProcessHealth) -> Iterator[str]:
    """Give everything that a process is short of."""
    yield from _overloads(process)
    delay, throttled = process.run_delay_share or 0.0, process.throttled_share or 0.0
    if RUN_DELAY_SUSPECT < delay <= RUN_DELAY_MAX:
        yield f"{process.name} waited for a processor {delay:.0%} of the time"
    if process.lag_p99_ms > LAG_P99_SUSPECT_MS and process.lag_p50_ms <= LAG_P50_MAX_MS:
        yield f"the event loop of {process.name} lagged {process.lag_p99_ms:.1f} ms at p99"
    if process.cpu_share > CPU_SUSPECT:
        yield f"{process.name} used {process.cpu_share:.0%} of a core"
    if throttled > THROTTLED_SUSPECT:
        yield f"the container's limit held {process.name} back {throttled:.0%} of the time"
    if process.stalled_share > 0 and process.name != "the master":
        yield f"{process.name} stood still for {process.stalled_share:.0%} of {process.stalled_in}"
    used, limit = process.open_files, process.open_files_max
    if used is not None and limit is not None and used > OPEN_FILES_SUSPECT * limit:
        yield f"{process.name} had {used:,} of at most {limit:,} files open"


# --- all of them ----------------------------------------------------------------------------


def _together(processes: Sequence[ProcessHealth], slips_ms: Floats) -> GeneratorHealth:
    """Take the worst verdict; the figures of the worst process, and the calls' own lateness."""
    verdict = max((one.verdict for one in processes), key=RANK.__getitem__)
    senders = [one for one in processes if one.name != "the master"] or list(processes)
    worst = max(senders, key=lambda one: (RANK[one.verdict], one.lag_p99_ms))
    told = len(slips_ms) >= FREE_CALLS_MIN
    late_ms = (
        _quantile(slips_ms, 0.5) if told else worst.sent_late_p50_ms,
        _quantile(slips_ms, 0.99) if told else worst.sent_late_p99_ms,
    )
    figures = (
        f"calls that nothing held left {late_ms[0]:.1f} ms late at p50, {late_ms[1]:.1f} at p99"
    )
    figures += f"; loop lag {worst.lag_p50_ms:.1f} / {worst.lag_p99_ms:.1f} ms"
    figures += f", CPU {worst.cpu_share:.0%}"
    if worst.run_delay_share is not None:
        figures += f", waiting for a processor {worst.run_delay_share:.0%}"
    reasons = [one.why for one in processes if one.verdict == verdict and one.why]
    said: dict[GeneratorVerdict, str] = {
        "ok": "",
        "suspect": f"{'; '.join(reasons)}, and no figure shows it: ",
        "invalid": f"squall was the bottleneck: {'; '.join(reasons)}; ",
    }
    return GeneratorHealth(
        verdict=verdict,
        why=said[verdict] + figures,
        sent_late_p50_ms=late_ms[0],
        sent_late_p99_ms=late_ms[1],
        lag_p99_ms=worst.lag_p99_ms,
        processes=tuple(processes),
    )
