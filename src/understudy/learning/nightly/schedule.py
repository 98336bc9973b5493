"""When learning happens: once in every night or week, in hours when nobody streams.

Owns the windows and the task that queues their jobs. Does not own what a job does (`pipeline`) nor
who carries it out (`worker`).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Literal

import msgspec

from understudy.events import now_ms
from understudy.storage.errors import StorageError
from understudy.storage.jobs import Job, Jobs

KIND = "learn"
POLL_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Timetable(msgspec.Struct, frozen=True, kw_only=True):
    """When windows open: at `hour` (0 to 23) of every day or of one `weekday` (0 is Monday).

    A window is open for `hours`; what was missed, because nothing ran, is left out.
    """

    every: Literal["off", "night", "week"] = "off"
    hour: int = 4
    weekday: int = 0
    hours: float = 4.0


class Window(msgspec.Struct, frozen=True):
    """One window: its name, and from when to when (ms since the epoch) it is open."""

    name: str
    opens: int
    closes: int


def window_at(timetable: Timetable, now: int, zone: tzinfo) -> Window | None:
    """The window that is open at `now` (ms) in the time zone `zone`; None when none is."""
    if timetable.every == "off":
        return None
    today = datetime.fromtimestamp(now / 1000, zone).date()
    # A window may have opened yesterday.
    for days in range(2):
        window = _window_of(timetable, today - timedelta(days=days), zone)
        if window is not None and window.opens <= now < window.closes:
            return window
    return None


def dedupe_key(channel: str, window: Window) -> str:
    """What makes the job of a channel and window one job, however often it is queued."""
    return f"{KIND}:{channel or 'all'}:{window.name}"


class Schedule:
    """Queues the jobs of each window, one for each of `channels` (empty: all together).

    `replay` is the share of older rows they are to learn from.
    """

    def __init__(
        self,
        jobs: Jobs,
        timetable: Timetable,
        zone: tzinfo,
        *,
        channels: Callable[[], Sequence[str]] = lambda: [""],
        replay: float = 0.25,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._jobs = jobs
        self._timetable = timetable
        self._zone = zone
        self._channels = channels
        self._replay = replay
        self._poll = poll_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at the clock from now on, in a task."""
        self._task = asyncio.create_task(self._keep(), name="learning schedule")

    async def close(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self, now: int | None = None) -> list[Job]:
        """Queue the jobs of the window that is open at `now` (ms), if any.

        Returns them, those that were queued before too. Raises `StorageError`.
        """
        window = window_at(self._timetable, now_ms() if now is None else now, self._zone)
        if window is None:
            return []
        return [
            await self._jobs.enqueue(
                KIND,
                {"channel": channel, "window": window.name, "replay": self._replay},
                dedupe_key=dedupe_key(channel, window),
                now=now,
            )
            for channel in self._channels()
        ]

    async def _keep(self) -> None:
        while True:
            try:
                await self.look()
            except StorageError as error:
                _log.warning("no learning can be queued: %s", error)
            await asyncio.sleep(self._poll)


def _window_of(timetable: Timetable, day: date, zone: tzinfo) -> Window | None:
    """The window that opens on `day`, if one does."""
    if timetable.every == "week":
        if day.weekday() != timetable.weekday:
            return None
        year, week, _ = day.isocalendar()
        name = f"{year}-W{week:02}"
    else:
        name = day.isoformat()
    opens = datetime.combine(day, time(timetable.hour), zone)
    begin = int(opens.timestamp() * 1000)
    return Window(name, begin, begin + int(timetable.hours * 3_600_000))
