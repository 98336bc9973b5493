"""A run as server-sent events, token by token.

Owns the wire form of frames (CONTRACT: `data: {"token": …}`, then `data: {"done": true, …}` or
`data: {"error": …}`), the `id: <run>:<seq>` of each, and the ping that keeps proxies awake.
"""

from collections.abc import AsyncGenerator

import msgspec

from understudy.engine.runs import DoneFrame, Frame, Run, TokenFrame

HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "Content-Type": "text/event-stream; charset=utf-8",
}
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
    with run.reading():
        while True:
            batch = run.log.after(after)
            if batch:
                after = batch[-1][0]
                yield b"".join(encode_frame(run.id, seq, frame) for seq, frame in batch)
            elif run.log.closed:
                return
            elif not await run.log.changed(ping_interval):
                yield _PING
