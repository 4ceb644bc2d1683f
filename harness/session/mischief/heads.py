"""Versions that a server does not speak, and heads that come from elsewhere."""

from __future__ import annotations

from typing import Final

from harness.session.mischief.outsider import AGENT, ASK_S, Outsider, Pass, Session
from harness.session.mischief.thefts import a_call, render
from harness.wire import legacy
from harness.wire.raw import Heard

OLDER: Final = "2024-11-05"
FUTURE: Final = "2099-01-01"
NO_VERSION: Final = "1999-01-01"
EVIL: Final = "http://evil.example"
PUBLIC: Final = "mcp.example.com"
POD: Final = "10.1.2.3:8080"
HEALTH_PATHS: Final = ("/health", "/healthz", "/readyz", "/livez", "/ready")
_OK: Final = 200


async def skew_versions(outsider: Outsider) -> None:
    """Come as an older client, a newer one, and one that contradicts itself."""
    own = await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
    elif session.era == "modern":
        await _skew_modern(outsider, session, own)
    else:
        await _skew_legacy(outsider, session, own)
        await outsider.end(session, own)


async def _skew_legacy(outsider: Outsider, session: Session, own: Pass) -> None:
    for variant, version in (("older", OLDER), ("future", FUTURE)):
        params = legacy.initialize_params(AGENT, {}, version)
        heard = await outsider.mouth.post(
            legacy.INITIALIZE, params, headers=own.header, limit_s=ASK_S
        )
        outsider.note(variant, f"initialize with protocolVersion {version}", heard)
        if heard.session_id:
            opened = Session(era="legacy", version=session.version, session_id=heard.session_id)
            await outsider.end(opened, own)
    if session.version >= legacy.HEADER_SINCE:
        for variant, said in (("bad-header", NO_VERSION), ("missing-header", None)):
            heard = await outsider.ask(
                session, own, "tools/list", headers={"mcp-protocol-version": said}
            )
            words = f"MCP-Protocol-Version {said}" if said else "no MCP-Protocol-Version"
            outsider.note(variant, f"tools/list with {words}", heard)


async def _skew_modern(outsider: Outsider, session: Session, own: Pass) -> None:
    lines = {"mcp-protocol-version": FUTURE}
    heard = await outsider.ask(session, own, "tools/list", headers=lines, version=FUTURE)
    listed = (heard.error or {}).get("data")
    supported = listed.get("supported") if isinstance(listed, dict) else None
    outsider.note(
        "future",
        f"tools/list in version {FUTURE}",
        heard,
        reason="" if isinstance(supported, list) and supported else "nothing_listed",
    )
    heard = await outsider.ask(session, own, "tools/list", headers={"mcp-protocol-version": None})
    outsider.note("missing-header", "tools/list without MCP-Protocol-Version", heard)
    heard = await outsider.ask(session, own, "tools/list", version=legacy.OFFERED_VERSION)
    outsider.note(
        "mirror-version", f"tools/list in {session.version}, {legacy.OFFERED_VERSION} inside", heard
    )
    heard = await outsider.ask(session, own, "tools/list", headers={"mcp-method": "prompts/list"})
    outsider.note("mirror-method", "tools/list with Mcp-Method: prompts/list", heard)
    step = a_call(outsider.ground.steps, "")
    if step is not None:
        params = render(step, outsider.nonce())
        lines = {"mcp-name": "another"}
        heard = await outsider.ask(session, own, "tools/call", params, headers=lines)
        outsider.note("mirror-name", f"a call of {step.name} with Mcp-Name: another", heard)


async def come_from_evil(outsider: Outsider) -> None:
    """Come as the page of somebody else would."""
    own = await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    heard = await outsider.ask(session, own, "tools/list", headers={"origin": EVIL})
    outsider.note("evil", f"tools/list with Origin: {EVIL}", heard)
    await outsider.end(session, own)


async def use_other_names(outsider: Outsider) -> None:
    """Ask for the server by names that it may or may not know itself by."""
    own = await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    heads = {
        "forwarded": {"x-forwarded-host": PUBLIC, "x-forwarded-proto": "https"},
        "public": {"host": PUBLIC},
        "pod": {"host": POD},
    }
    named = [name for name in outsider.behaviour.variant.split(",") if name]
    heads |= {f"served {name}": {"host": name} for name in named}
    for variant, lines in heads.items():
        heard = await outsider.ask(session, own, "tools/list", headers={**lines})
        told = ", ".join(f"{name.title()}: {value}" for name, value in lines.items())
        outsider.note(variant, f"tools/list with {told}", heard)
    await _check_health(outsider)
    await outsider.end(session, own)


async def _check_health(outsider: Outsider) -> None:
    wanted = outsider.behaviour.argument
    for path in (wanted,) if wanted else HEALTH_PATHS:
        heard = await outsider.mouth.ask("GET", path=path, headers=_ANY, limit_s=ASK_S)
        if heard.status == _OK:
            for host in (PUBLIC, POD):
                lines = {**_ANY, "host": host}
                heard = await outsider.mouth.ask("GET", path=path, headers=lines, limit_s=ASK_S)
                outsider.note("health", f"GET {path} with Host: {host}", heard)
            return


_ANY: Final[dict[str, str | None]] = {"accept": "*/*"}
