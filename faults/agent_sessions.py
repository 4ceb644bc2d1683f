"""Faults of agents that misbehave with sessions, versions and headers.

An outsider does them: an agent beside the planned sessions, with the treated arm's credential and
a session of its own, so that nobody's measured calls are disturbed. Rules are those of the era
that the run speaks: what the other era forbids is not asked.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from faults.agent import AgentFault
from faults.fault import Struck
from faults.levers import Behaviour
from faults.quantities import Duration, Pace

FLOODS = 3


def _as_text(value: object) -> object:
    """Keep a mapping as JSON, which nothing changes any more."""
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value


Arguments = Annotated[
    str,
    BeforeValidator(_as_text),
    Field(pattern=r"^\{.*\}$"),
    WithJsonSchema({"type": "object"}),
]


class Asked(BaseModel):
    """A call that an outsider makes; `${nonce}` in a text is put in where it is made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    arguments: Arguments = Field(default_factory=lambda: "{}")


NOTHING: Final = Asked(tool="")
CONFIRM: Final = Asked(tool="confirm", arguments='{"question": "go on with ${nonce}?"}')


def _call(asked: Asked) -> dict[str, Any]:
    return {"tool": asked.tool, "arguments": json.loads(asked.arguments)}


class OutsiderFault(AgentFault):
    """A fault that an outsider does, over Streamable HTTP."""


class SessionFlood(OutsiderFault):
    """Three equal floods of sessions that are opened and left behind, with a rest after each.

    At the end of each rest they are ended with DELETE. In the modern era, which has no sessions,
    as many discoveries come, each on a connection of its own.
    A resilient server: sessions idle out, or there is a bound; each further flood costs nothing.
    Shows: memory, descriptors or threads that grow with every flood, sessions that DELETE leaves.
    """

    kind: ClassVar[str] = "session-flood"
    shows: ClassVar[tuple[str, ...]] = ("leak-session",)
    sessions: int = Field(3000, ge=10, le=20_000, description="that each flood opens")
    rate_s: Pace = Field(0.02, alias="rate", description="how fast they are opened")
    rest_s: Duration = Field(30.0, alias="rest", ge=1.0, description="after each flood")
    idle_s: Duration = Field(
        0.0, alias="idle", description="after which the server lets a session go; 0s: unknown"
    )

    def behaviour(self) -> Behaviour:
        """Open, and never come back."""
        return Behaviour(
            kind="session_flood",
            share=1.0,
            count=self.sessions,
            every_s=self.rate_s,
            after_s=self.rest_s,
        )


class RejectFlood(OutsiderFault):
    """Three equal floods of requests that must be refused, with a rest after each.

    A POST that accepts no JSON, a GET and a DELETE without a session, a message that is none.
    A resilient server: it refuses them at no lasting cost.
    Shows: memory, descriptors or threads that grow with every refused request.
    """

    kind: ClassVar[str] = "reject-flood"
    shows: ClassVar[tuple[str, ...]] = ("leak-session",)
    requests: int = Field(600, ge=10, le=20_000, description="that each flood sends")
    rate_s: Pace = Field(0.005, alias="rate", description="how fast they are sent")
    rest_s: Duration = Field(10.0, alias="rest", ge=1.0, description="after each flood")

    def behaviour(self) -> Behaviour:
        """Send what nobody may accept."""
        return Behaviour(
            kind="reject_flood",
            share=1.0,
            count=self.requests,
            every_s=self.rate_s,
            after_s=self.rest_s,
        )


class SessionHijack(OutsiderFault):
    """A session's id is used with the token of somebody else, who is let in by himself.

    With `plant` and `read`, the owner calls the one and the thief the other: a thief who gets the
    owner's nonce has what is not his. In the modern era these two alone are tried.
    A resilient server: it answers as if there were no such session.
    Shows: a call that is served, and whose data it brings.
    """

    kind: ClassVar[str] = "session-hijack"
    shows: ClassVar[tuple[str, ...]] = ("authn-bypass", "crosstalk")
    every_s: Duration = Field(10.0, alias="every", ge=0.1, description="between two attempts")
    plant: Asked = Field(
        default_factory=lambda: NOTHING, description="a call by the owner that leaves a nonce"
    )
    read: Asked = Field(
        default_factory=lambda: NOTHING, description="the call that would bring it back"
    )

    def behaviour(self) -> Behaviour:
        """Steal a session."""
        asked = (self.plant, self.read)
        told = "" if NOTHING in asked else json.dumps([_call(one) for one in asked])
        return Behaviour(kind="session_hijack", share=1.0, every_s=self.every_s, argument=told)


class InitWithStaleId(OutsiderFault):
    """A client opens a session while it still sends the id of an old one.

    A resilient server: a new session, or the 404 after which a client begins anew without the id.
    Shows: any other answer, and a client that cannot begin anew.
    """

    kind: ClassVar[str] = "init-with-stale-id"
    shows: ClassVar[tuple[str, ...]] = ("wrong-status",)

    def behaviour(self) -> Behaviour:
        """Open with an id that nobody knows."""
        return Behaviour(kind="stale_id", share=1.0)


