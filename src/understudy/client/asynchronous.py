"""The asynchronous client. It only carries bytes: what they mean is in `calls` and `reading`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from understudy.client import calls
from understudy.client.backoff import Backoff
from understudy.client.calls import Call
from understudy.client.errors import ApiError
from understudy.client.events import Answer, History, Session, StreamEvent
from understudy.client.frames import LiveFrame
from understudy.client.live import live_frames
from understudy.client.reading import Reading

T = TypeVar("T")


class AsyncClient:
    """Talks to a running server; use it as an async context manager.

    `token` is a bearer token from `understudy token`, which a server on this machine need not ask
    for. Every method raises `ClientError`.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        backoff: Backoff | None = None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._http = httpx2.AsyncClient(
            base_url=url, headers=calls.headers(token), timeout=calls.timeout(calls.WHOLE_SECONDS)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def start(self, user: str, persona: str | None = None) -> Session:
        """Start a session of `user` with `persona`, or with the server's default."""
        return await self._call(calls.start(user, persona))

    def stream(self, session_id: str, message: str) -> "AsyncAnswerStream":
        """Answer `message` token by token; nothing is sent before the first event is asked for."""
        return AsyncAnswerStream(self._http, self, Reading(session_id, message, self._backoff))

    async def message(self, session_id: str, text: str) -> Answer:
        """The answer to `text` in one piece."""
        return await self._call(calls.message(session_id, text))

    async def history(self, session_id: str) -> History:
        """The conversation so far."""
        return await self._call(calls.history(session_id))

    async def end(self, session_id: str) -> None:
        """End a session and the answer under way in it."""
        await self._call(calls.end(session_id))

    async def stop(self, run: str) -> bool:
        """Stop an answer; False when it had ended already."""
        return (await self._call(calls.stop(run))).stopped

    async def ticket(self) -> str:
        """A single-use ticket that opens one WebSocket within 30 seconds."""
        return (await self._call(calls.ticket())).ticket

    def live(self, *, since: str = "", channel: str = "") -> AsyncGenerator[LiveFrame]:
        """The event feed: a snapshot, then what happens, for as long as you listen.

        A lost connection is taken up again where it was, with a `Gap` for what was missed beyond
        the server's memory; `since` is the id of the last frame you know. Needs a token of the
        role moderator where tokens are asked for, and the package websockets.
        """

        async def address(last: str) -> str:
            url = self._http.base_url.join("ws/live")
            query = {"since": last, "channel": channel}
            if "authorization" in self._http.headers:
                query["ticket"] = await self.ticket()
            scheme = "wss" if url.scheme == "https" else "ws"
            known = {name: value for name, value in query.items() if value}
            return str(url.copy_with(scheme=scheme).copy_merge_params(known))

        return live_frames(address, self._backoff, since)

    async def _call(self, call: Call[T]) -> T:
        failures = 0
        while True:
            try:
                response = await self._http.request(
                    call.method, call.path, json=call.body, headers=call.headers
                )
                return call.read(response)
            except (ApiError, httpx2.TransportError) as error:
                failures += 1
                if failures > self._backoff.attempts or not calls.may_repeat(error):
                    raise calls.final_error(error) from None
                await asyncio.sleep(self._backoff.delay(failures, calls.asked_wait(error)))


class AsyncAnswerStream:
    """One answer as it comes: iterate over it, once. Closing it leaves; `stop` ends the answer.

    When the last reader has left, the server stops the answer after its grace time.
    """

    def __init__(self, http: httpx2.AsyncClient, client: AsyncClient, reading: Reading) -> None:
        self._http = http
        self._client = client
        self._reading = reading
        self._events = self._read()

    @property
    def run(self) -> str:
        """The run's id; empty before the first event."""
        return self._reading.run

    @property
    def text(self) -> str:
        """What was said so far."""
        return self._reading.text

    async def stop(self) -> bool:
        """Stop the answer: its `Done` comes with `interrupted`. False when it had ended."""
        return bool(self.run) and await self._client.stop(self.run)

    async def close(self) -> None:
        """Stop listening."""
        await self._events.aclose()

    def __aiter__(self) -> AsyncGenerator[StreamEvent]:
        """The events; a loop that is left early can be gone on with."""
        return self._events

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _read(self) -> AsyncGenerator[StreamEvent]:
        reading = self._reading
        while not reading.ended:
            failure: ApiError | httpx2.TransportError | None = None
            try:
                async with aclosing(self._connection()) as events:
                    async for event in events:
                        yield event
            except (ApiError, httpx2.TransportError) as error:
                failure = error
            if not reading.ended:
                await asyncio.sleep(reading.retry(failure))

    async def _connection(self) -> AsyncGenerator[StreamEvent]:
        """The events that one connection brings."""
        reading, call = self._reading, self._reading.request()
        async with self._http.stream(
            call.method,
            call.path,
            json=call.body,
            headers=call.headers,
            timeout=calls.timeout(calls.SILENCE_SECONDS),
        ) as response:
            if response.status_code != 200:
                body = await response.aread()
                for event in reading.refused(response.status_code, response.headers, body):
                    yield event
                return
            reading.opened(response.headers)
            async for chunk in response.aiter_bytes():
                for event in reading.feed(chunk):
                    yield event
                if reading.ended:
                    return
