"""What a server must not write to its standard output, each with what the client makes of it.

Every one is all that is said to a `tools/call` whose id is 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.outcome import Outcome, Reason
from tests.wire.hostile.corpus_http import RIGHT
from tests.wire.hostile.over_pipes import Ending


@dataclass(frozen=True, kw_only=True)
class Output:
    """What is written, how it ends, and what that is called."""

    name: str
    sent: bytes
    outcome: Outcome
    reason: Reason
    ending: Ending = "keep"
    status: int = 0


_PROTOCOL, _WRONG, _TRANSPORT = Outcome.PROTOCOL_ERROR, Outcome.WRONG, Outcome.TRANSPORT_ERROR
_NOT_JSON = (_PROTOCOL, Reason.MALFORMED_JSON)
_NOT_RPC = (_PROTOCOL, Reason.NOT_JSONRPC)
_SHAPE = (_WRONG, Reason.RESULT_SHAPE)
_HANG = (Outcome.HANG, Reason.HANG)
_FINE = (Outcome.OK, Reason.NONE)
_DIED = (_TRANSPORT, Reason.PROCESS_DIED)
_LINE = RIGHT + b"\n"
_BIG = RIGHT.replace(b"hi", b"x" * 20_000) + b"\n"

_WRITTEN: Final = {
    "a right reply": (_LINE, _FINE),
    "carriage returns": (RIGHT + b"\r\n", _FINE),
    "the reply twice": (_LINE * 2, _FINE),
    "noise first": (b"listening\n\x1b[2J\n\xff\xfe\n\x00\x00\n{\n[1]\nnull\n7\n" + _LINE, _FINE),
    "blank lines": (b"\n\r\n\n" + _LINE, _FINE),
    "a line of noise over the limit": (b"x" * 40_000 + b"\n" + _LINE, _FINE),
    "others' replies first": (RIGHT.replace(b":7", b":900") + b"\n" + _LINE, _FINE),
    "notifications first": (
        b'{"jsonrpc":"2.0","method":"notifications/message"}\n' * 500 + _LINE,
        _FINE,
    ),
    "requests without end": (b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n' * 500 + _LINE, _FINE),
    "nothing": (b"", _HANG),
    "noise alone": (b"listening\n", _HANG),
    "a reply without its newline": (RIGHT, (Outcome.TIMEOUT, Reason.DEADLINE)),
    "a carriage return for a newline": (RIGHT + b"\r", (Outcome.TIMEOUT, Reason.DEADLINE)),
    "another id": (RIGHT.replace(b":7", b":900") + b"\n", _HANG),
    "the id as a word": (RIGHT.replace(b":7", b':"7"') + b"\n", _HANG),
    "the id as a fraction": (RIGHT.replace(b":7", b":7.0") + b"\n", _HANG),
    "the id as truth": (RIGHT.replace(b":7", b":true") + b"\n", _HANG),
    "an id that is a list": (RIGHT.replace(b":7", b":[7]") + b"\n", _HANG),
    "an id beyond all": (RIGHT.replace(b":7", b":" + b"7" * 4_000) + b"\n", _HANG),
    "a list around it": (b"[" + RIGHT + b"]\n", _HANG),
    "a byte order mark": (b"\xef\xbb\xbf" + _LINE, _HANG),
    "utf-16": (RIGHT.decode().encode("utf-16") + b"\n", _HANG),
    "nested for ever": (b"[" * 15_000 + b"\n", _HANG),
    "noise before it on its line": (b"log: " + _LINE, _HANG),
    "a null behind it": (RIGHT + b"\x00\n", _NOT_JSON),
    "noise behind it": (RIGHT + b"log\n", _NOT_JSON),
    "two replies on one line": (RIGHT + _LINE, _NOT_JSON),
    "half a message": (RIGHT[:30] + b"\n", _NOT_JSON),
    "a newline in the middle": (RIGHT[:30] + b"\n" + RIGHT[30:] + b"\n", _NOT_JSON),
    "no utf-8": (RIGHT.replace(b"hi", b"\xff\xfe") + b"\n", _NOT_JSON),
    "half a surrogate": (RIGHT.replace(b"hi", b"\\ud800") + b"\n", _NOT_JSON),
    "a null in a text": (RIGHT.replace(b"hi", b"\x00") + b"\n", _NOT_JSON),
    "a line over the limit": (_BIG, (_PROTOCOL, Reason.BODY_TOO_LARGE)),
    "a line over the limit that never ends": (_BIG[:-1], (Outcome.TIMEOUT, Reason.DEADLINE)),
    "no version": (RIGHT.replace(b'"jsonrpc":"2.0",', b"") + b"\n", _NOT_RPC),
    "a result and an error": (
        RIGHT[:-1] + b',"error":{"code":1,"message":"m"}}\n',
        _NOT_RPC,
    ),
    "neither": (b'{"jsonrpc":"2.0","id":7}\n', _NOT_RPC),
    "no result": (b'{"jsonrpc":"2.0","id":7,"result":null}\n', _SHAPE),
    "content that is null": (b'{"jsonrpc":"2.0","id":7,"result":{"content":null}}\n', _SHAPE),
    "an error without an id": (
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}\n',
        (_PROTOCOL, Reason.JSONRPC_ERROR),
    ),
}

_ENDED: Final[tuple[tuple[str, bytes, Ending, int, tuple[Outcome, Reason]], ...]] = (
    ("the reply, and death", _LINE, "die", 1, _FINE),
    ("death before a word", b"", "die", -9, _DIED),
    ("half a reply, and death", RIGHT[:40], "die", -11, _DIED),
    ("a signal that there is not", b"", "die", -64, _DIED),
    ("the end of its output", b"", "close", 0, _DIED),
    ("the reply, and the end of its output", _LINE, "close", 0, _FINE),
)

OUTPUTS: Final = (
    *(
        Output(name=name, sent=sent, outcome=outcome, reason=reason)
        for name, (sent, (outcome, reason)) in _WRITTEN.items()
    ),
    *(
        Output(name=name, sent=sent, ending=ending, status=status, outcome=outcome, reason=reason)
        for name, sent, ending, status, (outcome, reason) in _ENDED
    ),
)
