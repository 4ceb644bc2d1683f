"""The result on one screen: what was lost first, limits beside measurements, the verdict last."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TextIO

from rich.cells import cell_len
from rich.text import Text

from harness.aa import sentence
from harness.verdict import BareArms, Finding, Limit, Ruling
from reports import courtesy
from reports.console import STYLES, rendered
from reports.distribution import ROLES, ArmRow, Tail
from reports.report import Band, Report
from reports.said import in_one
from reports.words import clean, mark, measured, milliseconds, near_lag, recovery, share

_FAILURES_SHOWN: Final = 6
_UNKNOWNS_SHOWN: Final = 4
_FAULTS_SHOWN: Final = 8
_FAULTS_LEAST: Final = 3
_SCREEN: Final = 24  # lines, when there is nothing bad to tell
_SCREEN_FAILED: Final = 60
# Sections that an empty line sets apart, the most deserving first.
_SPACED: Final = ("arms", "next", "faults", "verdict", "losses", "limits", "score", "doubts")
_LABEL: Final = 13
ENGINES: Final = ("wire", "sdk")
BASELINE: Final = "baseline"
_TOLD: Final = ("opened", "survived")
_ILL: Final = ("doubled", "orphaned", "unknown")
_RANK: Final[dict[Ruling, int]] = {"fail": 0, "unknown": 1, "pass": 2}


def wants_color(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Say whether to colour: on a terminal that can, unless NO_COLOR is set to anything."""
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return bool(environment.get("FORCE_COLOR")) or stream.isatty()


def summary(
    report: Report,
    *,
    width: int = 80,
    color: bool,
    folder: str = "",
    artefacts: Sequence[tuple[str, str]] = (),
) -> str:
    """Give the result as text that is at most `width` columns wide; `folder` holds the run.

    `artefacts` are files beside the folder's own: what each is, and where.
    """
    judgement = report.judgement
    # In the order of the screen; the verdict is one line, whatever is asked for by `tail -1`.
    sections = {
        "heading": _heading(report, width),
        "losses": list(_losses(report, width)),
        "limits": list(_limits(judgement.limits, width)),
        "arms": [
            *_arms(report, width),
            *_generator(report, width),
            *_kept(report),
            *_engines(report),
            *_said(report, width),
            *_courtesy(report, width),
        ],
        "faults": [],
        "score": list(_score(report, width)),
        "doubts": list(_doubts(report, width)),
        "next": [*_next(report, folder, width), *_written(artefacts, width)],
        "verdict": [_line((judgement.headline, STYLES[judgement.ruling]))],
    }
    bound = _SCREEN if judgement.ruling == "pass" else _SCREEN_FAILED
    room = bound - sum(map(len, sections.values())) - 2
    shown = min(max(room, _FAULTS_LEAST), _FAULTS_SHOWN)
    sections["faults"] = list(_faults(report, shown))
    spare = bound - sum(map(len, sections.values()))
    spaced = [name for name in _SPACED if sections[name]][: max(spare, 0)]
    lines: list[Text] = []
    for name, section in sections.items():
        if name in spaced:
            lines.append(Text())
        lines += section
    return rendered((_fit(line, width) for line in lines), width, color=color)


def _fit(line: Text, width: int) -> Text:
    line.rstrip()
    if line.overflow != "ignore":
        line.truncate(width, overflow="ellipsis")
    return line


def _whole(text: str, style: str) -> Text:
    """Make a line that is never cut, for it is there to be copied: a path."""
    return Text(text, style=style, overflow="ignore")


def _wrapped(text: str, style: str, width: int, indent: str = "") -> list[Text]:
    """Break a sentence into lines; nothing of it is lost."""
    broken = textwrap.wrap(
        clean(text), width, initial_indent=indent, subsequent_indent=indent or "  "
    )
    return [_line((line, style)) for line in broken]


def _command(label: str, command: str, width: int) -> list[Text]:
    """Break a command so that it can still be pasted into a shell."""
    pad = " " * _LABEL
    lines = [f"{label:<{_LABEL}}"]
    try:
        words = [shlex.quote(word) for word in shlex.split(clean(command))]
    except ValueError:
        words = clean(command).split()
    for word in words:
        if len(lines[-1]) > _LABEL and len(lines[-1]) + len(word) > width - 2:
            lines[-1] += "\\"
            lines.append(pad)
        lines[-1] += f"{word} "
    return [_line(line) for line in lines]