class SessionIdle(OutsiderFault):
    """A session's id is used after its life: never given out, ended with DELETE, or idle so long.

    A resilient server: 404, after which a client begins anew; a session that idles may live on.
    Shows: another status, which leaves clients without a way back.
    """

    kind: ClassVar[str] = "session-idle"
    shows: ClassVar[tuple[str, ...]] = ("wrong-status",)
    idle_s: Duration = Field(1.0, alias="idle", description="that a session is left alone")

    def behaviour(self) -> Behaviour:
        """Come back too late."""
        return Behaviour(kind="session_idle", share=1.0, after_s=self.idle_s)


class ResumeProbe(OutsiderFault):
    """Streams are resumed with event ids: its own, another session's, and one that never was.

    A resilient server: the session's own events or none at all.
    Shows: events of another session.
    """

    kind: ClassVar[str] = "resume-probe"
    shows: ClassVar[tuple[str, ...]] = ("crosstalk",)
    tool: str = Field("", description="called for its events; the first of the scenario by default")

    def behaviour(self) -> Behaviour:
        """Ask for events by their ids."""
        return Behaviour(kind="resume_probe", share=1.0, tool=self.tool)


class StateTamper(OutsiderFault):
    """The `requestState` that a caller has to bring back is changed, or brought by another user.

    Only the modern era has it, and only calls that ask something back.
    A resilient server: it refuses both.
    Shows: a call that goes on from a state which the server did not write for this caller.
    """

    kind: ClassVar[str] = "state-tamper"
    shows: ClassVar[tuple[str, ...]] = ("authn-bypass",)
    ask: Asked = Field(
        default_factory=lambda: CONFIRM,
        description="a call that asks something back",
    )

    def behaviour(self) -> Behaviour:
        """Bring back what was not given."""
        return Behaviour(
            kind="state_tamper",
            share=1.0,
            tool=self.ask.tool,
            argument=self.ask.arguments,
        )


class VersionSkew(OutsiderFault):
    """Clients of older and future versions come by, and some whose header and body disagree.

    A resilient server: before 2026 it negotiates; since then it refuses with -32022 and a list of
    what it speaks, and with -32020 where header and body differ.
    Shows: a newer client that is refused without a word, a contradiction that is served.
    """

    kind: ClassVar[str] = "version-skew"
    shows: ClassVar[tuple[str, ...]] = ("version-reject", "wrong-status")

    def behaviour(self) -> Behaviour:
        """Speak other versions."""
        return Behaviour(kind="version_skew", share=1.0)


class OriginEvil(OutsiderFault):
    """A request comes with `Origin: http://evil.example`, as from a page in somebody's browser.

    A resilient server: 403.
    Shows: the request is served. It is told, and weighs nothing in the score.
    """

    kind: ClassVar[str] = "origin-evil"
    shows: ClassVar[tuple[str, ...]] = ("authn-bypass",)

    def behaviour(self) -> Behaviour:
        """Come from a foreign page."""
        return Behaviour(kind="origin_evil", share=1.0)


class HostHeader(OutsiderFault):
    """Requests come by a public name, through a proxy that says so, and by a pod's address.

    A resilient server: it serves the names in `served`, whatever X-Forwarded-Host says, and
    answers for its health under any name. Refusing other names with 403 or 421 is a good guard.
    Shows: a name that should be served and is refused, a health check that depends on its name.
    """

    kind: ClassVar[str] = "host-header"
    shows: ClassVar[tuple[str, ...]] = ("host-reject",)
    served: tuple[str, ...] = Field(
        (), min_length=1, description="names that the server is to be reached by"
    )
    health: str = Field(
        "auto", pattern=r"^(auto|/[!-~]*)$", description="path of the health check; auto: find it"
    )

    def behaviour(self) -> Behaviour:
        """Use other names."""
        health = "" if self.health == "auto" else self.health
        return Behaviour(
            kind="host_header", share=1.0, variant=",".join(self.served), argument=health
        )


class ListDrift(OutsiderFault):
    """What the target offers changes under way: an outsider calls a tool of its own that does so.

    It strikes everybody, so that it is held against the baseline.
    A resilient server: it says so to whoever listens (`notifications/tools/list_changed`), or had
    let its list run out (`ttlMs`), and keeps the order of what is still there.
    Shows: a list that has changed with nobody told.
    """

    kind: ClassVar[str] = "list-drift"
    shows: ClassVar[tuple[str, ...]] = ("stale-list",)
    tool: str = Field("publish", description="the tool that changes what is offered")
    arguments: Arguments = Field(default_factory=lambda: "{}", description="of that tool")
    every_s: Duration = Field(1.0, alias="every", ge=0.1, description="between two changes")

    def strikes(self) -> Struck:
        """Every session is offered what the target offers."""
        return "both"

    def behaviour(self) -> Behaviour:
        """Call the tool."""
        return Behaviour(
            kind="drift_list",
            share=1.0,
            tool=self.tool,
            argument=self.arguments,
            every_s=self.every_s,
        )
