"""The uvicorn server around the application, and its orderly stop."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from understudy.server.shared_frames import SharedFrameProtocol

SHUTDOWN_SECONDS = 3
KEEP_ALIVE_SECONDS = 60
FRAME_BYTES = 1_048_576
"""Largest frame a socket takes; beyond it the socket closes with 1009."""


class GracefulServer(uvicorn.Server):
    """A server that ends the work under way before it waits for connections to close.

    Without that a stop would wait for streams that nobody ends.
    """

    def __init__(self, app: ASGIApp, quiesce: Callable[[], Awaitable[None]]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws=SharedFrameProtocol,
                # Frames are small: compression costs more memory and time than it saves.
                ws_per_message_deflate=False,
                ws_max_size=FRAME_BYTES,
                access_log=False,
                log_level="warning",
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                server_header=False,
            )
        )
        self._quiesce = quiesce
        self.listening = asyncio.Event()
        """Set once requests are taken."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop on SIGINT and SIGTERM, and leave it at that.

        Uvicorn raises them once more at the end, which would kill the process before its owner has
        flushed the log.
        """
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on `sockets` so that a token is sent when it is said.

        Connections inherit the option. asyncio would set it only on sockets made with an explicit
        protocol; without it each small write can wait 40 ms for the peer's delayed acknowledgement.
        """
        for listener in sockets or []:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the replies under way, each with its end frame, then close the connections."""
        await self._quiesce()
        await super().shutdown(sockets)
