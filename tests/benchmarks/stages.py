"""The stage that a benchmark's planned sessions play on: a plain target and squall's own client."""

from __future__ import annotations

from typing import Any, cast

from harness.clock import RunClock
from harness.journal import JournalWriter
from harness.plan import Plan, PlannedSession
from harness.scenario.records import Scenario, UrlTarget
from harness.session.conduct import Conduct
from harness.session.record import Recorder
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook


def stage(of: Scenario, plan: Plan, clock: RunClock, writer: JournalWriter) -> Stage:
    """Make what all sessions of a plan share."""
    assert isinstance(of.target, UrlTarget)
    endpoint, schemas = Endpoint.from_url(of.target.url), SchemaBook()

    def connect(_: PlannedSession) -> WireClient:
        return WireClient(
            endpoint,
            era=cast("Any", of.era),
            now_ns=clock.now_ns,
            schemas=schemas,
            listen=of.client.listen,
        )

    return Stage(
        scenario=of,
        plan=plan,
        clock=clock,
        conduct=Conduct(),
        recorder=Recorder(writer),
        writer=writer,
        steps=tuple(compile_agent(of, plan, number) for number in range(len(of.agents))),
        connect=connect,
        credential=lambda _: None,
    )
