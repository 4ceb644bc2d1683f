"""How a session comes by the client that speaks for it: the one place that chooses a transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from harness.scenario.records import Scenario
from harness.session.access import Doors
from harness.session.processes import SHARED, Processes
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker
from harness.wire.sse_legacy import SseClient
from harness.wire.stdio import StdioClient

Arm = Literal["control", "treated"]


class Connect(Protocol):
    """Makes one client for each session of an arm; nothing is connected by it."""

    def __call__(self, arm: Arm, session: int = SHARED) -> Speaker:
        """A client of its own for a session, whose number is told to whoever counts processes."""
        ...


def connector(
    scenario: Scenario,
    doors: Doors,
    schemas: SchemaBook,
    now_ns: Callable[[], int],
    processes: Processes | None = None,
) -> Connect:
    """What makes the clients; `processes` are those of a target that is spoken to over pipes."""
    if processes is not None:
        return _piped(scenario, schemas, now_ns, processes)
    ends = _ends(doors)

    def connect(arm: Arm, session: int = SHARED) -> Speaker:
        del session
        if doors.transport == "sse":
            return SseClient(
                ends[arm], now_ns=now_ns, schemas=schemas, revision=scenario.revision or ""
            )
        return WireClient(
            ends[arm],
            era=scenario.spoken_era,
            revision=scenario.revision or "",
            now_ns=now_ns,
            schemas=schemas,
            listen=scenario.client.listen,
            resume=scenario.client.resume,
        )

    return connect


def witness_connector(scenario: Scenario, doors: Doors, now_ns: Callable[[], int]) -> Connect:
    """The same for the sessions that the official client drives."""
    # Here, since whoever does without it need not wait a second for the package.
    from harness.wire.sdk import SdkSpeaker  # noqa: PLC0415

    ends = _ends(doors)

    def connect(arm: Arm, session: int = SHARED) -> Speaker:
        del session
        return SdkSpeaker(ends[arm], era=scenario.spoken_era, now_ns=now_ns)

    return connect


def _ends(doors: Doors) -> dict[Literal["control", "treated"], Endpoint]:
    return {
        "control": Endpoint.from_url(doors.url, via=doors.control, trust=doors.trust),
        "treated": Endpoint.from_url(doors.url, via=doors.treated, trust=doors.trust),
    }


def _piped(
    scenario: Scenario, schemas: SchemaBook, now_ns: Callable[[], int], processes: Processes
) -> Connect:
    def connect(arm: Arm, session: int = SHARED) -> Speaker:
        source = processes.source(arm, session)
        return StdioClient(
            source,
            era=scenario.spoken_era,
            revision=scenario.revision or "",
            now_ns=now_ns,
            schemas=schemas,
            ready_s=processes.command.ready_s,
        )

    return connect
