"""A run as server-sent events, token by token.

Owns the wire form of frames (CONTRACT: `data: {"token": …}`, then `data: {"done": true, …}` or
`data: {"error": …}`), the `id: <run>:<seq>` of each, and the ping that keeps proxies awake.
"""

from collections.abc import AsyncGenerator

import msgspec
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from understudy.engine.runs import DoneFrame, Frame, Run, TokenFrame

HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "Content-Type": "text/event-stream; charset=utf-8",
}
BATCH_FRAMES = 256
"""Most frames encoded at once, so that a reader costs little however long the reply is."""
_PING = b": ping\n\n"
_json = msgspec.json.Encoder()


def frame_object(frame: Frame) -> dict[str, object]:
    """The JSON object of a frame."""
    if isinstance(frame, TokenFrame):
        return {"token": frame.text}
    if isinstance(frame, DoneFrame):
        end: dict[str, object] = {
            "done": True,
            "message_id": frame.message_id,
            "usage": frame.usage,
        }
        return end if frame.status == "complete" else {**end, "interrupted": frame.status}
    return {"error": frame.error, "retryable": frame.retryable, "done": True}


def encode_frame(run: str, seq: int, frame: Frame) -> bytes:
    """One event of the stream."""
    return b"id: %b:%d\ndata: %b\n\n" % (run.encode(), seq, _json.encode(frame_object(frame)))


async def stream_run(run: Run, after: int, ping_interval: float) -> AsyncGenerator[bytes]:
    """The frames of `run` numbered above `after` as they come; a ping while nothing does."""
    while True:
        batch = run.log.after(after, BATCH_FRAMES)
        if batch:
            after = batch[-1][0]
            yield b"".join(encode_frame(run.id, seq, frame) for seq, frame in batch)
        elif run.log.closed:
            return
        elif not await run.log.changed(ping_interval):
            yield _PING


class RunResponse(StreamingResponse):
    """Streams a run to one reader, who counts as such until the response has ended."""

    def __init__(self, run: Run, after: int, ping_interval: float) -> None:
        frames = stream_run(run, min(after, run.log.last_seq), ping_interval)
        super().__init__(frames, headers={**HEADERS, "X-Run-Id": run.id})
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        # Around all of it: a peer that has left already never lets the frames begin.
        with self._run.reading():
            await super().__call__(scope, receive, send)
