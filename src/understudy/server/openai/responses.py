"""Sends a one-off answer to an OpenAI client, whole or token by token.

Owns the order of what goes out, and that a client who leaves ends the model call. A failure before
the first token is an answer with its own status, which clients retry by; a stream therefore begins
only with the first token, or with a ping when that takes long. A failure after that is an `error`
event, which OpenAI's SDKs raise, and no `[DONE]` follows.
"""

import asyncio
from abc import ABC, abstractmethod

from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from understudy.engine.oneoff import OneOff
from understudy.engine.runs import DoneFrame, ErrorFrame, Frame, TokenFrame
from understudy.server.openai.errors import (
    code_of,
    error_body,
    error_object,
    openai_error_response,
    retry_headers,
    status_of,
)
from understudy.server.openai.wire import Writer
from understudy.server.sse import BATCH_FRAMES, HEADERS

REQUEST_ID = "x-request-id"
"""Names the answer's experience, which is what feedback refers to."""
_PING = b": ping\n\n"
_STOPPED = "the answer was stopped before its end: ask again"


class AnswerResponse(Response, ABC):
    """An answer for one reader, who counts as such until the response has ended."""

    def __init__(self, answer: OneOff, writer: Writer) -> None:
        super().__init__()
        self._answer = answer
        self._writer = writer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; return early when the peer leaves."""
        with self._answer.reading():
            tasks = [
                asyncio.create_task(self._send(scope, receive, send), name="completion sender"),
                asyncio.create_task(_until_gone(receive), name="completion reader"),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                outcome, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    @abstractmethod
    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send everything."""

    def _failure(self, end: Frame) -> Response | None:
        """The answer to a request whose answer ended with `end`; None when it ended well."""
        if isinstance(end, ErrorFrame):
            failure = self._answer.failure
            return openai_error_response(
                status_of(failure),
                end.error,
                retry_headers(failure, retryable=end.retryable),
                code=code_of(failure),
            )
        if isinstance(end, DoneFrame) and end.status != "complete":
            return openai_error_response(
                503, _STOPPED, retry_headers(None, retryable=True), code=end.status
            )
        return None


class WholeAnswer(AnswerResponse):
    """The answer in one piece."""

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer
        await answer.ended.wait()
        ((_, end),) = answer.log.after(answer.log.last_seq - 1)
        response = self._failure(end) or Response(
            self._writer.whole(answer.text(), answer.finish_reason, answer.usage),
            media_type="application/json",
        )
        response.headers[REQUEST_ID] = answer.id
        await response(scope, receive, send)


class StreamedAnswer(AnswerResponse):
    """The answer as server-sent events."""

    def __init__(self, answer: OneOff, writer: Writer, ping_interval: float) -> None:
        super().__init__(answer, writer)
        self._ping_interval = ping_interval

    async def _send(self, scope: Scope, receive: Receive, send: Send) -> None:
        log = self._answer.log
        if not log.last_seq:
            await log.changed(self._ping_interval)
        if log.last_seq:
            ((_, first),) = log.after(0, 1)
            if failure := self._failure(first):
                failure.headers[REQUEST_ID] = self._answer.id
                await failure(scope, receive, send)
                return
        await self._begin(send)
        await self._follow(send)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, send: Send) -> None:
        headers = {**HEADERS, REQUEST_ID: self._answer.id}
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            }
        )
        await _send_events(send, self._writer.opening())

    async def _follow(self, send: Send) -> None:
        log, after = self._answer.log, 0
        while True:
            if batch := log.after(after, BATCH_FRAMES):
                after = batch[-1][0]
                await _send_events(send, b"".join(self._events(frame) for _, frame in batch))
            elif log.closed:
                return
            elif not await log.changed(self._ping_interval):
                await _send_events(send, _PING)

    def _events(self, frame: Frame) -> bytes:
        if isinstance(frame, TokenFrame):
            return self._writer.token(frame.text)
        if isinstance(frame, DoneFrame) and frame.status == "complete":
            return self._writer.closing(self._answer.finish_reason, self._answer.usage)
        if isinstance(frame, ErrorFrame):
            failure = self._answer.failure
            error = error_object(status_of(failure), frame.error, code=code_of(failure))
        else:
            error = error_object(503, _STOPPED, code=frame.status)
        return b"data: %b\n\n" % error_body(error)


async def _send_events(send: Send, events: bytes) -> None:
    await send({"type": "http.response.body", "body": events, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
