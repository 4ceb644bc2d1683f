"""What more than one command takes, declared once, and what it changes in a scenario."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from pydantic_core import PydanticCustomError

from faults.quantities import parse_duration_s
from harness.errors import UsageError
from harness.overrides import Overrides
from harness.scenario.load import Loaded
from harness.scenario.records import Revision
from scenarios import shipped

F = TypeVar("F", bound=Callable[..., Any])


class _Duration(click.ParamType[float]):
    """A duration as people write it: 5s."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read `5s` as 5.0."""
        if isinstance(value, float):
            return value
        try:
            return parse_duration_s(value)
        except PydanticCustomError:
            self.fail(f"expected a duration, got {value!r}; write for example 5s", param, ctx)


DURATION = _Duration()
TARGET = click.option(
    "--target", metavar="URL", help="The MCP endpoint, instead of the scenario's."
)
LAUNCH = click.option(
    "--launch",
    metavar="CMD",
    help="Start the target with this command; needs --target for its URL.",
)
ALLOW_TARGET = click.option(
    "--allow-target",
    multiple=True,
    metavar="HOST",
    help="Permit a target that is not on this machine.",
)
TRANSPORT = click.option(
    "--transport",
    type=click.Choice(["auto", "http", "sse"]),
    help="Streamable HTTP, or the HTTP+SSE of 2024-11-05; auto: whichever answers.",
)
REVISION = click.option(
    "--revision",
    type=click.Choice(get_args(Revision)),
    help="Speak this revision of the protocol and no other.",
)
SOCKET = click.option(
    "--socket",
    type=click.Path(),
    metavar="PATH",
    help="The Unix socket on which the target listens.",
)
CA = click.option(
    "--ca",
    type=click.Path(),
    metavar="FILE",
    help="Trust these authorities too, for an https target.",
)
CLIENT_CERTIFICATE = click.option(
    "--client-certificate",
    type=click.Path(),
    metavar="FILE",
    help="Show an https target this certificate (PEM).",
)
CLIENT_KEY = click.option(
    "--client-key",
    type=click.Path(),
    metavar="FILE",
    help="The key of it, unless in the same file.",
)
SEED = click.option("--seed", type=click.IntRange(0), help="Instead of the scenario's own.")
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where run folders are made.",
)
QUIET = click.option("--quiet", is_flag=True, help="No progress; only the result.")
# What stands one target up for one storm, in the order in which help lists it.
_STANDING = (
    SEED,
    click.option(
        "--era", type=click.Choice(["auto", "legacy", "modern"]), help="Speak this protocol era."
    ),
    click.option("--toxiproxy", metavar="URL", help="Use this Toxiproxy server."),
    ALLOW_TARGET,
    TRANSPORT,
    REVISION,
    SOCKET,
    CA,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    OUT,
)


def together(command: F, options: Sequence[Callable[[F], F]]) -> F:
    """Add options to a command, in the order in which its help is to list them."""
    for add in reversed(options):
        command = add(command)
    return command


def standing(command: F) -> F:
    """Add the flags of a command that stands one target up for one storm."""
    return together(command, _STANDING)


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
        launch=words_of("launch", flags["launch"]),
        stdio=words_of("stdio", flags["stdio"]),
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


def flags_of(overrides: Overrides) -> tuple[str, ...]:
    """Give the flags of `squall run` that change a scenario so: what `overrides_of` reads."""
    tls = overrides.tls or {}
    given = {
        "--target": overrides.target_url,
        "--launch": shlex.join(overrides.launch) if overrides.launch else None,
        "--stdio": shlex.join(overrides.stdio) if overrides.stdio else None,
        "--reference": ",".join(overrides.reference) if overrides.reference else None,
        "--era": overrides.era,
        "--engine": overrides.engine,
        "--revision": overrides.revision,
        "--transport": overrides.transport,
        "--seed": None if overrides.seed is None else str(overrides.seed),
        "--socket": overrides.unix_socket,
        "--ca": tls.get("ca"),
        "--client-certificate": tls.get("certificate"),
        "--client-key": tls.get("key"),
    }
    words = [word for flag, value in given.items() if value is not None for word in (flag, value)]
    return (*words, "--aa") if overrides.aa else tuple(words)


def _tls(flags: Mapping[str, Any]) -> dict[str, str] | None:
    names = {"ca": "ca", "certificate": "client_certificate", "key": "client_key"}
    return {name: flags[flag] for name, flag in names.items() if flags[flag]} or None


def load_scenario(name: str, overrides: Overrides) -> Loaded:
    """Read a scenario file, or a shipped scenario by its name."""
    return overrides.load_file(locate(name))


def locate(name: str) -> Path:
    """Give the file that a word stands for: a path, or the name of a shipped scenario."""
    path = Path(name)
    return path if path.exists() else shipped().get(name, path)


def words_of(flag: str, command: str | None) -> tuple[str, ...] | None:
    """Split a command as a shell does.

    Raises:
        UsageError: when a quotation is not closed.
    """
    if not command:
        return None
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(  # without the command itself, which may hold a secret
            f"--{flag}: expected a command as a shell reads it, got one with {str(error).lower()}; "
            "close its quotes"
        ) from None
