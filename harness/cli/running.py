"""`squall run` and `squall demo`: offer a storm, show it while it lasts, judge it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from harness import yardstick
from harness.cli import arguments
from harness.cli.arguments import load_scenario, overrides_of
from harness.cli.conclusion import Conclusion, conclude
from harness.cli.conducting import (
    PIPED,
    check_place,
    colored,
    conducted,
    print_result,
    shown,
    write_json,
)
from harness.errors import Exit, SquallError, UsageError
from harness.overrides import Overrides
from harness.redaction import redact
from harness.run import Order
from harness.scenario.load import Loaded
from reports.document import verdict
from reports.junit import junit
from reports.terminal import summary

DEMO = "first_storm"
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
        arguments.OUT,
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
        arguments.TRANSPORT,
        arguments.REVISION,
        arguments.SEED,
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
        arguments.QUIET,
        click.option("--json", metavar="FILE", help="Also write verdict.json here; - is stdout."),
        click.option("--junit", metavar="FILE", help="Also write a JUnit file here."),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


@click.command(epilog="Example: squall run first_storm --target http://127.0.0.1:8001/mcp")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@arguments.TARGET
@arguments.LAUNCH
@click.option(
    "--stdio",
    metavar="CMD",
    help="Start the target with this command, once a session, and speak over its pipes.",
)
@arguments.ALLOW_TARGET
@click.option(
    "--aa",
    is_flag=True,
    help="Break nothing: measure the smallest effect that can be claimed here; later runs say it.",
)
@arguments.SOCKET
@arguments.CA
@arguments.CLIENT_CERTIFICATE
@arguments.CLIENT_KEY
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


def _options(flags: dict[str, Any]) -> Options:
    for flag in ("json", "junit"):
        check_place(flag, flags[flag])
    names = ("out", "toxiproxy", "workers", "web", "allow_target", "quiet", "json", "junit")
    return Options(**{name: flags[name] for name in names})


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
    ran = conducted(order, quiet=options.quiet)
    conclusion = conclude(ran.folder, not_healed=ran.not_healed)
    _keep_yardstick(conclusion)
    _write_copies(conclusion, options)
    _tell(conclusion, piped=options.json == PIPED)
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


def _tell(conclusion: Conclusion, *, piped: bool) -> None:
    text = summary(
        conclusion.report,
        width=min(100, shutil.get_terminal_size((80, 24)).columns),
        color=colored(piped=piped),
        folder=shown(conclusion.folder),
    )
    print_result(text, piped=piped)


def _write_copies(conclusion: Conclusion, options: Options) -> None:
    write_json(verdict(conclusion.judgement), options.json)
    if options.junit:
        Path(options.junit).write_text(junit(conclusion.report), encoding="utf-8")
