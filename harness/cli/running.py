"""`squall run` and `squall demo`: offer a storm, show it while it lasts, judge it."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args

import anyio
import click

from harness import yardstick
from harness.cli.conclusion import Conclusion, conclude
from harness.errors import Exit, SquallError, UsageError
from harness.overrides import Overrides
from harness.redaction import redact
from harness.run import Order, conduct
from harness.scenario.load import Loaded
from harness.scenario.records import Revision
from harness.status import Status
from harness.storm import Ran
from reports.document import verdict
from reports.junit import junit
from reports.live import ArmSnapshot, Live, LiveSnapshot
from reports.terminal import summary, wants_color
from scenarios import shipped

DEMO = "first_storm"
RECENT_S = 5
# What `demo` has no flag for.
_RUN_ONLY = {
    **dict.fromkeys(
        ("target", "launch", "stdio", "socket", "ca", "client_certificate", "client_key")
    ),
    "aa": False,
    "allow_target": (),
}
F = TypeVar("F", bound=Callable[..., Any])

# The worst code of several runs, by DESIGN's order: not healed first, then what says the most.
_WORST_FIRST = (
    Exit.NOT_HEALED,
    Exit.BUG,
    Exit.INTERRUPTED,
    Exit.ABORTED,
    Exit.FAIL,
    Exit.UNKNOWN,
    Exit.NOT_RUN,
    Exit.PASS,
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The flags that `run` and `demo` share."""

    out: Path
    toxiproxy: str | None
    workers: int
    web: int | None
    allow_target: tuple[str, ...]
    quiet: bool
    json: str | None
    junit: str | None


def _shared(command: F) -> F:
    """Add the flags that both commands take."""
    decorators = (
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            default=Path("runs"),
            show_default=True,
            help="Where run folders are made.",
        ),
        click.option(
            "--toxiproxy",
            metavar="URL",
            help="Use this Toxiproxy server, e.g. http://127.0.0.1:8474; default: toxiproxy-server "
            "from PATH, else squall's own.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(0, 64),
            default=0,
            metavar="N",
            help="Spread the sessions over N worker processes.",
        ),
        click.option(
            "--web",
            type=click.IntRange(1, 65535),
            metavar="PORT",
            help="Show Locust's own page on 127.0.0.1:PORT while the storm lasts.",
        ),
        click.option(
            "--transport",
            type=click.Choice(["auto", "http", "sse"]),
            help="Streamable HTTP, or the HTTP+SSE of 2024-11-05; auto: whichever answers.",
        ),
        click.option(
            "--revision",
            type=click.Choice(get_args(Revision)),
            help="Speak this revision of the protocol and no other.",
        ),
        click.option("--seed", type=click.IntRange(0), help="Instead of the scenario's own."),
        click.option(
            "--era",
            type=click.Choice(["auto", "legacy", "modern", "both"]),
            help="Speak this protocol era, instead of what the scenario says; both runs twice.",
        ),
        click.option(
            "--engine",
            type=click.Choice(["wire", "sdk"]),
            help="sdk: the official client drives a few sessions beside squall's own, and what the "
            "two saw is compared.",
        ),
        click.option(
            "--reference",
            metavar="FLAW,...",
            help="Run against the bundled server: hardened, or flaws to switch on.",
        ),
        click.option("--quiet", is_flag=True, help="No progress; only the result."),
        click.option("--json", metavar="FILE", help="Also write verdict.json here; - is stdout."),
        click.option("--junit", metavar="FILE", help="Also write a JUnit file here."),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@click.command(epilog="Example: squall run first_storm --target http://127.0.0.1:8001/mcp")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--target", metavar="URL", help="The MCP endpoint, instead of the scenario's.")
