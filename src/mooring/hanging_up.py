"""A way to end a connection whose client does not read: an ordinary close waits until it has read all."""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

HANG_UP = "mooring.hang_up"  # an ASGI extension: the transport


def hang_up(scope: Any) -> None:
    """Where the server is another, as in tests in process, there is nothing to hang up."""
    extensions = scope.get("extensions") or {}
    transport = extensions.get(HANG_UP, {}).get("transport")
    if transport is not None:
        transport.abort()


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][HANG_UP] = {"transport": self.transport}
