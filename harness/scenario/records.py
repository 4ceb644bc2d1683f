"""The scenario as frozen records: what a file means once it has been read and checked.

Attribute names carry their unit; the file's keys are the aliases, whose values carry it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt
from pydantic_core import PydanticCustomError

from faults.quantities import Duration, Pace, Share
from harness.flaws import Flaw
from harness.scenario.audit import Audit
from harness.scenario.auth import Auth
from harness.scenario.dependencies import Dependency
from harness.scenario.observe import Observe
from harness.scenario.record import Record
from harness.scenario.window import Window

# The bundled server's tools, which a scenario may name; a test holds them to it.
REFERENCE_TOOLS: Final = (
    "search", "fetch", "append_note", "remember", "recall", "slow", "big",
    "summarize", "confirm", "roots", "touch", "job", "schedule_note", "add_entry", "list_entries",
    "feed", "publish",
)  # fmt: skip
FLAWS: Final = tuple(flaw.value for flaw in Flaw)
HARDENED: Final = "hardened"
Processes = Literal["session", "shared"]


def _as_words(value: object) -> object:
    """Take `[404]` for `["404"]`: a status in a file is a number to its author."""
    if isinstance(value, list):
        return [str(each) if type(each) is int else each for each in value]
    return value


# --- the target -----------------------------------------------------------------------------


class ReferenceTarget(Record):
    """The bundled reference server, hardened or with some of its flaws switched on."""

    reference: str | tuple[str, ...] = Field(
        description="hardened, or the names of flaws", examples=["hardened", ["no-dedup"]]
    )
    transport: Literal["http", "sse", "stdio"] = Field(
        "http", description="sse: the HTTP+SSE of revision 2024-11-05; stdio: over pipes"
    )
    processes: Processes = Field("session", description="over stdio: how many of them")
    manner: Literal["", "slow", "refusing", "sparse"] = Field(
        "", description="unlike the usual server, and as sound; squall's own self-test needs it"
    )

    @property
    def flaws(self) -> tuple[str, ...]:
        """The flaws that are switched on; none on the hardened server."""
        names = (self.reference,) if isinstance(self.reference, str) else self.reference
        return tuple(name for name in names if name != HARDENED)


class StdioTarget(Record):
    """A server that squall starts, and speaks to over its standard input and output."""

    stdio: tuple[str, ...] = Field(min_length=1, description="the command and its arguments")
    processes: Processes = Field("session", description="one a session, or shared by an arm")
    environment: dict[str, str] = Field(default_factory=dict)
    ready_s: Duration = Field(20.0, alias="ready", description="until a process answers first")

    @property
    def transport(self) -> Literal["stdio"]:
        """As other targets say theirs."""
        return "stdio"


class Tls(Record):
    """Whom an https target and its issuer are trusted by, and who the sessions say they are."""

    ca: str = Field("", description="PEM file of authorities, trusted beside the system's own")
    certificate: str = Field("", description="PEM file of the client certificate")
    key: str = Field("", description="PEM file of its key; left out when it is in the same file")


_SOCKET: Final = "path of the Unix socket the server listens on; the URL gives Host and path"


_HEALTH: Final = "path of its health check, or a URL beside url; asked about once a second"


_TRANSPORT: Final = (
    "http: Streamable HTTP; sse: the HTTP+SSE of 2024-11-05; auto: whichever answers, in that order"
)


class UrlTarget(Record):
    """A server that runs already."""

    url: str = Field(description="the MCP endpoint, for example http://127.0.0.1:8001/mcp")
    tls: Tls = Tls()
    unix_socket: str = Field("", alias="socket", description=_SOCKET)
    transport: Literal["auto", "http", "sse"] = Field("auto", description=_TRANSPORT)
    health: str = Field("", description=_HEALTH, examples=["/healthz"])


class LaunchTarget(Record):
    """A server that squall starts, watches and stops."""

    launch: tuple[str, ...] = Field(min_length=1, description="the command and its arguments")
    url: str = Field(description="where it will answer; ${port} becomes a free port")
    tls: Tls = Tls()
    unix_socket: str = Field("", alias="socket", description=_SOCKET)
    transport: Literal["auto", "http", "sse"] = Field("auto", description=_TRANSPORT)
    health: str = Field("", description=_HEALTH, examples=["/healthz"])
    environment: dict[str, str] = Field(default_factory=dict)
    ready_s: Duration = Field(20.0, alias="ready", description="how long it may take to answer")


Target = ReferenceTarget | UrlTarget | LaunchTarget | StdioTarget


# --- what agents do -------------------------------------------------------------------------


class Expect(Record):
    """What a successful reply must show; HTTP 200 proves nothing."""

    rows: str | None = Field(
        None, description="how many rows, as in '>= 1', '== 3', '1..50'", examples=[">= 1"]
    )
    carries: Literal["nonce", "session"] | None = Field(
        None, description="a value of this call that the result must carry back"
    )
    contains: str | None = Field(None, description="text that the result must hold")
    fresh: str | None = Field(
        None, description="what this session wrote last: a result without it is a stale read"
    )
    equals: dict[str, Any] = Field(
        default_factory=dict, description="path in the result -> value, ${...} allowed"
    )
    error: StrictBool = Field(False, description="true when a tool error is the right answer")
    progress: str | None = Field(
        None, description="how many progress notifications, as in '>= 1'", examples=[">= 1"]
    )


class ListStep(Record):
    """List what the server offers: tools, resources or prompts. Also ping."""

    method: Literal["tools/list", "resources/list", "prompts/list", "ping"]
    expect: Expect = Expect()


class CallStep(Record):
    """Call a tool."""

    call: str = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict, alias="with")
    expect: Expect = Expect()
    keep: dict[str, str] = Field(
        default_factory=dict, description="name -> path in the result, as in result[0].id"
    )
    effect: Literal["once"] | None = Field(
        None, description="once: the ledger must show exactly one execution"
    )
    deadline_s: Duration | None = Field(None, alias="deadline")
    progress: StrictBool = Field(False, description="ask for progress notifications")
    patience_s: Duration | None = Field(
        None,
        alias="patience",
        gt=0,
        description="progress puts the deadline off, up to so long after the start",
    )
    cancel_after_s: Duration | None = Field(
        None, alias="cancel_after", gt=0, description="call it off when it takes longer"
    )
    task: StrictBool = Field(False, description="let it run as a task, and poll for its result")
    seen_in: str = Field(
        "", description="the tool whose result has one row for every such call that was answered"
    )


class ReadStep(Record):
    """Read a resource."""

    read: str = Field(min_length=1, description="the resource's URI, ${...} allowed")
    expect: Expect = Expect()
    keep: dict[str, str] = Field(default_factory=dict)
    deadline_s: Duration | None = Field(None, alias="deadline")


class PromptStep(Record):
    """Get a prompt."""

    prompt: str = Field(min_length=1)
    arguments: dict[str, str] = Field(default_factory=dict, alias="with")
    expect: Expect = Expect()
    deadline_s: Duration | None = Field(None, alias="deadline")


class SubscribeStep(Record):
    """Subscribe to the updates of a resource, or end that again."""

    method: Literal["resources/subscribe", "resources/unsubscribe"]
    uri: str = Field(min_length=1, description="the resource's URI, the same in every call")
    expect: Expect = Expect()
    deadline_s: Duration | None = Field(None, alias="deadline")


SingleStep = CallStep | ReadStep | PromptStep | ListStep | SubscribeStep


class ParallelStep(Record):
    """Several steps that are due at the same moment, in flight together."""

    parallel: tuple[SingleStep, ...] = Field(min_length=2, max_length=16)


AnyStep = SingleStep | ParallelStep


class Agent(Record):
    """One kind of agent; its steps repeat until the run ends."""

    name: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_-]*$")
    share: Share = Field(1.0, description="of the sessions")
    pace_s: Pace = Field(1.0, alias="pace", description="steps per time and session")
    steps: tuple[AnyStep, ...] = Field(min_length=1)


class Retry(Record):
    """When a logical call is tried again. The default is what the specification demands: never."""

    attempts: StrictInt = Field(
        1, ge=1, le=10, description="of one logical call, the first included"
    )
    on: tuple[Literal["transport_error", "timeout", "http_5xx", "http_429"], ...] = (
        "transport_error",
    )
    backoff_s: Duration = Field(0.2, alias="backoff", description="doubled after every attempt")


def _as_action(value: object) -> object:
    """Take `decline` for `{action: decline}`."""
    return {"action": value} if isinstance(value, str) else value


def _as_refusal(value: object) -> object:
    """Take `refuse` for `{refuse: true}`."""
    if isinstance(value, str) and value != "refuse":
        raise PydanticCustomError(
            "quantity",
            "expected refuse",
            {"expected": "refuse, or a mapping with text", "mend": 'write {text: "…"}'},
        )
    return {"refuse": True} if value == "refuse" else value


class Sampling(Record):
    """What the agent's model says when the server asks it. In the file also: `refuse`."""

    text: str = Field("${asked}", description="${asked} is what the server asks with")
    model: str = "squall"
    refuse: StrictBool = False


