"""The command line: the original's flags, in Go's spelling and in everyone else's."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Final

from faults.toxiproxy.addresses import PORT_MAX

PROGRAM: Final = "squall toxiproxy"
SEED_MIN, SEED_MAX = -(2**63), 2**63 - 1
LEVELS: Final = (
    *("trace", "debug", "info", "warn", "error", "fatal", "panic", "disabled"),
    "",  # the original takes it for its own default
)

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
# One dash and a whole word is how Go's flags are written; argparse would take it for letters.
_GO_FLAG = re.compile(r"-[a-z][a-z-]+(?:=.*)?", re.DOTALL)

_ABOUT = """\
Toxiproxy's server in Python: put proxies between programs and what they talk
to, and toxics on the proxies. Its HTTP API and its toxics are those of
Shopify's 2.12, so every client of that one drives this one too.
"""
_MORE = """\
Flags may be written with one dash, as for Shopify's server. LOG_LEVEL in the
environment is accepted; nothing is logged at any level.

What this server has beyond Shopify's is listed by GET /squall.

example:
  squall toxiproxy --port 8474 --seed 7 &
  curl 127.0.0.1:8474/proxies -d '{"name": "db",
      "listen": "127.0.0.1:5433", "upstream": "127.0.0.1:5432"}'
  curl 127.0.0.1:8474/proxies/db/toxics -d '{"type": "latency",
      "attributes": {"latency": 300}}'
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What the command line asks for; says what is wrong with it and exits with 2 if need be."""
    return _parser().parse_args([_with_two_dashes(word) for word in words])


def unknown_level(level: str | None) -> str | None:
    """What to say about a LOG_LEVEL that does not exist; the original says so and goes on."""
    if level is None or level.lower() in LEVELS or level.removeprefix("-").isdecimal():
        return None
    return f'unknown LOG_LEVEL value: "{level}"'


def _with_two_dashes(word: str) -> str:
    return f"-{word}" if _GO_FLAG.fullmatch(word) else word


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=_ABOUT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="where the API listens (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        default=8474,
        type=_port,
        help="its port (default: %(default)s); 0 takes a free one",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="a JSON array of proxies to begin with, each with name, upstream, listen and enabled",
    )
    parser.add_argument(
        "--seed",
        type=_seed,
        metavar="NUMBER",
        help="makes what toxics draw by chance the same in every run, connection by connection",
    )
    for name, what in (
        ("--proxy-metrics", "bytes that passed through the proxies"),
        ("--runtime-metrics", "metrics of the process itself"),
    ):
        parser.add_argument(
            name,
            nargs="?",
            const=True,
            default=False,
            type=_switch,
            metavar="BOOL",
            help=f"show {what} at /metrics",
        )
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    parser.add_argument(
        "--version", action="store_true", help="say which version this is the same as, and exit"
    )
    return parser


def _port(word: str) -> int:
    if not (word.isascii() and word.isdigit() and int(word[:6]) <= PORT_MAX):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {PORT_MAX}, got {word!r}")
    return int(word)


def _seed(word: str) -> int:
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < len(str(SEED_MIN))):
        raise argparse.ArgumentTypeError(f"expected a whole number of 64 bits, got {word!r}")
    if not SEED_MIN <= int(word) <= SEED_MAX:
        raise argparse.ArgumentTypeError(f"expected a whole number of 64 bits, got {word!r}")
    return int(word)


def _switch(word: str) -> bool:
    if word not in (*_TRUE, *_FALSE):
        raise argparse.ArgumentTypeError(f"expected true or false, got {word!r}")
    return word in _TRUE
