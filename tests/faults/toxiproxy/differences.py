"""Where our server is meant to differ from the original: each with its reason, and both behaviours.

A vector named here passes only if the original still behaves as `theirs` says, ours as `ours` says,
and the two are not the same, so that the list cannot outlive a difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Difference:
    """One deliberate difference; the patterns are searched for in the observations."""

    reason: str
    theirs: str
    ours: str


_CRASH: Final = "impossible attributes are refused, where the original dies of the next byte"
_OLD: Final = "uvicorn answers in HTTP/1.1 and closes, as HTTP/1.0 allows"
_ODD: Final = "no client sends this; uvicorn's reader of HTTP takes it"
_UNREAD: Final = "a body is read to its end, up to 8 MiB, where Go gives up after 256 KiB"

_BETTER: Final = {
    "bytes: a killing slicer of 0": Difference(
        _CRASH, r"status: 200\nalive: False", r"status: 400\nalive: True"
    ),
    "bytes: a killing slicer of 10, 100": Difference(
        _CRASH, r"status: 200\nalive: False", r"status: 400\nalive: True"
    ),
    "bytes: a killing bandwidth of -1": Difference(
        _CRASH, r"status: 200\nalive: False", r"status: 400\nalive: True"
    ),
    "toxic update that fails half-way": Difference(
        "a refused update changes nothing, where the original has changed a part by then",
        r'"latency":7,"jitter":1.*"toxicity":1\}\]$',
        r'"latency":5,"jitter":1.*"toxicity":1\}\]$',
    ),
    "bytes: a client that does not read": Difference(
        "control never waits for data, where the original's call waits for ever",
        r"answered: False",
        r"answered: True",
    ),
    "bytes: an upstream that is a black hole": Difference(
        "every connection dials for itself, where the original's acceptor waits with the call",
        r"waiting: True\nanswered: False",
        r"waiting: True\nanswered: True",
    ),
    "bytes: two servers of one seed": Difference(
        "a seed decides every draw, where the original throws it away",
        r"repeated: False",
        r"repeated: True",
    ),
    "bytes: reset_peer on a live connection": Difference(
        "a live connection is reset too, where the original only ends it",
        r"'end'\)",
        r"'reset'\)",
    ),
    "bytes: reset_peer of toxicity 0": Difference(
        "a connection that toxicity spared ends as usual, where the original's close resets it",
        r"'reset'\)",
        r"'end'\)",
    ),
    "bytes: disable under reset_peer": Difference(
        "only the toxic resets: the original's linger makes every close a reset",
        r"'reset'\)",
        r"'end'\)",
    ),
    "bytes: an update draws again": Difference(
        "a draw belongs to a connection, so that a seed repeats it; an update does not draw again",
        r"drawn again: True",
        r"drawn again: False",
    ),
    "bytes: reset_peer taken away in time": Difference(
        "the countdown can be called off, where the original's call waits and the bytes are lost",
        r"control waited: True\nthen: \(b'', 'reset'\)",
        r"control waited: False\nthen: \(b'kept', 'silence'\)",
    ),
}

_JSON: Final = {
    "attributes that are null and then an object": Difference(
        "a body that says null and then an object is taken, where Go stumbles over its own pointer",
        r"HTTP/1.1 400",
        r"(?s)201 Created.*HTTP/1.1 200 OK",
    ),
    "nested nine thousand deep": Difference(
        "Python's reader of JSON ends at about a thousand levels, Go's at ten thousand",
        r"HTTP/1.1 201",
        r"HTTP/1.1 400",
    ),
    "toxicity -0": Difference(
        "an integer of zero has no sign in Python",
        r'"toxicity":-0\}',
        r'"toxicity":0\}',
    ),
}

_FILE: Final = "a file that cannot be used is said at once, where the original runs without it"
_NOT_STARTED: Final = r"none, for it does not start"

_START: Final = {
    **{
        f"start: a file {what}": Difference(_FILE, r"200 \{", _NOT_STARTED)
        for what in (
            *("that is not there", "of nonsense", "with a field missing"),
            "with an address that cannot be had",
        )
    },
    "start: metrics of what is passing": Difference(
        "bytes count as they pass, where the original waits for the connection's end",
        r"counted: False",
        r"counted: True",
    ),
    "what only ours has": Difference(
        "additions have a path of their own, where the original has nothing",
        r"^HTTP/1.1 404 (?s:.*)HTTP/1.1 404 ",
        r"^HTTP/1.1 200 (?s:.*)HTTP/1.1 200 ",
    ),
    "packet_loss": Difference(
        "merged into the original after 2.12",
        r'"error":"invalid toxic type"',
        r'"attributes":\{"loss_rate":0.25,"correlation":0\}',
    ),
}

_HTTP: Final = {
    "HEAD": Difference(
        "uvicorn tells a length, where Go leaves it out of an empty answer to HEAD",
        r"405 Method Not Allowed\nDate: <date>\n",
        r"405 Method Not Allowed\nContent-Length: <content-length>\nDate: <date>\n",
    ),
    "letters that a path must not have": Difference(
        "h11 holds to the letter of HTTP: other characters than ASCII must be escaped",
        r"HTTP/1.1 200 OK",
        r"HTTP/1.1 400 Bad Request",
    ),
    "HTTP: HTTP/1.0": Difference(
        _OLD, r"^HTTP/1.0 200 OK\n(?s:.*)closed$", r"^HTTP/1.1 200 OK\n(?s:.*)closed$"
    ),
    "HTTP: HTTP/1.0 with keep-alive": Difference(
        _OLD, r"^HTTP/1.0 200 OK\n(?s:.*)served on$", r"^HTTP/1.1 200 OK\n(?s:.*)closed$"
    ),
    "HTTP: HTTP/1.0 not found": Difference(
        _OLD, r"^HTTP/1.0 404 Not Found\n(?s:.*)closed$", r"^HTTP/1.1 404 Not Found\n(?s:.*)closed$"
    ),
    "HTTP: HTTP/1.0 POST": Difference(
        _OLD, r"^HTTP/1.0 201 Created\n(?s:.*)closed$", r"^HTTP/1.1 201 Created\n(?s:.*)closed$"
    ),
    "HTTP: HTTP/2.0 in words": Difference(_ODD, r"^HTTP/1.1 505 ", r"^HTTP/1.1 200 OK"),
    "HTTP: an odd host": Difference(_ODD, r"^HTTP/1.1 400 ", r"^HTTP/1.1 200 OK"),
    "HTTP: OPTIONS *": Difference(_ODD, r"^HTTP/1.1 200 OK", r"^HTTP/1.1 301 "),
    "HTTP: a relative target": Difference(
        _ODD, r"^HTTP/1.1 400 ", r"^HTTP/1.1 301 (?s:.*)Location: /version\n"
    ),
    "HTTP: a broken escape in the target": Difference(
        _ODD, r"^HTTP/1.1 400 ", r"^HTTP/1.1 404 (?s:.*)proxy not found"
    ),
    "HTTP: a header with a control character": Difference(
        _ODD, r"^HTTP/1.1 400 ", r"^HTTP/1.1 200 OK"
    ),
    "HTTP: a header with a space before its colon": Difference(
        "the answer's words alone",
        r"^HTTP/1.1 400 Bad Request: invalid header name\n",
        r"^HTTP/1.1 400 Bad Request\n",
    ),
    "HTTP: headers over a megabyte": Difference(
        "the limit holds for what is not read yet, so a single header may be a little longer",
        r"^HTTP/1.1 431 ",
        r"^(HTTP/1.1 (200|431) |closed$)",
    ),
    "HTTP: a broken chunk": Difference(
        "the answer's words alone",
        r"^HTTP/1.1 400 (?s:.*)bad request body: (?s:.*)closed$",
        r"^HTTP/1.1 400 (?s:.*)\n400 Bad Request\n(?s:.*)closed$",
    ),
    "HTTP: a big body that no route wants": Difference(
        _UNREAD, r"^HTTP/1.1 404 (?s:.*)closed$", r"^HTTP/1.1 404 (?s:.*)served on$"
    ),
    "HTTP: a big body": Difference(
        _UNREAD, r"^HTTP/1.1 201 (?s:.*)closed$", r"^HTTP/1.1 201 (?s:.*)served on$"
    ),
    "HTTP: an unknown expectation": Difference(
        _ODD, r"^HTTP/1.1 417 ", r"^HTTP/1.1 201 (?s:.*)served on$"
    ),
    "HTTP: the preface of HTTP/2": Difference(
        _ODD,
        r"^HTTP/1.1 301 (?s:.*)Connection: close",
        r"^HTTP/1.1 301 Moved Permanently\nContent-Length: ",
    ),
}

DIFFERENCES: Final[dict[str, Difference]] = {**_BETTER, **_JSON, **_START, **_HTTP}
