"""Reads the chat of one live stream from its beginning to its end.

Owns when what is asked: the chat's id, the stream, polling where streaming does not work, pauses,
and that each message is handed on once. Does not own the requests (`api`).
"""

import asyncio
import logging
import random
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

import msgspec

from understudy.events import now_ms
from understudy.sources.base import Publish
from understudy.sources.youtube.api import Page, YouTubeApi, YouTubeError
from understudy.sources.youtube.messages import decode_message, event_of

logger = logging.getLogger(__name__)

KNOWN_IDS: Final = 8_192
"""Ids of the newest events: a page that is asked for again repeats some."""
HISTORY_MS: Final = 30_000
"""What was said longer before the first connection is history, which nobody answers any more."""
EMPTY_STREAMS: Final = 3
"""Connections in a row without a single page, after which streaming counts as not working."""
CLOCK_CHECK_SECONDS: Final = 300.0
"""A long pause looks at the wall clock that often: it may have been set, or the machine slept."""

_VIDEO: Final = re.compile(
    r"(?:https?://)?(?:(?:www\.|m\.)?youtube\.com/(?:watch\?(?:\S*&)?v=|live/)|youtu\.be/)?"
    r"([\w-]{11})(?:[?&/#]\S*)?"
)


class Waits(msgspec.Struct, frozen=True):
    """How long to wait, in seconds.

    `first` and `longest` bound the waits after failures. A stream that lasted `healthy` is opened
    again at once. `poll` is the shortest time between two polls, `retry_stream` the time for which
    is polled before streaming is tried again, `upcoming` between two looks at a stream that has not
    begun.
    """

    first: float = 1.0
    longest: float = 30.0
    healthy: float = 30.0
    poll: float = 5.0
    retry_stream: float = 600.0
    upcoming: float = 60.0


def next_quota_reset(now: datetime) -> datetime:
    """When YouTube gives new quota: at midnight Pacific time.

    The hour after it is told half an hour at a time, as the reset is not exact.
    """
    here = now.astimezone(_pacific())
    midnight = here.replace(hour=0, minute=0, second=0, microsecond=0)
    if here - midnight < timedelta(hours=1):
        return now + timedelta(minutes=30)
    # Midday is never skipped or repeated, so the next day is the next day in any season.
    tomorrow = (midnight.replace(hour=12) + timedelta(days=1)).replace(hour=0)
    return tomorrow.astimezone(UTC)


def video_id(text: str) -> str:
    """The id in a video's address, or the id itself; raises `ValueError`."""
    match = _VIDEO.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no YouTube video: use its address or its id of 11 letters")
    return match[1]