def _line(*parts: str | tuple[str, str]) -> Text:
    """Join plain and styled parts; every part loses its control characters here."""
    line = Text()
    for part in parts:
        text, style = (part, "") if isinstance(part, str) else part
        line.append(clean(text), style=style or None)
    return line


def _heading(report: Report, width: int) -> list[Text]:
    judgement = report.judgement
    arms = ", ".join(f"{count} {arm}" for arm, count in report.sessions.items())
    return [
        _line(
            (report.name, "bold"),
            f"  seed {judgement.seed}, {judgement.era} era, {report.length_s:.0f} s, "
            f"{arms} sessions",
        ),
        *_wrapped(judgement.question, "", width),
    ]


def _losses(report: Report, width: int) -> Iterator[Text]:
    """Failed findings, the hard ones first, each with its reason and its first call."""
    failures = [found for found in report.findings if found.finding.ruling == "fail"]
    for found in failures[:_FAILURES_SHOWN]:
        finding = found.finding
        yield _line(
            (f"{mark('fail')} {finding.verdict}", STYLES["fail"]),
            f"  {finding.fault or 'whole run'}{f', {finding.tool}' if finding.tool else ''}"
            f"{_beside(finding)}",
        )
        if finding.why:
            yield from _wrapped(finding.why, "", width, "    ")
        if found.sentence:
            yield from _wrapped(found.sentence, "dim", width, "    ")
    if len(failures) > _FAILURES_SHOWN:
        yield _line(f"  and {len(failures) - _FAILURES_SHOWN} more failed findings in the page")


def _beside(finding: Finding) -> str:
    if finding.observed is None:
        return ""
    seen = f": {measured(finding.observed, finding.unit)}"
    if finding.limit is None:
        return seen
    return f"{seen}, allowed {measured(finding.limit, finding.unit)}"


def _limits(limits: tuple[Limit, ...], width: int) -> Iterator[Text]:
    """Show every limit; why one could not be ruled on is told whole."""
    for limit in sorted(limits, key=lambda limit: _RANK[limit.ruling]):
        told = f"{limit.name:<18}{measured(limit.observed, limit.unit):>14}  wanted {limit.wanted}"
        why = f"  ({limit.why})" if limit.why else ""
        if limit.ruling == "unknown":
            yield from _wrapped(f"{mark('unknown')} {told}{why}", STYLES["unknown"], width)
        else:
            yield _line((f"{mark(limit.ruling)} ", STYLES[limit.ruling]), told, why)


def _arms(report: Report, width: int) -> Iterator[Text]:
    """Show the arms side by side, so that an effect is read as a difference."""
    by = {(row.arm, row.role): row for row in report.rows}
    roles = [role for role in ROLES if any((by[arm, role].summary.count) for arm in report.arms)]
    if not report.arms or not roles:
        return
    cell = 10
    if width < _LABEL + len(report.arms) * (cell * len(roles) + 3):
        roles = [role for role in roles if role != "recovery"]
    block = cell * len(roles)
    yield _line(" " * _LABEL, *((f"{arm:>{block}}   ", "bold") for arm in report.arms))
    heads = {"baseline": "baseline", "fault": "faults", "recovery": "after"}
    yield _line(
        " " * _LABEL, *("".join(f"{heads[r]:>{cell}}" for r in roles) + "   " for _ in report.arms)
    )
    for label, show in _measures(report.tail, _lag_ms(report)):
        yield _line(
            f"{label:<{_LABEL}}",
            *(
                "".join(f"{show(by[arm, role]):>{cell}}" for role in roles) + "   "
                for arm in report.arms
            ),
        )


def _measures(tail: Tail, lag_ms: float | None) -> tuple[tuple[str, Callable[[ArmRow], str]], ...]:
    def told(value_ms: float | None) -> str:
        return milliseconds(value_ms) + ("*" if near_lag(value_ms, lag_ms) else "")

    return (
        ("answered", lambda row: share(row.summary.answered_share)),
        ("p50 from due", lambda row: told(row.summary.p50_ms)),
        (f"{tail} from due", lambda row: told(row.summary.tail_ms(tail))),
    )


