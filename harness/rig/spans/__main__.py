"""Runs the receiver of spans: `python -m harness.rig.spans --port 0`; OTLP over HTTP, protobuf."""

from __future__ import annotations

import argparse
import gzip
import io
import sys
import zlib
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from harness.errors import RigError
from harness.rig.listener import address, bind, serve
from harness.rig.spans.tally import Tally

BODY_MAX_BYTES: Final = 16 * 1024 * 1024
PROTOBUF: Final = "application/x-protobuf"


def application() -> Starlette:
    """The receiver as an ASGI application, with a tally of its own."""
    tally = Tally()

    async def take(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip() != PROTOBUF:
            return PlainTextResponse(f"expected {PROTOBUF}\n", status_code=415)
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"expected at most {BODY_MAX_BYTES} bytes\n", status_code=413)
        export = ExportTraceServiceRequest()
        try:
            if request.headers.get("content-encoding", "") == "gzip":
                body = _unpacked(body)
            export.ParseFromString(body)
        except (DecodeError, OSError, EOFError, zlib.error) as error:
            return PlainTextResponse(f"no OTLP request: {error}\n", status_code=400)
        tally.add(export)
        answer = ExportTraceServiceResponse().SerializeToString()
        return Response(answer, media_type=PROTOBUF)

    async def counts(_: Request) -> Response:
        return JSONResponse(list(tally.rows()))

    return Starlette(
        routes=[
            Route("/v1/traces", take, methods=["POST"]),
            Route("/counts", counts, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes | None:
    """The request's body; None when it is too large."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_MAX_BYTES:
            return None
    return bytes(body)


def _unpacked(body: bytes) -> bytes:
    """What was packed, up to the bound.

    Raises:
        OSError: it is no gzip.
        EOFError: it was cut.
        zlib.error: it is damaged.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
        return stream.read(BODY_MAX_BYTES)


def main() -> int:
    """Serve until told to end; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.rig.spans", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    try:
        listener = bind(options.host, options.port)
    except RigError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    serve(application(), listener, url=address(listener), stdin_lease=options.stdin_lease)
    return 0


if __name__ == "__main__":
    sys.exit(main())
