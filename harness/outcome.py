"""What became of a call, in closed vocabularies with stable numbers.

The numbers are written into `calls.npy`, so a member is never renumbered or reused.
Opinions (was this fair? whose fault was it?) are not here: they are functions of the journal.
"""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """How one attempt at a call ended, as its client saw it."""

    OK = 0  # a well-formed reply that met the step's expectations
    TOOL_ERROR = 1  # HTTP 200 and `isError: true`
    PROTOCOL_ERROR = 2  # a JSON-RPC error, or a reply that breaks HTTP, SSE or JSON-RPC
    HTTP_ERROR = 3  # a status outside 2xx without a JSON-RPC reply to the call
    TRANSPORT_ERROR = 4  # refused, reset, closed or cut before the reply was whole
    TIMEOUT = (
        5  # no reply by the deadline; one came, or the transport failed, in the grace after it
    )
    HANG = 6  # nothing at all by the deadline and the grace after it
    WRONG = 7  # a reply that claims success and is not true: nonce, rows, schema, another's data
    UNSENT = 8  # the step could not start: session dead, value missing, or the run ended
    ABANDONED = 9  # the client left on purpose (a fault of the agent lever)


class Reason(IntEnum):
    """The finer cause behind an outcome; `NONE` where the outcome says it all."""

    NONE = 0
    # transport
    CONNECT_REFUSED = 1
    CONNECT_TIMEOUT = 2
    CONNECT_FAILED = 3
    RESET = 4
    CLOSED_EARLY = 5  # the peer ended the stream before the reply was whole
    SEND_FAILED = 6
    STREAM_ENDED = 7  # an SSE stream ended cleanly without the response
    # waiting
    DEADLINE = 10
    HANG = 11
    LATE_REPLY = 12  # the reply came after the deadline, within the grace
    # what came back breaks a grammar or a bound
    MALFORMED_HTTP = 20
    HEADER_TOO_LARGE = 21
    BODY_TOO_LARGE = 22
    EVENT_TOO_LARGE = 23
    ENDLESS_STREAM = 24  # more events than a reply may have
    ENCODED = 25  # a content coding that was not asked for
    WRONG_CONTENT_TYPE = 26
    MALFORMED_JSON = 27
    NOT_JSONRPC = 28
    WRONG_ID = 29
    NO_REPLY = 30  # 202 or an empty body in answer to a request
    MALFORMED_SSE = 31
    # what the server said
    HTTP_STATUS = 40  # see the status column
    JSONRPC_ERROR = 41
    TOOL_ERROR = 42
    # claimed success, not true
    RESULT_SHAPE = 50  # a result without the members its method promises
    SCHEMA = 51  # structuredContent breaks the tool's outputSchema
    NONCE_MISSING = 52
    FOREIGN_NONCE = 53  # the reply carries another call's nonce
    ROWS = 54  # fewer or more rows than expected
    EXPECTATION = 55
    STALE = 56  # the session's own write is not in what it reads back
    # not started
    RUN_ENDED = 60
    SESSION_DEAD = 61
    VALUE_MISSING = 62  # an earlier step did not yield the value this one needs
    NO_TOKEN = 63  # no access token could be obtained
    # ended by the client's own misbehaviour
    VANISHED = 70
    REPLY_LOST = 71  # the reply arrived and was thrown away before the agent could see it
    # the call did not end with its first reply
    RESULT_TYPE = 80  # a result that is not the last word; a session goes on from it
    UNDECLARED = 81  # the server used what this client had not declared
    INPUT_ENDLESS = 82  # it asked for input again and again, and never finished
    INPUT_MALFORMED = 83  # it asked for input in no way that can be answered
    INPUT_REFUSED = 84  # the client's rule is to refuse; the call ends by that
    TASK_FAILED = 85
    TASK_CANCELLED = 86  # by the server
    TASK_LOST = 87  # the server no longer knows a task that it had accepted
    CANCELLED = 88  # by the client, on purpose
    # TLS came to nothing
    TLS_UNTRUSTED = 90  # nobody we trust has signed the server's certificate
    TLS_WRONG_NAME = 91  # it is for another name
    TLS_EXPIRED = 92  # or not valid yet
    TLS_CLIENT_REFUSED = 93  # the server wants a client certificate, or another one
    TLS_FAILED = 94
    # over HTTP+SSE, whose one stream is the session
    STREAM_LOST = 95  # it has broken: the message was never sent
    NO_ENDPOINT = 96  # it did not say where messages go
    FOREIGN_ENDPOINT = 97  # it said another origin
    # of a server that is spoken to through its standard input and output
    PROCESS_DIED = 100  # its process ended, or closed its output, before the reply was whole
    PIPE_FULL = 101  # it did not read its input, so that the request could not be written


class Effect(IntEnum):
    """Whether the call's effect took place at the dependency."""

    NONE = 0  # the step declares no effect
    HAPPENED = 1
    ABSENT = 2
    UNKNOWN = 3  # the ledger has to answer


class Auth(IntEnum):
    """The credential that an attempt presented, as the issuer would judge it when it was sent."""

    NONE_NEEDED = 0  # the target asks for no token
    VALID = 1
    EXPIRED = 2
    REVOKED = 3
    ABSENT = 4  # withheld on purpose
    DAMAGED = 5
    NARROW = 6  # good, but not for all that the call needs
    MISDIRECTED = 7  # made for another resource
    UNSUITED = 8  # of another kind than an access token
    SKEWED = 9  # not valid yet, or long past, by more than any clock may be off
    WITHDRAWN = 10  # under a key that its issuer has withdrawn, longer ago than may go unnoticed


class EndedBy(IntEnum):
    """What ended the wait for a reply."""

    REPLY = 0
    DEADLINE = 1
    CLOSED = 2
    CLIENT = 3  # vanished, cancelled
    RUN_END = 4
    NEVER_SENT = 5
