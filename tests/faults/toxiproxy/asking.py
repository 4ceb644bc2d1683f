"""Requests as bytes, and answers as text in which two servers of one behaviour cannot differ."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from io import BufferedReader

WAIT_S = 15.0

Address = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request of the API, and the answer that is expected of both servers."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    text: str | None = None  # how `error` begins

    def written(self) -> bytes:
        """The request's bytes."""
        lines = [f"{self.method} {self.path} HTTP/1.1", "Host: toxiproxy"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body or self.method in {"POST", "PATCH"}:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body


def ask(
    method: str,
    path: str,
    body: object = b"",
    status: int = 200,
    text: str | None = None,
    **headers: str,
) -> Request:
    """A request; a body that is no bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method=method, path=path, body=content, headers=named, status=status, text=text)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer as it came."""

    protocol: str
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def shown(self) -> str:
        """The whole answer as text, less what differs from run to run."""
        said = f" {self.reason}" if self.reason else ""
        lines = sorted(f"{name}: {_plain_header(name, value)}" for name, value in self.headers)
        head = "\n".join([f"{self.protocol} {self.status}{said}", *lines])
        return f"{head}\n\n{plain(self.body.decode('utf-8', 'backslashreplace'))}"


def _plain_header(name: str, value: str) -> str:
    patterns = {
        "date": r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT",
        "x-toxiproxy-request-id": "[0-9a-v]{20}",
        "content-length": r"\d+",  # ports and Go's own words are of different lengths
    }
    pattern = patterns.get(name.lower())
    return f"<{name.lower()}>" if pattern and re.fullmatch(pattern, value) else value


def plain(text: str) -> str:
    """Take out ports, the version, the name server, and Go's own words about bad JSON."""
    text = re.sub(r'("listen":"[^"]*:)\d+"', r'\1PORT"', text)
    text = re.sub(r"(listen tcp \S+:)\d+: ", r"\1PORT: ", text)
    text = re.sub(r"( on \S+)?: no such host", ": no such host", text)
    text = re.sub(r'"version": "[^"]*"', '"version": "V"', text)
    return re.sub(r'bad request body: (?!EOF")(?:[^"\\]|\\.)*', "bad request body: ", text)


def read_answer(file: BufferedReader, *, bodiless: bool = False) -> Answer | None:
    """The next answer of a connection; None when there is none."""
    line = file.readline().decode("latin-1").rstrip("\r\n")
    if not line:
        return None
    protocol, status, reason = [*line.split(" ", 2), ""][:3]
    headers = []
    while field_line := file.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = field_line.partition(":")
        headers.append((name, value.strip()))
    named = {name.lower(): value for name, value in headers}
    if bodiless or int(status) in {100, 204, 304}:
        body = b""
    elif named.get("transfer-encoding") == "chunked":
        body = b"".join(_chunks(file))
    elif "content-length" in named:
        body = file.read(int(named["content-length"]))
    else:
        body = file.read()
    return Answer(
        protocol=protocol, status=int(status), reason=reason, headers=tuple(headers), body=body
    )


def _chunks(file: BufferedReader) -> Iterator[bytes]:
    while size_bytes := int(file.readline().split(b";")[0], 16):
        yield file.read(size_bytes)
        file.readline()
    file.readline()


def exchange(address: Address, *requests: Request) -> list[Answer]:
    """Send requests one after the other, on one connection for as long as it stays."""
    answers: list[Answer] = []
    remaining = list(requests)
    while remaining:
        with (
            socket.create_connection(address, WAIT_S) as stream,
            closing(stream.makefile("rb")) as file,
        ):
            while remaining:
                request = remaining.pop(0)
                stream.sendall(request.written())
                answer = read_answer(file, bodiless=request.method == "HEAD")
                assert answer is not None, request
                answers.append(answer)
                if answer.header("connection") == "close":
                    break
    return answers


# Its answer is one that nothing else here gets.
_LAST = b"GET /version HTTP/1.1\r\nHost: x\r\nUser-Agent: Mozilla/5.0\r\nConnection: close\r\n\r\n"


def converse(address: Address, *pieces: bytes, count: int) -> list[str]:
    """What comes back for these raw bytes, and whether the connection then serves on.

    Reads `count` answers before it asks a last time, since a server that closes with something
    unread takes its own answer back.
    """
    with (
        socket.create_connection(address, WAIT_S) as stream,
        closing(stream.makefile("rb")) as file,
    ):
        stream.settimeout(WAIT_S)
        shown: list[str] = []
        with suppress(ConnectionError):
            for piece in pieces:
                stream.sendall(piece)
        with suppress(ConnectionError):
            while len(shown) < count and (answer := read_answer(file)):
                shown.append(answer.shown())
        with suppress(ConnectionError):
            stream.sendall(_LAST)
            while answer := read_answer(file):
                shown.append(answer.shown())
        served_on = len(shown) > count and shown[-1].startswith("HTTP/1.1 403")
        return [*(shown[:-1] if served_on else shown), "served on" if served_on else "closed"]