def _lag_ms(report: Report) -> float | None:
    fared = report.judgement.generator
    return None if fared is None else fared.lag_p99_ms


def _generator(report: Report, width: int) -> Iterator[Text]:
    """Say beside the figures how late squall itself was; why it is suspect, if it is."""
    fared = report.judgement.generator
    if fared is None:
        return
    late = (milliseconds(fared.sent_late_p50_ms), milliseconds(fared.sent_late_p99_ms))
    told = f"{fared.verdict}: calls left {late[0]} late at p50, {late[1]} at p99"
    if fared.verdict == "suspect":
        told += f"; {'; '.join(one.why for one in fared.processes if one.why)}"
    style = {"ok": "", "suspect": "yellow", "invalid": "bold red"}[fared.verdict]
    yield from _labelled("generator", told, style, width)
    if any(
        near_lag(value, fared.lag_p99_ms)
        for row in report.rows
        for value in (row.summary.p50_ms, row.summary.tail_ms(report.tail))
    ):
        lag = milliseconds(fared.lag_p99_ms)
        yield from _labelled("", f"* below ten times the loop's lag, {lag} at p99", "dim", width)


def _labelled(label: str, text: str, style: str, width: int) -> list[Text]:
    """Break a sentence into lines behind its label."""
    lines = textwrap.wrap(clean(text), max(width - _LABEL, _LABEL))
    return [
        _line(f"{label if place == 0 else '':<{_LABEL}}", (line, style))
        for place, line in enumerate(lines)
    ]


def _kept(report: Report) -> list[Text]:
    """Say what the users would have lost, beyond single answers."""
    sessions, effects = report.judgement.sessions, report.judgement.effects
    told = [f"{sessions.get('survived', 0):,} of {sessions.get('opened', 0):,} sessions survived"]
    told += [f"{count:,} {name}" for name, count in sessions.items() if name not in _TOLD]
    told += [f"{effects[name]:,} effects {name}" for name in _ILL if effects.get(name)]
    return [_line(f"{'kept':<{_LABEL}}", ", ".join(told))]


def _engines(report: Report) -> Iterator[Text]:
    """Say what the official client was answered, beside ours, before anything was broken."""
    calm = {row.engine: row for row in report.judgement.engines if row.phase == BASELINE}
    if len(calm) == len(ENGINES):
        theirs, ours = (
            f"{share(calm[engine].answered / max(calm[engine].calls, 1))}, "
            f"p50 {milliseconds(calm[engine].p50_ms)}"
            for engine in reversed(ENGINES)
        )
        yield _line(f"{'baseline':<{_LABEL}}", f"official client {theirs} from sent; ours {ours}")


def _said(report: Report, width: int) -> Iterator[Text]:
    """Say what servers asked and told unasked, where they did."""
    told = in_one(report.said)
    if told:
        yield from _labelled("server said", told, "", width)


def _courtesy(report: Report, width: int) -> Iterator[Text]:
    """Say how the target treated its dependency, right or wrong."""
    told = courtesy.in_one(report.judgement.manners)
    if told:
        yield from _labelled("dependency", told, "", width)


def _faults(report: Report, shown: int) -> Iterator[Text]:
    if not report.bands:
        return
    yield _line((f"{'fault':<24}{'window':>9}  {'recovered':>12} {'score':>5}  hit", "bold"))
    worst_first = sorted(report.bands, key=_fault_rank)
    if len(worst_first) == shown + 1:
        shown += 1  # on the line that would have said that there is one more
    for band in worst_first[:shown]:
        verdict = band.verdict
        score = "n/a" if verdict.score is None else f"{verdict.score:.0f}"
        hit = verdict.exposure.partition(", ")[0] if verdict.bit else "did not bite"
        yield _line(
            (f"{mark(verdict.ruling)} ", STYLES[verdict.ruling]),
            f"{verdict.id:<21} {verdict.start_s:>4.0f}-{verdict.end_s:.0f} s  "
            f"{recovery(verdict):>12} {score:>5}  ",
            hit if verdict.healed else ("NOT HEALED", STYLES["fail"]),
        )
    if len(worst_first) > shown:
        yield _line(f"  and {len(worst_first) - shown} more windows in the page")


