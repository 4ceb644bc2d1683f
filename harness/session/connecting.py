"""How a session comes by the client that speaks for it: the one place that chooses a transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from harness.scenario.records import Scenario
from harness.session.access import Doors
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker
from harness.wire.sse_legacy import SseClient

Connect = Callable[[Literal["control", "treated"]], Speaker]


def connector(
    scenario: Scenario, doors: Doors, schemas: SchemaBook, now_ns: Callable[[], int]
) -> Connect:
    """What makes one client for each session of an arm; nothing is connected by it."""
    ends = _ends(doors)

    def connect(arm: Literal["control", "treated"]) -> Speaker:
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

    def connect(arm: Literal["control", "treated"]) -> Speaker:
        return SdkSpeaker(ends[arm], era=scenario.spoken_era, now_ns=now_ns)

    return connect


def _ends(doors: Doors) -> dict[Literal["control", "treated"], Endpoint]:
    return {
        "control": Endpoint.from_url(doors.url, via=doors.control, trust=doors.trust),
        "treated": Endpoint.from_url(doors.url, via=doors.treated, trust=doors.trust),
    }
