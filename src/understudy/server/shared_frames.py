"""WebSocket connections that take a frame encoded once for many of them.

ASGI encodes every message for every connection anew, and each takes a turn of the event loop of its
own. This adds one way past that for broadcasts: an ASGI extension that writes the bytes of a whole
frame at once, as long as the peer keeps up. Does not own who gets which frame (`audience`).
"""

from collections.abc import Callable

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

EXTENSION = "understudy.shared_frames"

WriteFrame = Callable[[bytes], bool]
"""Sends a frame of `text_frame`; False, and nothing is sent, when the peer does not keep up."""


class SharedFrameProtocol(WebSocketsSansIOProtocol):
    """Uvicorn's WebSocket connection with the extension `understudy.shared_frames`."""

    async def run_asgi(self) -> None:
        """Run the application on this connection."""
        extensions = self.scope.setdefault("extensions", {})
        extensions[EXTENSION] = {"write": self.write_frame}
        await super().run_asgi()

    def write_frame(self, frame: bytes) -> bool:
        """A `WriteFrame`. Data frames are whole messages here, so they never interleave."""
        open_ = self.handshake_complete and not self.close_sent and not self.disconnected
        if not open_ or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True


def text_frame(payload: bytes) -> bytes:
    """The frame of a text message as servers send it: unfragmented and unmasked."""
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def frame_writer(scope: Scope) -> WriteFrame:
    """How to write frames to a connection; on a server without the extension, never."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    return extension["write"] if extension else _never


def _never(_frame: bytes) -> bool:
    return False
