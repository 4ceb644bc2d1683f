"""Spans of the bundled server, for whoever says by the usual variable where they shall go."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from opentelemetry.trace import get_current_span, set_tracer_provider
from pydantic import BaseModel
from pydantic_core import to_json

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
SIZE: Final = "mcp.tool.result.size"


class ResultSize(ServerMiddleware[Any]):
    """Adds to the SDK's own span how many bytes of JSON a tool's result is."""

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Let the call happen, and measure what it gave."""
        result = await call_next(ctx)
        if ctx.method == "tools/call":
            get_current_span().set_attribute(SIZE, size_bytes(result))
        return result


def size_bytes(result: HandlerResult) -> int:
    """How long a result is as JSON."""
    if isinstance(result, BaseModel):
        return len(result.model_dump_json(by_alias=True, exclude_none=True).encode())
    return len(to_json(result))


def wanted() -> bool:
    """Whether somebody wants the spans of this process."""
    return bool(os.environ.get(ENDPOINT))


def export() -> None:
    """Send spans to where the environment says, from now to the end of the process.

    Where what sends them is not installed, say so and serve without.
    """
    try:
        # Here, so that they are needed only where somebody wants spans.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "expected the OpenTelemetry SDK for %s, got: %s; no spans are sent; "
            "install squall with its extra: mcp-squall[traces]",
            ENDPOINT,
            error,
        )
        return
    provider = TracerProvider(resource=Resource.create({"service.name": "squall-reference"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_tracer_provider(provider)
