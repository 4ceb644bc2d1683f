"""What was seen of single requests, beyond what a row of `calls.npy` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.journal.calls import NEVER_NS, ROWS_UNKNOWN


@dataclass(frozen=True, kw_only=True)
class SampleEntry:
    """What one notable call looked like, redacted and cut short: evidence for people."""

    at_ns: int
    session: int
    index: int
    attempt: int
    text: str
    type: Literal["sample"] = "sample"


BreachKind = Literal["progress:backwards", "progress:late", "stream:broken"]


@dataclass(frozen=True, kw_only=True)
class BreachEntry:
    """A server broke a rule that shows only between messages; a bounded number is written down."""

    at_ns: int
    session: int
    index: int  # of the call that it belongs to
    kind: BreachKind
    type: Literal["breach"] = "breach"


Carried = Literal["", "own", "foreign", "none"]


@dataclass(frozen=True, kw_only=True)
class ProbeEntry:
    """One request that was wrong on purpose, and what came of it: more than a call record holds."""

    at_ns: int  # when its answer was known
    session: int
    window: int  # the fault window that asked for it
    kind: str  # the behaviour's name
    variant: str = ""  # which of its forms: "future-version", "missing-required"
    era: str = ""
    index: int = -1  # of the logical call whose attempt 0 it is; -1 for none
    tool: str = ""
    sent: str = ""  # what was sent, in words, with nothing secret
    sent_ns: int = NEVER_NS
    status: int = 0  # of HTTP; 0 for none
    outcome: str = ""  # the outcome's name: "ok", "http_error"
    reason: str = ""
    code: int | None = None  # of the JSON-RPC error
    is_error: bool = False  # the result said `isError`
    challenge: str = ""  # of WWW-Authenticate, its scheme, error and scope
    carried: Carried = ""  # whose nonce the answer carried
    nonce: str = ""  # under which an effect of it would stand in the ledger
    text: str = ""  # what the server said, redacted and cut short
    type: Literal["probe"] = "probe"


@dataclass(frozen=True, kw_only=True)
class FloodEntry:
    """One edge of one flood: floods of a window are equal, with a rest after each."""

    at_ns: int
    window: int
    kind: str  # the behaviour's name
    flood: int  # 1, 2, ... within the window
    edge: Literal["began", "ended", "rested"]
    sent: int = 0  # so far in this flood
    accepted: int = 0
    refused: int = 0
    failed: int = 0  # neither: no answer
    type: Literal["flood"] = "flood"

    @property
    def requests(self) -> int:
        """How many this edge adds to those that its window has sent: all, once it has ended."""
        return self.sent if self.edge == "ended" else 0


@dataclass(frozen=True, kw_only=True, slots=True)  # a long run holds millions
class DependencyEntry:
    """One request at the dependency, as its own ledger saw it."""

    at_ns: int  # received
    operation: str  # "rows", "row", "append", "notes", "token", ...
    dependency: str = ""  # its name in the scenario
    key: str = ""  # what tells the logical call: a text that carries its nonce
    subject: str = ""
    credential: Literal["", "none", "own", "caller", "other"] = (
        ""  # caller: an MCP token, passed on
    )
    audience: str = ""
    took_ns: int = 0
    status: int = 0
    executed: bool = False  # its effect took place, or its rows were found
    answered: bool = False  # the whole answer left
    rows: int = ROWS_UNKNOWN
    fault: str = ""  # what was done to it on purpose
    retry_after_s: float = 0.0  # that the answer asked for
    connection: int = 0
    total: int = ROWS_UNKNOWN  # rows that there are for what was asked, whatever was sent
    type: Literal["dependency"] = "dependency"


@dataclass(frozen=True, kw_only=True)
class ListEntry:
    """A list of tools that a session was given, where it was not the one that it had been before.

    The first of an arm in a process is told too, and the first of a session that differs from it.
    Names come with the first entry of each list.
    """

    at_ns: int
    session: int
    index: int  # of the step that was answered with it, or with its first page
    treated: bool
    era: str
    digest: str  # of names and schemas, in order
    content: str  # of the same, in any order
    count: int
    names: tuple[str, ...] = ()
    was: str = ""  # the digest of the list before it in this session; "" for none
    was_content: str = ""
    was_ns: int = NEVER_NS  # when that one came
    ttl_ms: int = -1  # how long that one was good for; -1 where nothing was said
    hears: bool = False  # the session would have been told of a change since
    declares: bool | None = None  # the server says that it tells; None: it said nothing of itself
    told_ns: int = NEVER_NS  # when it last told this session
    type: Literal["list"] = "list"
