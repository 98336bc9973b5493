"""Where a reader of one answer is, whatever connection it reads through. Does no I/O.

Owns going on after a lost connection: what to ask for next, which events are new, and when to give
up. The two clients only carry bytes.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from understudy.client.backoff import Backoff
from understudy.client.calls import Call, asked_wait, final_error, may_repeat
from understudy.client.errors import (
    ApiError,
    ClientError,
    ConnectionLost,
    Gone,
    ServerFailed,
    api_error,
)
from understudy.client.events import Done, Failed, StreamEvent, Token, Usage
from understudy.client.sse import EventParser, ServerEvent


class _Frame(msgspec.Struct, frozen=True):
    """The data of an event, whichever kind it is."""

    token: str = ""
    done: bool = False
    error: str = ""
    retryable: bool = False
    message_id: str | None = None
    usage: Usage | None = None
    interrupted: str = ""

    def event(self) -> StreamEvent:
        """The event it stands for."""
        if not self.done:
            return Token(self.token)
        if self.error:
            return Failed(self.error, self.retryable)
        return Done(self.message_id, self.usage, self.interrupted)


_decoder = msgspec.json.Decoder(_Frame)


class Reading:
    """One answer as far as it has been read. `run` is empty until the server has named it."""

    def __init__(self, session_id: str, message: str, backoff: Backoff) -> None:
        self.run = ""
        self.ended = False
        self._ask = {"session_id": session_id, "message": message}
        self._backoff = backoff
        self._failures = 0
        self._seq = 0
        self._said: list[str] = []
        self._parser = EventParser()

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._said)

    def request(self) -> Call[Any]:
        """What to ask the server for next: the answer, or the rest of it."""
        if not self.run:
            return Call(method="POST", path="/chat/stream", answer=object, body=self._ask)
        return Call(
            method="GET",
            path=f"/chat/runs/{quote(self.run, safe='')}",
            answer=object,
            headers={"Last-Event-ID": f"{self.run}:{self._seq}"},
        )

    def opened(self, headers: Mapping[str, str]) -> None:
        """The server has begun to send."""
        self.run = self.run or headers.get("x-run-id", "")
        self._parser = EventParser()

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """The new events in what a connection brought."""
        events = [event for raw in self._parser.feed(chunk) if (event := self._take(raw))]
        if events:
            self._failures = 0
        return events

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> list[StreamEvent]:
        """The last events when the server has kept the whole text; raises `ApiError` otherwise."""
        error = api_error(status, headers, body)
        if not isinstance(error, Gone):
            raise error
        self.ended = True
        rest = error.reply.removeprefix(self.text)
        done = Done(error.message_id)
        return [Token(rest), done] if rest and error.reply.startswith(self.text) else [done]

    def retry(self, error: ApiError | httpx2.TransportError | None) -> float:
        """How many seconds to wait before asking again; raises when that would not help.

        `error` is None when the connection ended without the end of the answer.
        """
        self._failures += 1
        if not self._may_go_on(error):
            raise self._given_up(error) from error
        return self._backoff.delay(self._failures, asked_wait(error) if error else 0.0)

    def _may_go_on(self, error: ApiError | httpx2.TransportError | None) -> bool:
        if self._failures > self._backoff.attempts:
            return False
        if not self.run:
            return error is not None and may_repeat(error)
        # Reading changes nothing, so it can always be tried again, unless the run is not there.
        return not isinstance(error, ApiError) or error.status >= 500 or may_repeat(error)

    def _given_up(self, error: ApiError | httpx2.TransportError | None) -> ClientError:
        if error is not None and (isinstance(error, ApiError) or not self.run):
            return final_error(error)
        return ConnectionLost(
            "the connection broke in mid-answer and stays away: see the session's history"
        )

    def _take(self, raw: ServerEvent) -> StreamEvent | None:
        """The event, None when it is known already."""
        number = raw.id.rpartition(":")[2]
        seq = int(number) if number.isdecimal() else self._seq + 1
        if seq <= self._seq or self.ended:
            return None
        try:
            event = _decoder.decode(raw.data).event()
        except msgspec.DecodeError:
            raise ServerFailed("the stream is not Understudy's: check the address", 200) from None
        self._seq = seq
        if isinstance(event, Token):
            self._said.append(event.text)
        else:
            self.ended = True
        return event
