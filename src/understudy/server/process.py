"""The uvicorn server around the application, and its orderly stop."""

import socket
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.types import ASGIApp

SHUTDOWN_SECONDS = 3
KEEP_ALIVE_SECONDS = 60


class GracefulServer(uvicorn.Server):
    """A server that ends the work under way before it waits for connections to close.

    Without that a stop would wait for streams that nobody ends.
    """

    def __init__(self, app: ASGIApp, quiesce: Callable[[], Awaitable[None]]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="websockets-sansio",
                # Frames are small: compression costs more memory and time than it saves.
                ws_per_message_deflate=False,
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                server_header=False,
            )
        )
        self._quiesce = quiesce

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the replies under way, each with its end frame, then close the connections."""
        await self._quiesce()
        await super().shutdown(sockets)