class Elicitation(Record):
    """What the agent's user does with a form. In the file also: `accept`, `decline`, `cancel`."""

    action: Literal["accept", "decline", "cancel"] = "accept"
    content: dict[str, Any] = Field(
        default_factory=dict,
        description="values for the form's fields; its defaults, and the least that fits, else",
    )


class Answers(Record):
    """What the sessions answer when the server asks; what is left out is not offered to it."""

    sampling: Annotated[Sampling | None, BeforeValidator(_as_refusal)] = None
    elicitation: Annotated[Elicitation | None, BeforeValidator(_as_action)] = None
    roots: tuple[str, ...] | None = Field(
        None, description="URIs, ${session} and ${agent} allowed", examples=[["file:///srv"]]
    )
    after_s: Duration = Field(
        0.0, alias="after", le=60, description="how long a person or a model takes to answer"
    )


class Client(Record):
    """The client policy: what the sessions do on their own when something goes wrong."""

    deadline_s: Duration = Field(10.0, alias="deadline", gt=0, description="of every call")
    retry: Retry = Retry()
    reinitialize_on: Annotated[tuple[Literal["404", "400"], ...], BeforeValidator(_as_words)] = (
        Field(
            ("404",), description="404 is the specification's MUST; 400 is what some servers need"
        )
    )
    listen: StrictBool = Field(
        False,
        description="hear what the server says unasked: a GET stream, or subscriptions/listen",
    )
    follow_changes: StrictBool = Field(
        False, description="list the tools again after the server said that they changed"
    )
    answers: Answers = Answers()
    resume: StrictBool = Field(True, description="resume a broken stream with Last-Event-ID")


