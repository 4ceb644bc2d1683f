"""What a run asks of the target's own telemetry."""

from __future__ import annotations

from pydantic import Field, StrictBool, StrictInt

from harness.scenario.record import Record


class Observe(Record):
    """Whether the target's spans are received, and where it has to send them."""

    traces: StrictBool = Field(
        False, description="give every call a trace, and see what the target's spans say of it"
    )
    port: StrictInt = Field(
        0,
        ge=0,
        le=65_535,
        description="of the receiver, for a target that runs already; 0 is a free one, of which a "
        "target that squall starts is told by OTEL_EXPORTER_OTLP_ENDPOINT",
    )
