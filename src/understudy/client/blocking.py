"""The blocking client. It only carries bytes: what they mean is in `calls` and `reading`."""

import time
from collections.abc import Generator
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from understudy.client import calls
from understudy.client.backoff import Backoff
from understudy.client.calls import Call
from understudy.client.errors import ApiError
from understudy.client.events import Answer, History, Session, StreamEvent
from understudy.client.reading import Reading

T = TypeVar("T")


class Client:
    """Talks to a running server; use it as a context manager, from one thread at a time.

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
        self._http = httpx2.Client(
            base_url=url, headers=calls.headers(token), timeout=calls.timeout(calls.WHOLE_SECONDS)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def start(self, user: str, persona: str | None = None) -> Session:
        """Start a session of `user` with `persona`, or with the server's default."""
        return self._call(calls.start(user, persona))

    def stream(self, session_id: str, message: str) -> "AnswerStream":
        """Answer `message` token by token; nothing is sent before the first event is asked for."""
        return AnswerStream(self._http, self, Reading(session_id, message, self._backoff))

    def message(self, session_id: str, text: str) -> Answer:
        """The answer to `text` in one piece."""
        return self._call(calls.message(session_id, text))

    def history(self, session_id: str) -> History:
        """The conversation so far."""
        return self._call(calls.history(session_id))

    def end(self, session_id: str) -> None:
        """End a session and the answer under way in it."""
        self._call(calls.end(session_id))

    def stop(self, run: str) -> bool:
        """Stop an answer; False when it had ended already."""
        return self._call(calls.stop(run)).stopped

    def ticket(self) -> str:
        """A single-use ticket that opens one WebSocket within 30 seconds."""
        return self._call(calls.ticket()).ticket

    def _call(self, call: Call[T]) -> T:
        failures = 0
        while True:
            try:
                response = self._http.request(
                    call.method, call.path, json=call.body, headers=call.headers
                )
                return call.read(response)
            except (ApiError, httpx2.TransportError) as error:
                failures += 1
                if failures > self._backoff.attempts or not calls.may_repeat(error):
                    raise calls.final_error(error) from None
                time.sleep(self._backoff.delay(failures, calls.asked_wait(error)))


class AnswerStream:
    """One answer as it comes: iterate over it, once. Closing it leaves; `stop` ends the answer.

    When the last reader has left, the server stops the answer after its grace time.
    """

    def __init__(self, http: httpx2.Client, client: Client, reading: Reading) -> None:
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

    def stop(self) -> bool:
        """Stop the answer: its `Done` comes with `interrupted`. False when it had ended."""
        return bool(self.run) and self._client.stop(self.run)

    def close(self) -> None:
        """Stop listening."""
        self._events.close()

    def __iter__(self) -> Generator[StreamEvent]:
        """The events; a loop that is left early can be gone on with."""
        return self._events

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Generator[StreamEvent]:
        reading = self._reading
        while not reading.ended:
            failure: ApiError | httpx2.TransportError | None = None
            try:
                yield from self._connection()
            except (ApiError, httpx2.TransportError) as error:
                failure = error
            if not reading.ended:
                time.sleep(reading.retry(failure))

    def _connection(self) -> Generator[StreamEvent]:
        """The events that one connection brings."""
        reading, call = self._reading, self._reading.request()
        with self._http.stream(
            call.method,
            call.path,
            json=call.body,
            headers=call.headers,
            timeout=calls.timeout(calls.SILENCE_SECONDS),
        ) as response:
            if response.status_code != 200:
                yield from reading.refused(response.status_code, response.headers, response.read())
                return
            reading.opened(response.headers)
            for chunk in response.iter_bytes():
                yield from reading.feed(chunk)
                if reading.ended:
                    return
