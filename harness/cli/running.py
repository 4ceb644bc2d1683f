"""`squall run` and `squall demo`: offer a storm, show it while it lasts, judge it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from harness import yardstick
from harness.cli import arguments, telling
from harness.cli.arguments import load_scenario, overrides_of
from harness.cli.completing import flaw_words, scenario_words
from harness.cli.conclusion import Conclusion, conclude
from harness.cli.conducting import PIPED, check_place, conducted, write_json
from harness.cli.failing import Failure, tell
from harness.cli.gating import Files, entry_of, entry_without, gated, publish, show
from harness.cli.waiting import under_way
from harness.errors import Exit, SquallError, UsageError
from harness.overrides import Overrides
from harness.run import Order
from harness.scenario.load import Loaded
from reports.document import verdict
from reports.gate.entries import Entry, gather

DEMO = "first_storm"
# What `demo` has no flag for.
_RUN_ONLY = {
    **dict.fromkeys(
        ("target", "launch", "stdio", "socket", "ca", "client_certificate", "client_key")
    ),
    "aa": False,
    "fail_fast": False,
    "allow_target": (),
}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Options:
    """The flags that `run` and `demo` share."""

    out: Path
    toxiproxy: str | None
    workers: int
    web: int | None
    metrics: int | None
    allow_target: tuple[str, ...]
    quiet: bool
    fail_fast: bool
    json: str | None
    files: Files
    listener: telling.Listener | None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A scenario that could be read, and is to be run."""

    word: str  # by which it was named
    loaded: Loaded
    overrides: Overrides


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
        click.option(
            "--metrics",
            type=click.IntRange(0, 65535),
            metavar="PORT",
            help="Let Prometheus scrape 127.0.0.1:PORT/metrics while the storm lasts; 0: a free "
            "port, which is said. With --workers it is of all of them together.",
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
            shell_complete=flaw_words,
            help="Run against the bundled server: hardened, or flaws to switch on.",
        ),
        arguments.QUIET,
        click.option(
            "--json",
            type=click.Path(),
            metavar="FILE",
            help="Also write verdict.json here; - is stdout.",
        ),
        gated,
        telling.flags,
    )
    return arguments.together(command, decorators)


@click.command(epilog="Example: squall run steady --target http://127.0.0.1:8001/mcp")
@click.argument(
    "scenarios", nargs=-1, required=True, metavar="SCENARIO...", shell_complete=scenario_words
)
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
@click.option(
    "--fail-fast",
    is_flag=True,
    help="Stop at the first scenario that does not pass, and at one that cannot be read.",
)
@arguments.SOCKET
@arguments.CA
@arguments.CLIENT_CERTIFICATE
@arguments.CLIENT_KEY
@_shared
def run(scenarios: tuple[str, ...], **flags: Any) -> int:
    """Run scenarios, one after the other: files, or names of shipped ones.

    Exit code: 0 pass, 1 fail, 2 not run, 3 unknown (the evidence is not sound),
    4 aborted by a stop condition, 5 not proven healed, 70 a defect of squall,
    130 interrupted and clean. Of several scenarios the worst: 5, 70, 130, 4, 1,
    3, 2, 0; one that cannot be run does not keep the others from being run.

    On GitHub's runners the summary also goes to the step's page, and what was
    missed is put beside the line of the scenario that asked for it.
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
    several = len(scenarios) * len(chosen) > 1
    if several and options.json:
        raise UsageError("--json takes one run; every run folder has its own verdict.json")
    # All are read before the first is run: a mistake in the last one is told at once.
    read = [each for name in scenarios for each in _read(name, chosen)]
    batch = gather(_entries(read, options, several=several))
    return publish(batch, options.files, piped=options.json == PIPED)


def _options(flags: dict[str, Any]) -> Options:
    check_place("json", flags["json"])
    files = Files(junit=flags["junit"], markdown=flags["markdown"])
    files.check()
    names = ("out", "toxiproxy", "workers", "web", "metrics", "allow_target", "quiet", "json")
    return Options(
        files=files,
        listener=telling.listener(flags),
        fail_fast=flags["fail_fast"],
        **{name: flags[name] for name in names},
    )


def _read(word: str, chosen: Sequence[Overrides]) -> Sequence[Planned | Entry]:
    """Read a scenario as often as it is run; one that cannot be read is told, and hides none."""
    try:
        return [
            Planned(word=word, loaded=load_scenario(word, each), overrides=each) for each in chosen
        ]
    except SquallError as error:
        return [entry_without(word, tell(error))]


def _entries(
    read: Sequence[Planned | Entry], options: Options, *, several: bool
) -> Iterator[Entry]:
    """Run what could be read, up to the first that ends all of it, and tell what became of each."""
    words = {each.word if isinstance(each, Planned) else each.file for each in read}
    ended = ""
    if options.fail_fast and any(isinstance(each, Entry) for each in read):
        ended = "not started: another scenario cannot be read (--fail-fast)"
    for each in read:
        if isinstance(each, Entry):
            yield each
            continue
        if ended:
            yield entry_without(each.word, Failure(code=Exit.NOT_RUN, told=ended))
            continue
        entry = _one(each, options, _alone(each.word, words))
        yield entry
        if several:
            show(entry, piped=False, apart=True)
        if entry.code is Exit.INTERRUPTED:  # whoever says stop means all of them
            ended = "not started: squall was interrupted"
        elif options.fail_fast and entry.code is not Exit.PASS:
            ended = f"not started: {entry.name} did not pass (--fail-fast)"


def _alone(word: str, words: set[str]) -> tuple[str, ...]:
    """Give the command that repeats one scenario of several: this one, without the others."""
    return ("squall", *(one for one in sys.argv[1:] if one == word or one not in words))


def _one(planned: Planned, options: Options, command: tuple[str, ...]) -> Entry:
    """Run one scenario to its result, or say why there is none."""
    try:
        return _judged(planned, options, command)
    except BrokenPipeError:  # nobody reads any more
        raise
    # One scenario's defect hides what the others come to no more than its mistakes do.
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:  # noqa: BLE001  as above
        return entry_without(planned.loaded.lines.file, tell(error), planned.loaded.lines)


def _judged(planned: Planned, options: Options, command: tuple[str, ...]) -> Entry:
    order = Order(
        loaded=planned.loaded,
        overrides=planned.overrides,
        command=command,
        out=options.out,
        toxiproxy_url=options.toxiproxy,
        workers=options.workers,
        web_port=options.web,
        allowed=options.allow_target,
    )
    ran = conducted(order, quiet=options.quiet, metrics_port=options.metrics)
    with under_way("judging", quiet=options.quiet):
        conclusion = conclude(ran.folder, not_healed=ran.not_healed)
    _keep_yardstick(conclusion)
    write_json(verdict(conclusion.judgement), options.json)
    telling.tell(conclusion, options.listener, quiet=options.quiet)
    return entry_of(conclusion)


def _keep_yardstick(conclusion: Conclusion) -> None:
    """Keep beside the runs what an A/A run measured; drop it where bare arms do not agree."""
    judgement, file = conclusion.judgement, conclusion.yardstick
    if file is None or judgement.bare_arms is None or not judgement.bare_arms.own:
        return
    if judgement.exit_code == Exit.PASS:
        yardstick.remember(file, judgement.bare_arms)
    elif any(one.name == "arms-agree" and one.ruling == "fail" for one in judgement.soundness):
        yardstick.forget(file)
