"""A run: one reply under way, as a numbered log of frames that readers follow.

Owns what a reader of a reply sees and how long a reply outlives its readers. A second viewer, a
reconnect and a stop from elsewhere are all the same thing: a position in the run's log. Does not
own how the reply is made (`turns`).
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

import msgspec

from understudy.bus import EventLog
from understudy.events import Reply, TurnStatus


class TokenFrame(msgspec.Struct, frozen=True):
    """The next piece of the reply."""

    text: str


class DoneFrame(msgspec.Struct, frozen=True):
    """The end of a reply. `message_id` is None when the reply could not be stored durably."""

    message_id: str | None
    usage: dict[str, int]
    status: TurnStatus


class ErrorFrame(msgspec.Struct, frozen=True):
    """The end of a reply that broke off: one sentence, and whether asking again may help."""

    error: str
    retryable: bool


Frame = TokenFrame | DoneFrame | ErrorFrame
"""What a run's log holds; exactly one `DoneFrame` or `ErrorFrame`, and it is the last."""


def reply_id(run: str) -> str:
    """The id of the message that a run's reply is stored as."""
    return f"{run}_reply"


def run_of_reply(message: str) -> str:
    """The id of the run whose reply is stored as this message."""
    return message.removesuffix("_reply")


class Run:
    """One reply under way or just ended; made by `Turns`."""

    def __init__(self, run_id: str, session: str, *, grace: float | None) -> None:
        self.id = run_id
        self.session = session
        self.log: EventLog[Frame] = EventLog()
        self.ended = asyncio.Event()
        self.reply: Reply | None = None
        self._grace = grace
        self._readers = 0
        self._leaving: asyncio.TimerHandle | None = None
        self._stop_status: TurnStatus | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def stop_status(self) -> TurnStatus | None:
        """Why the run was told to end early, None while it was not."""
        return self._stop_status

    def own(self, task: asyncio.Task[None]) -> None:
        """Name the task that makes the reply, so that `stop` can end it, or has already."""
        self._task = task
        if self._stop_status is not None:
            task.cancel()

    def stop(self, status: TurnStatus = "stopped") -> bool:
        """End the reply early; False when it has ended or is ending already.

        The model call is cancelled at once; readers get their end frame; what was said is stored
        with `status`. Only this run is touched.
        """
        if self._stop_status is not None or self.log.closed:
            return False
        if self._task is not None and self._task.done():
            return False
        self._stop_status = status
        if self._task is not None:
            self._task.cancel()
        return True

    @contextmanager
    def reading(self) -> Generator[None]:
        """Count the caller as a reader; when the last one leaves, the grace time starts."""
        self._readers += 1
        self._cancel_leaving()
        try:
            yield
        finally:
            self._readers -= 1
            if self._readers == 0:
                self._start_leaving()

    async def result(self) -> Reply:
        """The finished reply, once stored or given up on."""
        await self.ended.wait()
        if self.reply is None:
            raise RuntimeError(f"run {self.id} ended without a reply")
        return self.reply

    def text(self) -> str:
        """What was said so far."""
        return "".join(f.text for _, f in self.log.after(0) if isinstance(f, TokenFrame))

    def finish(self, reply: Reply, frame: DoneFrame | ErrorFrame) -> None:
        """Append the end frame, close the log and let `result` return."""
        self.reply = reply
        self.log.append(frame)
        self.log.close()
        self._cancel_leaving()
        self.ended.set()

    def abort(self, error: str) -> None:
        """End the log when the reply could not even be concluded; `result` then raises."""
        self.log.append(ErrorFrame(error, retryable=True))
        self.log.close()
        self._cancel_leaving()
        self.ended.set()

    def _start_leaving(self) -> None:
        if self._grace is None or self.log.closed:
            return
        loop = asyncio.get_running_loop()
        self._leaving = loop.call_later(self._grace, self.stop, "abandoned")

    def _cancel_leaving(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
