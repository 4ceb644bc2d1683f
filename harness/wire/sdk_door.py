"""The HTTP transport that is put under one official client: through our door, under our token."""

from __future__ import annotations

from typing import Final

import httpx2

from harness.wire.endpoint import Endpoint

REFUSAL_STATUS: Final = 400


class Door(httpx2.AsyncBaseTransport):
    """Sends the client's requests to where the endpoint says the bytes shall go.

    The URL's own host stays in the `Host` header, because servers refuse foreign ones, and is the
    name that TLS asks for. What the
    official client keeps to itself is remembered here: the last status that refused something, and
    the session's id.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # Without a context plain HTTP is spoken, and none is made.
        self._inner = httpx2.AsyncHTTPTransport(verify=endpoint.context or False)
        self.authorization = b""
        self.refusal_status = 0
        self.session_id = ""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request by way of the door."""
        request.url = request.url.copy_with(
            host=self._endpoint.connect_host, port=self._endpoint.connect_port
        )
        if self._endpoint.server_name is not None:
            request.extensions["sni_hostname"] = self._endpoint.server_name
        if self.authorization:
            request.headers["Authorization"] = self.authorization.decode("latin-1")
        response = await self._inner.handle_async_request(request)
        if response.status_code >= REFUSAL_STATUS and request.method == "POST":
            self.refusal_status = response.status_code
        self.session_id = response.headers.get("mcp-session-id", self.session_id)
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()