@click.option(
    "--launch",
    metavar="CMD",
    help="Start the target with this command; needs --target for its URL.",
)
@click.option(
    "--stdio",
    metavar="CMD",
    help="Start the target with this command, once a session, and speak over its pipes.",
)
@click.option(
    "--allow-target",
    multiple=True,
    metavar="HOST",
    help="Permit a target that is not on this machine.",
)
@click.option(
    "--aa",
    is_flag=True,
    help="Break nothing: measure the smallest effect that can be claimed here; later runs say it.",
)
@click.option("--socket", metavar="PATH", help="The Unix socket on which the target listens.")
@click.option("--ca", metavar="FILE", help="Trust these authorities too, for an https target.")
@click.option(
    "--client-certificate", metavar="FILE", help="Show an https target this certificate (PEM)."
)
@click.option("--client-key", metavar="FILE", help="The key of it, unless in the same file.")
@_shared
def run(scenarios: tuple[str, ...], **flags: Any) -> int:
    """Run scenarios: files, or names of shipped ones.

    Exit code: 0 pass, 1 fail, 2 not run, 3 unknown (the evidence is not sound),
    4 aborted by a stop condition, 5 not proven healed, 130 interrupted and clean.
    """
    return _all(scenarios, flags)


@click.command(epilog="Example: squall demo --reference expired-is-403")
@_shared
def demo(**flags: Any) -> int:
    """Show what squall does, on embedded parts, within a minute.

    Runs the shipped scenario first_storm against the bundled hardened server;
    with --reference FLAW against one with a flaw that the storm can find.
    """
    return _all((DEMO,), flags | _RUN_ONLY)


def _all(scenarios: tuple[str, ...], flags: dict[str, Any]) -> int:
    """Run scenarios one after the other and give the worst of their codes."""
    options = _options(flags)
    eras = ("legacy", "modern") if flags["era"] == "both" else (flags["era"],)
    chosen = [overrides_of(flags, era) for era in eras]
    # All are read before the first is run: a mistake in the last one is told at once.
    runs = [(load_scenario(name, each), each) for name in scenarios for each in chosen]
    if len(runs) > 1 and (options.json or options.junit):
        raise UsageError("--json and --junit take one run; every run folder has its own")
    codes: list[Exit] = []
    for loaded, overrides in runs:
        codes.append(_one(loaded, overrides, options))
        if codes[-1] is Exit.INTERRUPTED:
            break  # whoever says stop means all of them
    return int(next(code for code in _WORST_FIRST if code in codes))


def overrides_of(given: dict[str, Any], era: str | None) -> Overrides:
    """Give what the flags change in a scenario.

    Raises:
        UsageError: when they name two targets, or a command without its URL.
    """
    flags = defaultdict(lambda: None, given)  # what a command does not take, it leaves as it is
    if flags["target"] and flags["reference"]:
        raise UsageError("--target and --reference name two targets; give one of them")
    if flags["stdio"] and (flags["target"] or flags["reference"]):
        raise UsageError("--stdio names a target of its own; give --target or --reference without")
    if flags["launch"] and not flags["target"]:
        raise UsageError("--launch needs --target URL: where the started server will answer")
    reference = flags["reference"]
    return Overrides(
        target_url=flags["target"],
        launch=tuple(shlex.split(flags["launch"])) if flags["launch"] else None,
        stdio=tuple(shlex.split(flags["stdio"])) if flags["stdio"] else None,
        reference=tuple(reference.split(",")) if reference else None,
        era=era,
        engine=flags["engine"],
        revision=flags["revision"],
        transport=flags["transport"],
        seed=flags["seed"],
        tls=_tls(flags),
        aa=flags["aa"] or None,
        unix_socket=flags["socket"],
    )


def _tls(flags: Mapping[str, Any]) -> dict[str, str] | None:
    names = {"ca": "ca", "certificate": "client_certificate", "key": "client_key"}
    return {name: flags[flag] for name, flag in names.items() if flags[flag]} or None


def _options(flags: dict[str, Any]) -> Options:
    for flag in ("json", "junit"):
        place = flags[flag]
        if place and place != "-" and not Path(place).absolute().parent.is_dir():
            raise UsageError(
                f"--{flag} {place}: there is no folder {Path(place).parent}; "
                "make it, or name another file"
            )
    names = ("out", "toxiproxy", "workers", "web", "allow_target", "quiet", "json", "junit")
    return Options(**{name: flags[name] for name in names})