class Load(Record):
    """How many sessions, and how they are split."""

    sessions: StrictInt = Field(20, ge=1, le=20_000)
    ramp_s: Duration = Field(2.0, alias="ramp", description="over which the sessions open")
    treated: Share = Field(0.5, description="of the sessions get the faults; the rest is control")


class Phases(Record):
    """How long each phase lasts; the windows' own lengths stand beside their faults."""

    warmup_s: Duration = Field(2.0, alias="warmup", description="after the ramp; dropped")
    baseline_s: Duration = Field(10.0, alias="baseline", description="what all is compared with")
    recovery_s: Duration = Field(10.0, alias="recovery", description="after each window")


class Limits(Record):
    """What the run is gated on; each is judged by itself. None is not gated."""

    answered: str | None = Field(None, examples=[">= 99.5%"])
    latency_p50: str | None = Field(None, examples=["<= 50ms"])
    latency_p95: str | None = Field(None, examples=["<= 200ms"])
    latency_p99: str | None = Field(None, examples=["<= 800ms"])
    recovery: str | None = Field(None, examples=["<= 5s"])
    sessions_survived: str | None = Field(None, examples=[">= 99%"])
    score: str | None = Field(None, examples=[">= 80"])


class Abort(Record):
    """Stop conditions: the faults end first, then the load; exit 4."""

    control_errors: str | None = Field(None, examples=["> 20% for 5s"])


Revision = Literal["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]
MODERN_REVISION: Final = "2026-07-28"


def era_of(revision: str) -> Literal["legacy", "modern"]:
    """The era that a revision of the protocol belongs to."""
    return "modern" if revision >= MODERN_REVISION else "legacy"


class Scenario(Record):
    """One question, and everything needed to answer it."""

    question: str = Field(min_length=8, description="in one sentence, ending with a question mark")
    seed: StrictInt = Field(1, ge=0, le=2**63 - 1)
    era: Literal["auto", "legacy", "modern"] = "auto"
    engine: Literal["wire", "sdk"] = Field(
        "wire",
        description="sdk: the official client drives a few sessions beside squall's own, and what "
        "the two saw is compared",
    )
    revision: Revision | None = Field(
        None, description="speak this one and no other; left out, both sides settle on one"
    )
    target: Target = ReferenceTarget(reference="hardened")
    auth: Auth | None = None
    dependencies: dict[str, Dependency] = Field(
        default_factory=dict, max_length=8, description="what the target depends on, by name"
    )
    agents: tuple[Agent, ...] = Field(min_length=1)
    client: Client = Client()
    load: Load = Load()
    phases: Phases = Phases()
    faults: tuple[Window, ...] = Field((), max_length=255)  # a journal counts them in one byte
    limits: Limits = Limits()
    abort: Abort = Abort()
    audit: Audit | None = None
    observe: Observe = Observe()

    @property
    def spoken_era(self) -> Literal["auto", "legacy", "modern"]:
        """The era, as a pinned revision settles it where it is left open."""
        if self.revision is None or self.era != "auto":
            return self.era
        return era_of(self.revision)