class YouTubeChat:
    """The chat of a live stream, as events of `channel`.

    `video` is an address or id; `live_chat_id` does without looking it up. Ends when the live
    stream does, or when YouTube refuses; `problems` says why. Raises `ValueError` for neither.
    """

    name = "youtube"

    def __init__(
        self,
        api: YouTubeApi,
        channel: str,
        *,
        video: str = "",
        live_chat_id: str = "",
        waits: Waits | None = None,
        quota_reset: Callable[[datetime], datetime] = next_quota_reset,
    ) -> None:
        if not video and not live_chat_id:
            raise ValueError("a YouTube chat needs the video of its live stream")
        self._api = api
        self._channel = channel
        self._video = video_id(video) if video else ""
        self._chat = live_chat_id
        self._waits = waits or Waits()
        self._quota_reset = quota_reset
        self._page_token = ""
        self._newest = 0
        self._known: OrderedDict[str, None] = OrderedDict()
        self._poll_until = 0.0
        self._streaming = False
        self._empty_streams = 0
        self._failures = 0
        self._over = False
        self._doing = "not started"
        self._problem = ""
        self.unread = 0
        """Messages that were not of the expected form."""

    def describe(self) -> str:
        """One line for people: which live stream, and how it is read."""
        return f"YouTube live stream {self._video or self._chat} ({self._doing})"

    def problems(self) -> list[str]:
        """What keeps the chat from being read, in one sentence; empty when nothing does."""
        return [f"YouTube: {self._problem}"] if self._problem else []

    async def run(self, publish: Publish) -> None:
        """Publish the chat until the live stream ends or YouTube refuses."""
        try:
            while not self._over:
                try:
                    await self._step(publish)
                except YouTubeError as error:
                    await self._recover(error)
        finally:
            self._doing = "ended"
            await self._api.aclose()

    async def _step(self, publish: Publish) -> None:
        """Do the next thing there is to do."""
        self._streaming = False
        if not self._api.has_access:
            raise YouTubeError("refused", "youtube.api_key is missing: make a key for the API")
        if not self._chat:
            await self._find_chat()
        elif asyncio.get_running_loop().time() < self._poll_until:
            await self._poll(publish)
        else:
            await self._stream(publish)

    async def _find_chat(self) -> None:
        details = await self._api.live_details(self._video)
        if details is None:
            raise YouTubeError("refused", f"there is no video {self._video}: check youtube.video")
        if details.actual_end_time:
            raise YouTubeError("over", "the live stream has ended")
        self._chat = details.active_live_chat_id
        self._is_well()
        if not self._chat:
            self._doing = "waiting for it to begin"
            await asyncio.sleep(self._waits.upcoming)

    async def _stream(self, publish: Publish) -> None:
        self._streaming = True
        loop = asyncio.get_running_loop()
        began, pages_read = loop.time(), 0
        async with self._api.stream(self._chat, self._page_token) as (server_time, pages):
            since = self._since(server_time)
            async for page in pages:
                pages_read += 1
                self._doing = "streaming"
                self._problem = ""
                await self._publish_page(page, since, publish)
                if self._over:
                    return
        self._empty_streams = 0 if pages_read else self._empty_streams + 1
        if self._empty_streams >= EMPTY_STREAMS:
            raise YouTubeError("unsupported", "YouTube's stream brings nothing")
        # The server ends a stream now and then; only one that ends at once is a failure.
        if loop.time() - began >= self._waits.healthy:
            self._failures = 0
        else:
            await self._back_off()

    async def _poll(self, publish: Publish) -> None:
        self._doing = "polling"
        page = await self._api.list(self._chat, self._page_token)
        self._is_well()
        await self._publish_page(page, self._since(None), publish)
        if not self._over:
            await asyncio.sleep(max(page.polling_interval_millis / 1000, self._waits.poll))

    def _since(self, server_time: int | None) -> int:
        """From when on messages count, in ms: without a page token YouTube sends history first."""
        if self._page_token:
            return 0
        return self._newest or (server_time or now_ms()) - HISTORY_MS

    async def _publish_page(self, page: Page, since: int, publish: Publish) -> None:
        for data in page.items:
            message = decode_message(data)
            if message is None:
                self.unread += 1
                continue
            if message.ends_chat:
                self._over = True
            event = event_of(message, self._channel, now_ms())
            if event is None or event.ts < since or event.id in self._known:
                continue
            self._known[event.id] = None
            if len(self._known) > KNOWN_IDS:
                self._known.popitem(last=False)
            await publish(event)
            self._newest = max(self._newest, event.ts)
        self._page_token = page.next_page_token or self._page_token
        self._over = self._over or bool(page.offline_at)

    async def _recover(self, error: YouTubeError) -> None:
        """Make the best of `error`: wait, go on in another way, or end."""
        trouble = error.trouble
        if trouble == "silent" and self._streaming:
            return  # nobody says anything; the stream is opened again where it was
        if trouble == "page" and self._page_token:
            self._page_token = ""
            return
        if trouble == "unsupported" and self._streaming:
            logger.info("YouTube chat is polled for a while: %s", error)
            self._poll_until = asyncio.get_running_loop().time() + self._waits.retry_stream
            self._empty_streams = 0
            # Nothing says that both methods understand each other's tokens.
            self._page_token = ""
            return
        self._problem = str(error)
        logger.warning("YouTube chat: %s", error)
        match trouble:
            case "over" | "refused":
                self._over = True
                self._problem = "" if trouble == "over" else self._problem
            case "quota":
                await self._wait_for_quota()
            case _:
                await self._back_off()

    async def _wait_for_quota(self) -> None:
        reset = self._quota_reset(datetime.now(UTC))
        self._doing = "waiting for new quota"
        self._problem += f", reading goes on at {reset:%H:%M} UTC"
        # The clock may be set while this waits.
        while (left := (reset - datetime.now(UTC)).total_seconds()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, CLOCK_CHECK_SECONDS))

    async def _back_off(self) -> None:
        wait = min(self._waits.longest, self._waits.first * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(wait * random.uniform(0.5, 1.0))

    def _is_well(self) -> None:
        self._failures = 0
        self._problem = ""


def _pacific() -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        # Without a table of time zones the reset is expected an hour late in summer.
        return timezone(timedelta(hours=-8))
