"""The ways in which the bundled server can be made to fail on purpose; all off is hardened."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self


class Flaw(StrEnum):
    """One switch each; the member's text says what goes wrong and what brings it to light."""

    meaning: str

    def __new__(cls, name: str, meaning: str = "") -> Self:
        """A member whose value is its command line name."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.meaning = meaning
        return member

    EMPTY_ON_ERROR = (
        "empty-on-error",
        # The pattern that `search` hands to its database may be 32 KiB long: a query of 64 KiB
        # fails inside SQLite ("LIKE or GLOB pattern too complex"), and so does any query while
        # all connections are taken for 2 s. That is the dependency's failure to hide.
        "search answers an empty list when its database fails, as on a query of 64 KiB",
    )
    AUTH_AT_INIT_ONLY = (
        "auth-at-init-only",
        # The modern era has no session to trust, so there the client is: whoever was once seen
        # with a good token is served for ever on any token that the issuer has signed.
        "the token is checked when a session or client is first seen and never again",
    )
    EXPIRED_IS_403 = (
        "expired-is-403",
        "an expired token is answered with 403 and no challenge, so that no client renews it",
    )
    SESSION_BOUND_TO_TOKEN = (
        "session-bound-to-token",
        # Legacy: the session is not found (404). Modern: what was remembered is not found.
        "a session and its context belong to the bytes of one token: a renewed token loses them",
    )
    NO_DEDUP = (
        "no-dedup",
        "append_note ignores its idempotency key: a repeated call takes effect again",
    )
    UNBOUNDED_REQUEST = (
        "unbounded-request",
        "a request body of any size is read into memory and parsed before anybody looks at it",
    )
    SYNC_BLOCKS_LOOP = (
        "sync-blocks-loop",
        "slow and search block the event loop, so that every other session waits for them",
    )
    AUTH_ERROR_AS_TEXT = (
        "auth-error-as-text",
        "a tool call under a token that is refused is answered 200, with the refusal as its text",
    )
    SCOPE_IGNORED = (
        "scope-ignored",
        "a tool that writes runs under a token that may only read",
    )
    SCOPE_DENIED_EMPTY = (
        "scope-denied-empty",
        "a call that the token's scope does not cover is answered well, with nothing in it",
    )
    AUD_UNCHECKED = (
        "aud-unchecked",
        "a token that its issuer made for another resource is good here too",
    )
    ANY_TOKEN_TYPE = (
        "any-token-type",
        "whatever the issuer has signed for this resource is an access token, refresh tokens too",
    )
    NO_CLOCK_LEEWAY = (
        "no-clock-leeway",
        "a token from a clock that is seconds ahead is refused as not valid yet",
    )
    JWKS_FOREVER = (
        "jwks-forever",
        "the issuer's keys are read once: tokens signed with a newer key are never accepted",
    )
    JWKS_KEPT = (
        "jwks-kept",
        "a key of the issuer's that was read once is good for ever, withdrawn or not",
    )
    JWKS_EVERY_CALL = (
        "jwks-every-call",
        "the issuer's metadata and keys are read anew for every call, however long that takes",
    )
    NO_AUTH = (
        "no-auth",
        "the metadata say that a token is needed, and the tools run for anyone",
    )
    LAST_LOGIN_WINS = (
        "last-login-wins",
        "whoever opens a session ends the earlier ones that were opened with the same token",
    )
    SIGTERM_HANG = (
        "sigterm-hang",
        "told to end, it waits for open streams for ever, and goes on serving meanwhile",
    )
    SIGTERM_CUT = (
        "sigterm-cut",
        "told to end, it is gone at once: the calls in flight get no answer",
    )
    LAZY_ENV = (
        "lazy-env",
        "it starts without a variable that it needs, and its searches fail for want of it",
    )
    NO_KEEPALIVE = (
        "no-keepalive",
        "a long call says nothing until it is done: no progress, no comment on its stream",
    )
    ABSOLUTE_WRITE_TIMEOUT = (
        "absolute-write-timeout",
        "every response is cut off two seconds after it began, whatever flows on it",
    )
    NO_FLUSH_HEADER = (
        "no-flush-header",
        "event streams are held back until they are whole, and nobody is told not to buffer them",
    )
    MEMORY_PER_CALL = (
        "memory-per-call",
        "every result is appended to a list, for debugging, that nobody ever empties",
    )
    SESSION_LEAK = (
        "session-leak",
        "sessions never idle out, and DELETE is agreed to and ignored",
    )
    REJECT_LEAKS = (
        "reject-leaks",
        "every refused request leaves behind the session that was registered for it",
    )
    UNKNOWN_SESSION_500 = (
        "unknown-session-500",
        "a session id that is not known is answered 500, so that no client begins anew",
    )
    SESSION_UNBOUND = (
        "session-unbound",
        # Modern: a handle belongs to whoever has it.
        "any good token may use any session, and whoever does is taken for its owner",
    )
    REPLAY_UNSCOPED = (
        "replay-unscoped",
        "a stream is resumed by an event's number alone, whosever event it is",
    )
    LOCALHOST_ONLY = (
        "localhost-only",
        "whatever is not addressed to this machine by name is refused, the health check too",
    )
    VERSION_STRICT = (
        "version-strict",
        "a version that it does not know is a bad request, before anything is negotiated",
    )
    MIRROR_UNCHECKED = (
        "mirror-unchecked",
        "the headers of a modern request may say something else than its body",
    )
    STATE_UNSIGNED = (
        "state-unsigned",
        "requestState is plain JSON, which its carrier may change and pass on",
    )
    ORIGIN_UNCHECKED = (
        "origin-unchecked",
        "nobody looks at the Origin of a request",
    )

    ID_KEYED_RESPONSES = (
        "id-keyed-responses",
        "answers are kept by the bare JSON-RPC id: two calls under one id get each other's",
    )
    GLOBAL_LOCK = (
        "global-lock",
        "one lock is held around every tool, so that calls wait for each other one by one",
    )
    CANCEL_IGNORED = (
        "cancel-ignored",
        "a call that was called off goes on: the notification, or the closed stream, is dropped",
    )
    ID_ZERO_FALSY = (
        "id-zero-falsy",
        "a call whose id is 0 or empty cannot be called off: the id is tested for its truth",
    )
    DISCONNECT_CRASH = (
        "disconnect-crash",
        "the error of a connection that was lost in mid-call escapes and ends the process",
    )
    UNVALIDATED_ARGS = (
        "unvalidated-args",
        "search and fetch take arguments as they come and answer what breaks with a stack trace",
    )
    UNBOUNDED_RESULT = (
        "unbounded-result",
        "big gives back whatever size it is asked for, in one message and twice",
    )
    TRUNCATES_SILENTLY = (
        "truncates-silently",
        "big cuts its result at 64 KiB and does not say so",
    )
    LOST_UPDATE = (
        "lost-update",
        "add_entry reads a record, changes it and writes it back without a lock",
    )
    RATELIMIT_IN_PAYLOAD = (
        "ratelimit-in-payload",
        "a search that the dependency refuses with 429 is answered well, with the error as its row",
    )
    POOL_LEAK_ON_CANCEL = (
        "pool-leak-on-cancel",
        "schedule_note takes a connection to its dependency, and gives it back only on success",
    )
    POOL_HELD_ACROSS_AWAIT = (
        "pool-held-across-await",
        "a call keeps one of few connections while it waits for its dependency, and others starve",
    )
    NO_DOWNSTREAM_DEADLINE = (
        "no-downstream-deadline",
        "the dependency is waited for as long as it takes, whoever waits for the answer",
    )
    RETRIES_WRITES = (
        "retries-writes",
        "a write whose answer was lost is sent again, as a new one",
    )
    RETRY_STORM = (
        "retry-storm",
        "a read that fails is tried twenty times more, at once, whatever Retry-After says",
    )
    SLEEPS_ON_RETRY_AFTER = (
        "sleeps-on-retry-after",
        "a call waits as long as Retry-After says, whoever waits for the answer",
    )
    NO_BREAKER = (
        "no-breaker",
        "every call tries the dependency, however long it has been dead",
    )
    SCHEMA_LIES = (
        "schema-lies",
        "search hands on what the dependency says, whatever its own outputSchema promises",
    )
    ERROR_BREAKS_SCHEMA = (
        "error-breaks-schema",
        "an error carries structured content that is none of what the tool's outputSchema allows",
    )
    STALE_CACHE = (
        "stale-cache",
        "notes are read once a minute, whatever has been written since",
    )
    TIGHT_RECONNECT = (
        "tight-reconnect",
        "once the dependency is gone, it is looked for again and again without a pause",
    )
    PARTIAL_AS_FULL = (
        "partial-as-full",
        "search answers with the pages that came, and does not look at how many rows there are",
    )
    AMBIENT_USER = (
        "ambient-user",
        "who asks is kept where all calls see it, so that one acts in another user's name",
    )
    TOKEN_PASSTHROUGH = (
        "token-passthrough",
        "the token that the caller showed is shown to the dependency, too",
    )
    REFRESH_STAMPEDE = (
        "refresh-stampede",
        "every request to the dependency buys a new token of its own first",
    )
    REFRESH_ONCE = (
        "refresh-once",
        "a renewal of the dependency's token that has failed is never tried again",
    )

    UNBOUNDED_QUEUE = (
        "unbounded-queue",
        "what a slow reader has not read yet is kept for it in memory, however much it is",
    )
    ORPHAN_TASK = (
        "orphan-task",
        "each call starts a task that nobody awaits, which keeps what it holds for ever",
    )

    LIST_UNSTABLE = (
        "list-unstable",
        "the tools are listed in another order each time",
    )
    LIST_UNTOLD = (
        "list-untold",
        # The modern era may let a list run out instead of telling: it promises a minute here.
        "a tool comes and goes, and nobody is told, though the list was good for a minute",
    )
    TRANSACTION_LEFT_FAILED = (
        "transaction-left-failed",
        "a call that fails leaves the transaction failed that all calls share, and they fail too",
    )
    HEALTH_LIES = (
        "health-lies",
        "the health check says ok, always, whatever becomes of the calls",
    )
    READY_TOO_EARLY = (
        "ready-too-early",
        "it says that it is ready before what it needs has been opened, and fails calls until then",
    )
    CWD_RELATIVE = (
        "cwd-relative",
        "search opens a file by a path that is relative to wherever the server was started",
    )

    RAM_STATE = (
        "ram-state",
        "what is remembered is known to one process alone, to no replica and not to the next",
    )


Flaws = frozenset[Flaw]

# The manners of sound servers that are unlike others; none is a flaw.
MANNERS: Final[dict[str, str]] = {
    "slow": "every call takes .3 s longer, and is answered right",
    "refusing": "calls are refused with 413, 403 and 429 for their size, their wish and their rate",
    "sparse": "a search has one or two rows, whatever is asked",
}
