"""What servers say on their standard error, kept in the run's log: bounded, and without secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from harness.redaction import redact

LOG_BYTES_MAX: Final = 4 * 1024 * 1024  # of one log file, by all servers that share it
LINE_BYTES_MAX: Final = 8 * 1024
CUT: Final = "squall: this log has reached its limit; the rest is not kept\n"


class Log:
    """One log file for the words of several servers."""

    def __init__(self, file: Path, secrets: Iterable[str] = ()) -> None:
        """Append to this file; nothing is opened until somebody speaks."""
        self._file = file
        self._secrets = tuple(secrets)
        self._left_bytes = LOG_BYTES_MAX
        self.last = ""  # what was said last, for whoever has to say why a server went

    def write(self, who: str, line: bytes) -> None:
        """Keep one line; a full disk or a full log drops it."""
        if self._left_bytes <= 0:
            return
        said = redact(line.decode(errors="replace"), self._secrets)
        self.last = said.strip() or self.last
        text = f"{who}: {said}\n"
        self._left_bytes -= len(text)
        if self._left_bytes <= 0:
            text = CUT
        with suppress(OSError), self._file.open("a", encoding="utf-8") as sink:
            sink.write(text)


class Murmur(asyncio.Protocol):
    """Reads one server's standard error, line by line, so that it never blocks on a full pipe."""

    def __init__(self, log: Log) -> None:
        """Write into this log."""
        self._log = log
        self._rest = b""
        self.who = "server"
        self.bytes_in = 0

    def data_received(self, data: bytes) -> None:
        """The next piece; a line without an end is cut where it gets too long."""
        self.bytes_in += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._log.write(self.who, line[:LINE_BYTES_MAX].rstrip(b"\r"))

    def connection_lost(self, exc: Exception | None) -> None:
        """It says no more."""
        del exc
        if self._rest:
            self._log.write(self.who, self._rest)
            self._rest = b""