def load_scenario(name: str, overrides: Overrides) -> Loaded:
    """Read a scenario file, or a shipped scenario by its name."""
    path = Path(name)
    if not path.exists() and name in shipped():
        path = shipped()[name]
    return overrides.load_file(path)


def _one(loaded: Loaded, overrides: Overrides, options: Options) -> Exit:
    """Run one scenario to its verdict line, or say why it was not run."""
    try:
        return _judged(loaded, overrides, options)
    except SquallError as error:  # the other scenarios may still be run
        click.echo(f"squall: {redact(str(error))}", err=True)
        return error.exit_code


def _judged(loaded: Loaded, overrides: Overrides, options: Options) -> Exit:
    order = Order(
        loaded=loaded,
        overrides=overrides,
        command=("squall", *sys.argv[1:]),
        out=options.out,
        toxiproxy_url=options.toxiproxy,
        workers=options.workers,
        web_port=options.web,
        allowed=options.allow_target,
    )
    with Live(loaded.name, sys.stderr, environment=os.environ, quiet=options.quiet) as live:
        ran: Ran = anyio.run(
            partial(conduct, order, lambda status: live.update(snapshot_of(status))),
            backend_options={"use_uvloop": True},
        )
    conclusion = conclude(ran.folder, not_healed=ran.not_healed)
    _keep_yardstick(conclusion)
    _write_copies(conclusion, options)
    try:
        _tell(conclusion, options)
    except OSError as error:
        if error.errno != errno.EIO:  # the terminal has gone; the verdict is in the folder
            raise
    return Exit(conclusion.judgement.exit_code)


def _keep_yardstick(conclusion: Conclusion) -> None:
    """Keep beside the runs what an A/A run measured; drop it where bare arms do not agree."""
    judgement, file = conclusion.judgement, conclusion.yardstick
    if file is None or judgement.bare_arms is None or not judgement.bare_arms.own:
        return
    if judgement.exit_code == Exit.PASS:
        yardstick.remember(file, judgement.bare_arms)
    elif any(one.name == "arms-agree" and one.ruling == "fail" for one in judgement.soundness):
        yardstick.forget(file)


def _tell(conclusion: Conclusion, options: Options) -> None:
    piped = options.json == "-"  # then standard output is for the JSON alone
    click.echo(
        summary(
            conclusion.report,
            width=min(100, shutil.get_terminal_size((80, 24)).columns),
            color=wants_color(sys.stderr if piped else sys.stdout, os.environ),
            folder=shown(conclusion.folder),
        ),
        nl=False,
        err=piped,
    )


def _write_copies(conclusion: Conclusion, options: Options) -> None:
    if options.json == "-":
        click.echo(verdict(conclusion.judgement), nl=False)
    elif options.json:
        Path(options.json).write_text(verdict(conclusion.judgement), encoding="utf-8")
    if options.junit:
        Path(options.junit).write_text(junit(conclusion.report), encoding="utf-8")


def shown(folder: Path) -> str:
    """Give a folder's path as short as it can be typed here."""
    with suppress(ValueError):
        return str(folder.resolve().relative_to(Path.cwd()))
    return str(folder)


def snapshot_of(status: Status) -> LiveSnapshot:
    """Make what the live view shows of a run's status."""
    recent = {arm: status.recent.window(arm, RECENT_S) for arm in ("control", "treated")}
    total = status.recent.total.values()
    last = [status.recent.window(arm, 1) for arm in ("control", "treated")]
    return LiveSnapshot(
        run_s=status.run_s,
        total_s=status.total_s,
        phase=status.phase,
        fault=", ".join(status.faults),
        calls=sum(part.calls for part in total),
        errors=sum(part.errors for part in total),
        rate_per_s=float(sum(part.calls for part in last)),
        exposure=status.exposure,
        sessions=status.sessions,
        lag_ms=status.lag_ms,
        arms=tuple(
            ArmSnapshot(arm=arm, p50_ms=part.quantile_ms(0.5), p99_ms=part.quantile_ms(0.99))
            for arm, part in recent.items()
        ),
    )