def _fault_rank(band: Band) -> tuple[int, float]:
    verdict = band.verdict
    return _RANK[verdict.ruling], 101.0 if verdict.score is None else verdict.score


def _score(report: Report, width: int) -> Iterator[Text]:
    score, bare = report.judgement.score, report.judgement.bare_arms
    if bare is not None and bare.own:
        yield from _bare_arms(bare, width)
        return
    if score is None:
        yield _line("score        withheld: the evidence does not support a number")
        return
    yield _line(
        "score        ",
        (f"{score.points:.1f}", "bold"),
        f" of 100, interval {score.low:.1f} to {score.high:.1f}",
        "; A/A not measured (--aa)" if bare is None else "",
    )
    parts = [
        f"{name} {'n/a' if value is None else f'{value:.2f}'}"
        for name, value in score.components.items()
    ]
    yield from _wrapped(", ".join(parts), "", width, " " * _LABEL)
    for cap in score.caps:
        yield from _wrapped(cap, "", width, " " * _LABEL)
    if bare is not None:
        yield from _labelled(
            "", f"no difference below {sentence(bare)} can be claimed here", "", width
        )


def _bare_arms(bare: BareArms, width: int) -> Iterator[Text]:
    """Show what lies between two arms under which nothing was broken."""
    heads = ("control", "treated", "apart, interval", "noise is below")
    cells = (10, 10, 27, 17)
    head = "".join(f"{text:>{cell}}" for text, cell in zip(heads, cells, strict=True))
    yield _line((f"{'bare arms':<{_LABEL}}{head}", "bold"))
    for one in bare.measures:
        show, unit, scale = (
            (share, "points", 100) if one.unit == "share" else (milliseconds, "ms", 1)
        )
        apart = f"{one.difference * scale:.2f} ({one.low * scale:.2f} to {one.high * scale:.2f})"
        least = f"{one.smallest * scale:.2f} {unit}"
        told = (show(one.control), show(one.treated), apart, least)
        row = "".join(f"{text:>{cell}}" for text, cell in zip(told, cells, strict=True))
        yield _line(f"{one.measure:<{_LABEL}}{row}")
    stretches = f"{bare.stretches} stretches of {bare.stretch_s:g} s"
    of = f"the worst of {stretches}, as long as the scenario's shortest fault"
    yield from _labelled("", of, "dim", width)


def _doubts(report: Report, width: int) -> Iterator[Text]:
    asked = report.judgement.soundness
    doubts = [question for question in asked if question.ruling != "pass"]
    if asked and not doubts:
        told = f"evidence sound: {len(asked)} of {len(asked)} questions"
        yield _line((f"{mark('pass')} ", STYLES["pass"]), told)
    for question in sorted(doubts, key=lambda q: _RANK[q.ruling])[:_UNKNOWNS_SHOWN]:
        told = f"{mark(question.ruling)} evidence, {question.name}: {question.why}"
        yield from _wrapped(told, STYLES[question.ruling], width)
    open_findings = [f.finding for f in report.findings if f.finding.ruling == "unknown"]
    for finding in open_findings[:_UNKNOWNS_SHOWN]:
        where = f" {finding.fault}" if finding.fault else ""
        told = f"{mark('unknown')} {finding.verdict}{where}: {finding.why}"
        yield from _wrapped(told, STYLES["unknown"], width)


def _next(report: Report, folder: str, width: int) -> Iterator[Text]:
    if folder:
        yield from _written([("page", f"{folder}/report.html")], width)
    if report.command:
        yield from _command("again", report.command, width)
    if folder:
        yield from _command("judge again", shlex.join(("squall", "judge", folder)), width)


def _written(artefacts: Sequence[tuple[str, str]], width: int) -> Iterator[Text]:
    """Say where files are; a path that does not fit stands on a line of its own."""
    for label, place in artefacts:
        path = clean(place)
        fits = _LABEL + cell_len(path) <= width
        yield _line(f"{label:<{_LABEL}}", (path, "cyan")) if fits else _whole(path, "cyan")
