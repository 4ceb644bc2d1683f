"""Where the server is and how one is let in, as a scenario file says it."""

from __future__ import annotations

from harness.discovery.notation import comment, flow, mapping, quoted, word
from harness.scenario import units
from harness.scenario.auth import Auth
from harness.scenario.records import LaunchTarget, StdioTarget, Target, UrlTarget


def auth_lines(auth: Auth, *, open_door: bool) -> list[str]:
    """Say how tokens are had, and that none of what is secret stands here."""
    shown = {"issuer": word(auth.issuer), "grant": word(auth.grant)}
    if auth.grant == "bearer":
        said = f"The token is read from {auth.token_variable}, and stands nowhere."
        if open_door:
            said += " Sessions open without any too, so none that is bad is tried."
        shown["token_variable"] = word(auth.token_variable)
    else:
        said = (
            f"The server's own issuer gives the tokens, for the client that "
            f"{auth.client_id_variable} names; {auth.client_secret_variable} or "
            f"{auth.client_key_variable} proves it. "
        )
        if auth.grant == "authorization_code":
            said += "Where none is named squall registers itself, if the issuer allows it. "
        if auth.grant == "jwt_bearer":
            said += f"They are bought with the assertion in {auth.assertion_variable}. "
        said += "All of these are read from the environment; no secret stands here."
    return [*comment(said), *mapping("auth", shown)]


def target_lines(target: Target) -> list[str]:
    """Say where the server is, or how it is started."""
    return mapping("target", {name: text for name, text in _fields(target).items() if text})


def _fields(target: Target) -> dict[str, str]:
    """Give what a target says of itself; what is as usual is empty."""
    if isinstance(target, StdioTarget):
        ready = "ready_s" in target.model_fields_set
        return {
            "stdio": flow(target.stdio),
            "ready": units.duration(target.ready_s) if ready else "",
        }
    assert isinstance(target, UrlTarget | LaunchTarget)
    files = {name: path for name, path in target.tls if path}
    return {
        "launch": flow(target.launch) if isinstance(target, LaunchTarget) else "",
        "url": quoted(target.url),
        "transport": "" if target.transport == "auto" else target.transport,
        "socket": quoted(target.unix_socket) if target.unix_socket else "",
        "tls": flow(files) if files else "",
        "ready": units.duration(target.ready_s) if isinstance(target, LaunchTarget) else "",
        "environment": flow(target.environment)
        if isinstance(target, LaunchTarget) and target.environment
        else "",
    }
