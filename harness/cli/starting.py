"""`squall init`: get to know a server, and write a scenario for it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import click

from harness.cli import arguments
from harness.cli.conducting import PIPED
from harness.discovery import names, secrecy
from harness.discovery.composing import compose
from harness.discovery.findings import Findings
from harness.discovery.permits import Permit
from harness.discovery.visit import Order, visit
from harness.errors import Exit, UsageError, full_disk
from harness.redaction import redact
from harness.running.guard import is_loopback
from harness.scenario.auth import Auth
from harness.scenario.records import LaunchTarget, StdioTarget, Target, UrlTarget
from harness.scenario.units import counted

URL_OF_LAUNCHED: Final = "http://127.0.0.1:${port}/mcp"
READY_S: Final = 60.0  # what a launched server is granted to start, here and in the file
GRANTS: Final = ("bearer", "client_credentials", "authorization_code", "jwt_bearer")


@click.command(
    epilog="\b\n"
    "Example: squall init --target http://127.0.0.1:8001/mcp\n"
    "Starts:  squall init --launch 'python server.py --port ${port}'\n"
    "Pipes:   squall init --stdio 'npx my-server' --out my-server.yaml"
)
@click.option("--target", metavar="URL", help="The MCP endpoint of a server that runs.")
@click.option(
    "--launch",
    metavar="CMD",
    help="Start the server with this command; ${port} in it, and PORT in its environment, is a "
    f"free one. --target says where it answers, if not at {URL_OF_LAUNCHED}.",
)
@click.option("--stdio", metavar="CMD", help="Start it with this command, and speak over pipes.")
@arguments.ALLOW_TARGET
@click.option(
    "--auth",
    type=click.Choice(GRANTS),
    help="How tokens are had: bearer, from SQUALL_TOKEN; else by that grant of the server's own "
    "issuer, for SQUALL_CLIENT_ID with SQUALL_CLIENT_SECRET or SQUALL_CLIENT_KEY. "
    "authorization_code needs none where the issuer lets squall register; jwt_bearer also takes "
    "SQUALL_ASSERTION.",
)
@click.option(
    "--allow-effects",
    is_flag=True,
    help="Also try tools that write, destroy, or do not say that they only read. Only against a "
    "server whose contents may be lost.",
)
@click.option(
    "--skip", multiple=True, metavar="TOOL", help="Never call this one; * and ? may stand in it."
)
@click.option(
    "--argument",
    "given",
    multiple=True,
    metavar="[TOOL.]NAME=VALUE",
    help="Use this value for an argument, where none could be made up.",
)
@click.option(
    "--out",
    type=click.Path(),
    default="squall.yaml",
    show_default=True,
    metavar="FILE",
    help="- is stdout.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@click.option(
    "--era", type=click.Choice(["auto", "legacy", "modern"]), help="Speak this era of the protocol."
)
@arguments.REVISION
@arguments.TRANSPORT
@arguments.SOCKET
@arguments.CA
@arguments.CLIENT_CERTIFICATE
@arguments.CLIENT_KEY
@click.option("--quiet", is_flag=True, help="Do not say what is tried.")
def init(out: str, *, force: bool, quiet: bool, **flags: Any) -> int:
    """Get to know a server, and write a scenario for it that runs as it is.

    Reads what the server offers, tries each tool that says it only reads, twice,
    with arguments made up from its schema, and learns what comes back. The file
    says in comments what everything means, what was left out, and why.
    """
    _check_place(out, force=force)
    order = _order(flags)
    say = _say(quiet=quiet)
    findings = anyio.run(partial(visit, order, say), backend_options={"use_uvloop": True})
    text = compose(
        findings,
        target=order.target,
        auth=order.auth,
        era=order.era,
        revision=order.revision,
        remote=not _is_local(order.target),
        file=shlex.quote(out if out != PIPED else "squall.yaml"),
        again=_again(flags, out),
        flags=_needed(order),
    )
    if out == PIPED:
        click.echo(text, nl=False)
    else:
        _keep(text, out)
        _tell(findings, out, _needed(order))
    return int(Exit.PASS)


def _check_place(out: str, *, force: bool) -> None:
    """See that the file may be written, before anybody is asked anything.

    Raises:
        UsageError: it is there already, or its folder is not.
    """
    if out == PIPED:
        return
    place = Path(out)
    if place.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file in it")
    if not place.absolute().parent.is_dir():
        raise UsageError(
            f"--out {out}: there is no folder {place.parent}; make it, or name another"
        )
    if place.exists() and not force:
        raise UsageError(
            f"{out} exists, and is not written over; name another file with --out, or say --force"
        )


def _order(flags: Mapping[str, Any]) -> Order:
    target = _target(flags)
    grant = flags["auth"]
    if grant is not None and isinstance(target, StdioTarget):
        raise UsageError("--auth is for a server with an address; pipes carry no tokens")
    return Order(
        target=target,
        auth=Auth(issuer="target", grant=grant) if grant else None,
        era="" if flags["era"] in {None, "auto"} else flags["era"],
        revision=flags["revision"] or "",
        allowed=flags["allow_target"],
        permit=Permit(effects=flags["allow_effects"], skipped=flags["skip"]),
        given=_given(flags["given"]),
    )


def _target(flags: Mapping[str, Any]) -> Target:
    """Give the target that the flags name.

    Raises:
        UsageError: none, or two of them; or what does not go together.
    """
    if not (flags["target"] or flags["launch"] or flags["stdio"]):
        raise UsageError(
            "which server? say --target http://127.0.0.1:8001/mcp for one that runs, or --launch "
            "or --stdio with the command that starts it"
        )
    url = flags["target"]
    environment = {}
    if flags["launch"] and not url:
        url, environment = URL_OF_LAUNCHED, {"PORT": "${port}"}
    # What several commands share is said, and refused, in one place.
    overrides = arguments.overrides_of({**flags, "target": url, "seed": None}, None)
    target = overrides.target()
    assert target is not None
    if isinstance(target, LaunchTarget):
        target = target.model_copy(update={"environment": environment, "ready_s": READY_S})
    return overrides.reached(target)


def _given(texts: Sequence[str]) -> dict[str, str]:
    given = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(
                f"--argument {text!r}: expected NAME=VALUE or TOOL.NAME=VALUE, as in limit=5"
            )
        if names.is_secret(name.rpartition(".")[2]):
            raise UsageError(
                f"--argument {name} looks like a secret, and its value would stand in the file; "
                "--skip the tool, and add a step of your own when you run it"
            )
        if redact(value) != value:
            raise UsageError(
                f"--argument {name}: its value looks like a credential, and would stand in the "
                "file; --skip the tool, and add a step of your own when you run it"
            )
        given[name] = value
    return given


def _is_local(target: Target) -> bool:
    if not isinstance(target, UrlTarget) or target.unix_socket:
        return True
    return is_loopback(urlsplit(target.url).hostname or "")


def _say(*, quiet: bool) -> Callable[[str], None]:
    def say(text: str) -> None:
        if not quiet:
            shown = "".join(sign if sign.isprintable() else " " for sign in text)
            click.echo(shown, err=True)

    return say


def _again(flags: Mapping[str, Any], out: str) -> str:
    """Give the command that writes the file anew, without what is secret."""
    words = ["squall", "init"]
    for name in ("target", "launch", "stdio"):
        if flags[name]:
            shown = secrecy.words(shlex.split(flags[name]) if name != "target" else [flags[name]])
            words += [f"--{name}", shlex.join(shown) if name != "target" else shown[0]]
    words += ["--auth", flags["auth"]] if flags["auth"] else []
    words += ["--allow-effects"] if flags["allow_effects"] else []
    for tool in flags["skip"]:
        words += ["--skip", tool]
    for text in flags["given"]:
        words += ["--argument", text]
    words += ["--out", out] if out != PIPED else []
    return shlex.join([*words, "--force"])


def _needed(order: Order) -> str:
    """Give the flags that a run of the file needs, as they are typed."""
    target = order.target
    flags = ""
    if secrecy.public(target)[1]:  # the file cannot say it whole
        flags = " --stdio CMD" if isinstance(target, StdioTarget) else " --launch CMD"
        flags = " --target URL" if isinstance(target, UrlTarget) else flags
    if isinstance(target, UrlTarget) and not _is_local(target):
        flags += f" --allow-target {urlsplit(target.url).hostname}"
    return flags


def _keep(text: str, out: str) -> None:
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        if full_disk(error):
            raise
        raise UsageError(
            f"--out {out} cannot be written: {error.strerror}; name another file"
        ) from error


def _tell(findings: Findings, out: str, flags: str) -> None:
    """Say what has been written, and what to do with it."""
    click.echo(
        f"{out}: {counted(len(findings.learned), 'things')} that answered, "
        f"{len(findings.left_out)} left out, each with its reason in the file"
    )
    offer = findings.offer
    if offer.unread:
        click.echo(f"not all of it could be read, so a run of it shows little: {offer.unread[0]}")
    elif offer.tools and not any(one.kind == "tool" for one in findings.learned):
        click.echo(
            "no tool could be called, so a run of it shows little yet; the reasons at the end of "
            "the file say which --argument, or --allow-effects, would change that"
        )
    elif not findings.learned:
        click.echo(
            "it offers nothing that could be called, so a run of it shows little; is it the right "
            "server, and does it list its tools to whoever asks?"
        )
    shown = shlex.quote(os.fspath(out))
    click.echo(f"next: squall check {shown}, then squall run {shown}{flags}")
