"""Starts a receiver of spans in its own process, and asks it what it has seen."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import httpx
from pydantic import TypeAdapter

from harness.clock import Clock
from harness.errors import RigError, UsageError
from harness.journal import JournalWriter, NoteEntry, TraceEntry, append_all
from harness.rig.process import child

READY: Final = "listening "
ANSWER_S: Final = 5.0
FLUSH_MS: Final = 500  # how long a target's SDK may hold its spans back
_ROWS: TypeAdapter[list[TraceEntry]] = TypeAdapter(list[TraceEntry])


class Spans:
    """A running receiver; a target is told of it by the variables in `environment`."""

    def __init__(self, *, url: str, http: httpx.AsyncClient) -> None:
        """Ask it through `http`; `serve` makes one."""
        self.url = url
        self._http = http

    @property
    def environment(self) -> Mapping[str, str]:
        """What every OpenTelemetry SDK reads at its start."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_BSP_SCHEDULE_DELAY": str(FLUSH_MS),
        }

    async def entries(self, at_ns: int) -> list[TraceEntry]:
        """Give the counts so far, tool by tool, stamped with `at_ns`.

        Raises:
            RigError: the receiver does not answer.
        """
        try:
            reply = await self._http.get(f"{self.url}/counts")
            reply.raise_for_status()
            rows = [{**row, "at_ns": at_ns} for row in reply.json()]
        except (httpx.HTTPError, ValueError) as error:
            raise RigError(
                f"expected the receiver of spans at {self.url} to tell its counts, "
                f"got {error or type(error).__name__}"
            ) from error
        return _ROWS.validate_python(rows)


async def record(spans: Spans | None, clock: Clock, writer: JournalWriter) -> None:
    """Bring what the target's spans said of the calls into the journal; nothing without any."""
    if spans is None:
        return
    try:
        append_all(writer, await spans.entries(clock.now_ns()))
    except RigError as error:
        writer.append(NoteEntry(at_ns=clock.now_ns(), text=str(error)))


@asynccontextmanager
async def serve(*, port: int, log_dir: Path | None) -> AsyncIterator[Spans]:
    """A receiver on a loopback port for as long as the block lasts; port 0 is a free one.

    Raises:
        UsageError: what it needs is not installed.
        RigError: it did not start.
    """
    try:
        found = find_spec("opentelemetry.proto")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise UsageError(
            "expected opentelemetry-proto for `observe: {traces: true}`, found none; "
            "install squall with its extra: mcp-squall[traces]"
        )
    argv = (sys.executable, "-m", "harness.rig.spans", "--port", str(port), "--stdin-lease")
    log = log_dir / "spans.log" if log_dir is not None else None
    async with (
        child(argv, ready=READY, log=log) as process,
        httpx.AsyncClient(timeout=ANSWER_S, trust_env=False) as http,
    ):
        yield Spans(url=process.ready_line.removeprefix(READY), http=http)
