"""Whether the faults of identity find tokens, and an issuer that can do their part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from faults.credentials import (
    AudWrong,
    ClockSkew,
    IdentityHop,
    RefreshAsAccess,
    ScopeDeny,
    SharedCredential,
)
from faults.fault import Fault
from faults.identity import NoToken, TokenExpire, TokenRevoke
from faults.issuers import AsOutage, JwksRotate, RefreshFail, RefreshRace
from harness.scenario.dependencies import EmbeddedDependency
from harness.scenario.mistakes import Trail
from harness.scenario.objections import Objection
from harness.scenario.records import CallStep, ParallelStep, Scenario, UrlTarget
from harness.scenario.transports import is_piped
from harness.scenario.units import duration

_NEED_TOKENS: Final = (
    TokenExpire, TokenRevoke, NoToken, ScopeDeny, AudWrong, RefreshAsAccess, ClockSkew,
    SharedCredential, JwksRotate, AsOutage, RefreshFail, RefreshRace, IdentityHop,
)  # fmt: skip
# What only squall's own issuer can be told to do, and what to do instead.
_OURS: Final[dict[type[Fault], str]] = {
    TokenRevoke: "use token-expire with by: damage",
    RefreshAsAccess: "use no-token, or token-expire with by: damage",
    ClockSkew: "remove the fault",
    JwksRotate: "remove the fault",
    AsOutage: "remove the fault",
    RefreshFail: "remove the fault, or write of: dependency",
    RefreshRace: "remove the fault",
    IdentityHop: "remove the fault",
}


def identity(scenario: Scenario) -> Iterator[Objection]:
    """Object to tokens that nobody gives, and to faults that nobody can bring about."""
    auth = scenario.auth
    if is_piped(scenario.target):
        return  # without tokens at all, which is another mistake
    embedded = auth is not None and auth.issuer == "embedded" and auth.grant != "bearer"
    if embedded and isinstance(scenario.target, UrlTarget):
        yield Objection(
            trail=("auth", "issuer"),
            expected="issuer: target, as a server that runs already trusts an issuer of its own",
            came="embedded",
            mend="write issuer: target, or grant: bearer with a token in the environment",
        )
        return
    if embedded and auth is not None and auth.grant == "jwt_bearer":
        yield Objection(
            trail=("auth", "grant"),
            expected="client_credentials or authorization_code, which squall's own issuer grants",
            came="jwt_bearer",
            mend="write one of them, or issuer: target",
        )
    for number, window in enumerate(scenario.faults):
        if isinstance(window.fault, _NEED_TOKENS):
            yield from _fault(scenario, window.fault, ("faults", number, window.fault.kind))


def rotations(scenario: Scenario, *, by_hand: bool) -> Iterator[Objection]:
    """Object to a window that is over before a withdrawn key's time is; people may end it later."""
    for number, window in enumerate(() if by_hand else scenario.faults):
        fault = window.fault
        if isinstance(fault, JwksRotate) and fault.asks_after_s >= window.duration_s > 0:
            yield Objection(
                trail=("faults", number, "for"),
                expected=f"more than {duration(fault.asks_after_s)}, the old key's keep and within "
                "and a while for what is under way",
                came=duration(window.duration_s),
                mend="lengthen it, or leave within: out",
            )


def _fault(scenario: Scenario, fault: Fault, trail: Trail) -> Iterator[Objection]:
    auth = scenario.auth
    if isinstance(fault, RefreshFail) and fault.of == "dependency":
        if not any(isinstance(one, EmbeddedDependency) for one in scenario.dependencies.values()):
            yield Objection(
                trail=trail,
                expected="a dependency of squall's own, which sells tokens to the target",
                came="none",
                mend="add dependencies: {store: {embedded: {}}}, or write of: agents",
            )
        return
    if auth is None:
        yield Objection(
            trail=trail,
            expected="sessions with tokens",
            came="no auth",
            mend="add auth: {issuer: target}, or remove the fault",
        )
        return
    came = f"auth.issuer {auth.issuer}, auth.grant {auth.grant}"
    embedded = auth.issuer == "embedded" and auth.grant != "bearer"
    if isinstance(fault, TokenExpire) and fault.by == "ttl" and not embedded:
        yield Objection(
            trail=trail,
            expected="squall's own issuer, which alone can shorten a lifetime",
            came=came,
            mend="write by: damage, or by: waiting",
        )
    elif type(fault) in _OURS and not embedded:
        does = "revoke" if isinstance(fault, TokenRevoke) else "be told to do this"
        yield Objection(
            trail=trail,
            expected=f"squall's own issuer, which alone can {does}",
            came=came,
            mend=_OURS[type(fault)],
        )
    elif isinstance(fault, ScopeDeny | AudWrong) and auth.grant == "bearer":
        yield Objection(
            trail=trail,
            expected="an issuer that can be asked for another token",
            came=came,
            mend="write grant: client_credentials, or remove the fault",
        )
    if isinstance(fault, ScopeDeny) and not any(_needs_more(fault, scenario)):
        yield Objection(
            trail=trail,
            expected="a step that needs more than the scope",
            came=f"no step that calls {fault.tool}" if fault.tool else "no step with effect: once",
            mend="declare effect: once at the step that writes, or name its tool with tool:",
        )


def _needs_more(fault: ScopeDeny, scenario: Scenario) -> Iterator[bool]:
    for agent in scenario.agents:
        for step in agent.steps:
            for single in step.parallel if isinstance(step, ParallelStep) else (step,):
                if isinstance(single, CallStep):
                    yield single.call == fault.tool if fault.tool else single.effect == "once"
