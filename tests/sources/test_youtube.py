"""YouTube's live chat: what messages mean, streaming, polling, quota, errors, and the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.youtube import CHAT, KEY, VIDEO, FakeYouTube, error_body
from understudy.events import ChatMessage, Event, Moderation, StreamEvent
from understudy.sources.youtube import YouTubeApi, YouTubeChat
from understudy.sources.youtube.api import ArrayReader, rejection
from understudy.sources.youtube.messages import decode_message, event_of
from understudy.sources.youtube.source import Waits, next_quota_reset, video_id

NOW = 1_795_284_000_000
QUICK = Waits(first=0.001, longest=0.01, poll=0, upcoming=0.001)
ANA = {"channelId": "UCana", "displayName": "@ana", "isChatOwner": True}
KIM = {"channelId": "UCkim", "displayName": "@Kim"}


def item(
    message_id: str, kind: str, author: dict[str, Any] = KIM, **details: Any
) -> dict[str, Any]:
    stamp = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    snippet = {
        "type": kind,
        "liveChatId": CHAT,
        "authorChannelId": author["channelId"],
        "publishedAt": stamp,
        "hasDisplayContent": True,
        "displayMessage": "",
        **details,
    }
    return {"id": message_id, "snippet": snippet, "authorDetails": author}


def text(message_id: str, words: str = "hi", author: dict[str, Any] = KIM) -> dict[str, Any]:
    return item(message_id, "textMessageEvent", author, textMessageDetails={"messageText": words})


def told(raw: dict[str, Any]) -> Event | None:
    message = decode_message(msgspec.json.encode(raw))
    assert message is not None
    return event_of(message, "ana", NOW)


# --- what a message means


def test_a_chat_message() -> None:
    raw = text("m1", "hello 👋")
    raw["snippet"]["publishedAt"] = "2026-11-21T18:00:00.250Z"
    assert told(raw) == ChatMessage(
        id="m1",
        channel="ana",
        ts=1_795_284_000_250,
        user="uckim",
        name="Kim",
        text="hello 👋",
        platform="youtube",
        tags={"channel-id": "UCkim"},
    )


@pytest.mark.parametrize(
    ("author", "role"),
    [
        (ANA, "streamer"),
        (KIM | {"isChatModerator": True, "isChatSponsor": True}, "moderator"),
        (KIM | {"isChatSponsor": True}, "subscriber"),
        (KIM, "viewer"),
    ],
)
def test_standing(author: dict[str, Any], role: str) -> None:
    message = told(text("m1", author=author))
    assert isinstance(message, ChatMessage)
    assert message.role == role


MONEY = {"amountMicros": "5000000", "currency": "EUR", "amountDisplayString": "€5.00", "tier": 2}


@pytest.mark.parametrize(
    ("raw", "kind", "amount", "words", "tags"),
    [
        (
            item("e", "superChatEvent", superChatDetails=MONEY | {"userComment": "take it"}),
            "cheer",
            0,
            "take it",
            {
                "event": "super-chat",
                "amount": "5.00",
                "currency": "EUR",
                "amount-display": "€5.00",
                "tier": "2",
            },
        ),
        (
            item("e", "superStickerEvent", superStickerDetails=MONEY),
            "cheer",
            0,
            "",
            {
                "event": "super-sticker",
                "amount": "5.00",
                "currency": "EUR",
                "amount-display": "€5.00",
                "tier": "2",
            },
        ),
        (
            item("e", "newSponsorEvent", newSponsorDetails={"memberLevelName": "Gold"}),
            "sub",
            1,
            "",
            {"level": "Gold"},
        ),
        (
            item(
                "e",
                "memberMilestoneChatEvent",
                memberMilestoneChatDetails={"memberMonth": 6, "userComment": "half a year"},
            ),
            "resub",
            6,
            "half a year",
            {},
        ),
        (
            item(
                "e", "membershipGiftingEvent", membershipGiftingDetails={"giftMembershipsCount": 5}
            ),
            "gift",
            5,
            "",
            {},
        ),
        (
            item("e", "giftMembershipReceivedEvent"),
            "other",
            0,
            "",
            {"event": "gift-membership-received"},
        ),
        (
            item("e", "giftEvent", giftDetails={"giftName": "Rose", "jewelsAmount": 30}),
            "other",
            0,
            "",
            {"event": "gift", "gift": "Rose", "jewels": "30"},
        ),
        (
            item("e", "giftEvent", giftEventDetails={"giftMetadata": {"giftName": "Rose"}}),
            "other",
            0,
            "",
            {"event": "gift", "gift": "Rose"},
        ),
    ],
)
def test_stream_events(
    raw: dict[str, Any], kind: str, amount: int, words: str, tags: dict[str, str]
) -> None:
    event = told(raw)
    assert isinstance(event, StreamEvent)
    assert (event.kind, event.amount, event.text) == (kind, amount, words)
    assert (event.user, event.name, event.platform) == ("uckim", "Kim", "youtube")
    assert event.tags == {"channel-id": "UCkim"} | tags


@pytest.mark.parametrize(
    ("raw", "act", "target"),
    [
        (
            item("d", "messageDeletedEvent", messageDeletedDetails={"deletedMessageId": "m1"}),
            "delete",
            "m1",
        ),
        (
            item(
                "d", "messageRetractedEvent", messageRetractedDetails={"retractedMessageId": "m1"}
            ),
            "delete",
            "m1",
        ),
        (item("m1", "tombstone"), "delete", "m1"),
        (
            item("b", "userBannedEvent", userBannedDetails={"bannedUserDetails": KIM}),
            "ban",
            "uckim",
        ),
        (
            item(
                "b",
                "userBannedEvent",
                userBannedDetails={
                    "bannedUserDetails": KIM,
                    "banType": "temporary",
                    "banDurationSeconds": "300",
                },
            ),
            "timeout",
            "uckim",
        ),
    ],
)
def test_moderation(raw: dict[str, Any], act: str, target: str) -> None:
    event = told(raw)
    assert isinstance(event, Moderation)
    assert (event.kind, event.message_id or event.user) == (act, target)


@pytest.mark.parametrize(
    "raw",
    [
        item("p", "pollEvent"),
        item("s", "sponsorOnlyModeStartedEvent"),
        item("n", "somethingNewEvent"),
        item("c", "chatEndedEvent"),
        item("d", "messageDeletedEvent"),
        item("b", "userBannedEvent"),
        text("t", "  "),
        text(""),
        {"id": "x"},
    ],
)
def test_what_is_not_ours_to_tell(raw: dict[str, Any]) -> None:
    assert told(raw) is None


@pytest.mark.parametrize("raw", [b"7", b"{", b'{"id": 7}', b'{"snippet": []}', b'{"id": "\xff"}'])
def test_what_is_no_message(raw: bytes) -> None:
    assert decode_message(raw) is None


# --- the array of a stream

elements = st.lists(
    st.dictionaries(
        st.text(max_size=5),
        st.text(alphabet='ab"\\{}[],\n☃')
        | st.lists(st.dictionaries(st.text(max_size=3), st.none())),
        max_size=3,
    )
)


@given(elements, st.integers(min_value=1, max_value=40), st.booleans())
def test_elements_are_found_wherever_the_bytes_are_cut(
    wanted: list[Any], size: int, in_array: bool
) -> None:
    data = b",\r\n".join(msgspec.json.encode(element) for element in wanted)
    data = b"[" + data + b"]" if in_array else data.replace(b"},\r\n{", b"}\n{")
    reader = ArrayReader()
    found = [
        msgspec.json.decode(element)
        for start in range(0, len(data), size)
        for element in reader.feed(data[start : start + size])
    ]
    assert found == wanted


# --- errors


@pytest.mark.parametrize(
    ("status", "body", "trouble"),
    [
        (403, error_body(403, "quotaExceeded", "youtube.quota"), "quota"),
        (403, error_body(403, "somethingElse", "youtube.quota"), "quota"),
        (403, error_body(403, "rateLimitExceeded"), "rate"),
        (403, error_body(403, "liveChatEnded"), "over"),
        (403, error_body(403, "liveChatDisabled"), "refused"),
        (403, b"[" + error_body(403, "liveChatEnded") + b"]", "over"),
        (400, error_body(400, "pageTokenInvalid"), "page"),
        (
            400,
            b'{"error": {"errors": [{"reason": "badRequest"}],'
            b' "details": [{"reason": "API_KEY_INVALID"}]}}',
            "refused",
        ),
        (401, b"", "refused"),
        (404, b"<html>", "unsupported"),
        (429, b"{}", "rate"),
        (500, b"\xff", "unavailable"),
    ],
)
def test_what_errors_mean(status: int, body: bytes, trouble: str) -> None:
    error = rejection(status, body)
    assert error.trouble == trouble
    assert len(str(error).split()) >= 3


# --- reading a chat


class Watching:
    """A chat being read, and what came of it."""

    def __init__(self, chat: YouTubeChat) -> None:
        self.chat = chat
        self.events: list[Event] = []
        self._changed = asyncio.Condition()
        self.task = asyncio.create_task(chat.run(self.publish), name="YouTube chat")

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, ChatMessage)]

    async def seen(self, count: int) -> list[str]:
        """Wait for that many events; the texts so far."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.events) >= count)
        return self.texts

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            await self.task

    async def publish(self, event: Event) -> None:
        async with self._changed:
            self.events.append(event)
            self._changed.notify_all()


@asynccontextmanager
async def watching(
    youtube: FakeYouTube, *, api: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Watching]:
    client = YouTubeApi(**{"api_key": KEY, "base_url": youtube.base_url} | (api or {}))
    chat = YouTubeChat(client, "ana", **{"video": VIDEO, "waits": QUICK} | options)
    watch = Watching(chat)
    try:
        yield watch
    finally:
        watch.task.cancel()
        await asyncio.gather(watch.task, return_exceptions=True)
    assert isinstance(watch.chat.describe(), str)
    assert KEY not in watch.chat.describe() + "".join(watch.chat.problems())


@pytest.fixture
async def youtube() -> AsyncIterator[FakeYouTube]:
    async with FakeYouTube() as server:
        yield server


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.001)


async def test_a_chat_from_its_beginning_to_its_end(youtube: FakeYouTube) -> None:
    youtube.pieces = 7
    youtube.post(text("m1", "one ☃"))
    async with watching(youtube) as watch:
        assert await watch.seen(1) == ["one ☃"]
        youtube.post(text("m2", "two"), item("p", "pollEvent"), text("m3", "three"))
        assert await watch.seen(3) == ["one ☃", "two", "three"]
        assert "streaming" in watch.chat.describe()
        youtube.post(
            item("d", "messageDeletedEvent", messageDeletedDetails={"deletedMessageId": "m2"})
        )
        youtube.end()
        await watch.ended()
    assert isinstance(watch.events[-1], Moderation)
    assert watch.chat.problems() == []
    assert [len(youtube.calls(method)) for method in ("videos", "stream", "messages")] == [1, 1, 0]
    assert all("key" not in call for call in youtube.calls("stream")), "keys are no part of URLs"
    await youtube.until(lambda: youtube.open_connections == 0)


async def test_history_is_not_answered(youtube: FakeYouTube) -> None:
    old, new = text("m1", "old"), text("m2", "new")
    old["snippet"]["publishedAt"] = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    youtube.post(old, new)
    async with watching(youtube) as watch:
        assert await watch.seen(1) == ["new"]


async def test_history_goes_by_the_servers_clock(youtube: FakeYouTube) -> None:
    youtube.date -= timedelta(hours=2)  # ours is two hours ahead
    message = text("m1")
    message["snippet"]["publishedAt"] = youtube.date.isoformat()
    youtube.post(message)
    async with watching(youtube) as watch:
        assert await watch.seen(1) == ["hi"]


async def test_streams_that_end_are_gone_on_with(youtube: FakeYouTube) -> None:
    youtube.stream_pages = 2
    async with watching(youtube) as watch:
        for number in range(6):
            youtube.post(text(f"m{number}", str(number)))
            await watch.seen(number + 1)
        assert watch.texts == ["0", "1", "2", "3", "4", "5"]
        tokens = [int(call.get("pageToken", 0)) for call in youtube.calls("stream")]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) >= 3


async def test_a_lost_connection_loses_nothing(youtube: FakeYouTube) -> None:
    async with watching(youtube) as watch:
        youtube.post(text("m1", "one"))
        await watch.seen(1)
        for connection in list(youtube._open):
            connection.abort()
        youtube.post(text("m2", "two"))
        assert await watch.seen(2) == ["one", "two"]


async def test_a_silent_stream_is_opened_again(youtube: FakeYouTube) -> None:
    async with watching(youtube, api={"silence_seconds": 0.05}) as watch:
        await until(lambda: len(youtube.calls("stream")) >= 3)
        youtube.post(text("m1"))
        assert await watch.seen(1) == ["hi"]
        assert watch.chat.problems() == []


async def test_without_streaming_it_polls(youtube: FakeYouTube) -> None:
    youtube.failures["stream"].append((404, b"<html>Not Found</html>"))
    youtube.post(text("m1", "one"))
    async with watching(youtube) as watch:
        await watch.seen(1)
        youtube.post(text("m2", "two"))
        assert await watch.seen(2) == ["one", "two"]
        assert "polling" in watch.chat.describe()
        youtube.post(item("e", "chatEndedEvent"))
        await watch.ended()
    assert len(youtube.calls("stream")) == 1
    assert len(youtube.calls("messages")) >= 2


async def test_streaming_is_tried_again(youtube: FakeYouTube) -> None:
    youtube.failures["stream"].append((501, b""))
    youtube.failures["stream"].append((404, b""))
    waits = msgspec.structs.replace(QUICK, retry_stream=0.02)
    async with watching(youtube, waits=waits) as watch:
        await until(lambda: "streaming" in watch.chat.describe())
        youtube.post(text("m1"))
        await watch.seen(1)
    assert youtube.calls("messages")


async def test_a_stream_that_brings_nothing_does_not_work(youtube: FakeYouTube) -> None:
    youtube.failures["stream"].extend([(200, b"<html>welcome</html>")] * 3)
    youtube.post(text("m1"))
    async with watching(youtube) as watch:
        assert await watch.seen(1) == ["hi"]
        assert "polling" in watch.chat.describe()


async def test_used_up_quota_is_waited_for(youtube: FakeYouTube) -> None:
    quota = (403, error_body(403, "quotaExceeded", "youtube.quota"))
    youtube.failures["stream"].append(quota)
    youtube.post(text("m1"))
    told_at: list[datetime] = []

    def when(now: datetime) -> datetime:
        told_at.append(now)
        return now + timedelta(seconds=0.2)

    async with watching(youtube, quota_reset=when) as watch:
        await until(lambda: bool(watch.chat.problems()))
        (problem,) = watch.chat.problems()
        assert "quota of the YouTube API is used up, reading goes on at" in problem
        assert len(youtube.calls("stream")) == 1
        assert await watch.seen(1) == ["hi"]
        assert watch.chat.problems() == []
    assert len(told_at) == 1


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ((403, error_body(403, "liveChatDisabled")), "chat switched off"),
        ((403, error_body(403, "forbidden")), "does not accept the key"),
        ((404, error_body(404, "liveChatNotFound")), "knows no such live chat"),
    ],
)
async def test_what_youtube_refuses_ends_it(
    youtube: FakeYouTube, failure: tuple[int, bytes], words: str
) -> None:
    youtube.failures["stream"].append(failure)
    async with watching(youtube) as watch:
        await watch.ended()
        assert words in watch.chat.problems()[0]


async def test_a_wrong_key_and_no_key(youtube: FakeYouTube) -> None:
    async with watching(youtube, api={"api_key": "wrong"}) as watch:
        await watch.ended()
        assert "does not accept the key" in watch.chat.problems()[0]
    async with watching(youtube, api={"api_key": ""}) as watch:
        await watch.ended()
        assert "youtube.api_key is missing" in watch.chat.problems()[0]


async def test_a_stream_that_has_not_begun_is_waited_for(youtube: FakeYouTube) -> None:
    youtube.details = {"scheduledStartTime": "2026-11-21T19:00:00Z"}
    async with watching(youtube) as watch:
        await until(lambda: len(youtube.calls("videos")) >= 3)
        youtube.details = {"activeLiveChatId": CHAT}
        youtube.post(text("m1"))
        assert await watch.seen(1) == ["hi"]


async def test_a_live_stream_that_was(youtube: FakeYouTube) -> None:
    youtube.details = {"actualEndTime": "2026-11-21T19:00:00Z"}
    async with watching(youtube) as watch:
        await watch.ended()
        assert watch.chat.problems() == []
    youtube.details = None
    async with watching(youtube) as watch:
        await watch.ended()
        assert "there is no video" in watch.chat.problems()[0]


async def test_failures_pass(youtube: FakeYouTube) -> None:
    youtube.failures["videos"].append((503, b""))
    youtube.failures["stream"].extend(
        [
            (500, b""),
            (429, b"{}"),
            (200, b"[" + error_body(500, "backendError") + b"]"),
        ]
    )
    youtube.post(text("m1"))
    async with watching(youtube) as watch:
        assert await watch.seen(1) == ["hi"]


async def test_a_forgotten_page_token_loses_and_repeats_nothing(youtube: FakeYouTube) -> None:
    async with watching(youtube) as watch:
        youtube.post(text("m1", "one"))
        await watch.seen(1)
        youtube.failures["stream"].append((400, error_body(400, "pageTokenInvalid")))
        youtube.date += timedelta(hours=1)  # what came after the first message is no history
        for connection in list(youtube._open):
            connection.abort()
        youtube.post(text("m2", "two"))
        assert await watch.seen(2) == ["one", "two"]
        assert "pageToken" not in youtube.calls("stream")[-1]


async def test_it_can_be_started_again_where_it_was(youtube: FakeYouTube) -> None:
    async with watching(youtube) as watch:
        youtube.post(text("m1", "one"))
        await watch.seen(1)
        watch.task.cancel()
        await asyncio.gather(watch.task, return_exceptions=True)
        youtube.post(text("m2", "two"))
        watch.task = asyncio.create_task(watch.chat.run(watch.publish), name="YouTube again")
        assert await watch.seen(2) == ["one", "two"]


async def test_a_bad_message_does_not_spoil_the_rest(youtube: FakeYouTube) -> None:
    youtube.post({"id": 7}, text("m1"), {"id": "x", "snippet": None})
    async with watching(youtube) as watch:
        assert await watch.seen(1) == ["hi"]
        assert watch.chat.unread == 2


async def test_nobody_there_is_told_and_tried_again() -> None:
    server = FakeYouTube()
    await server.start()
    await server.stop()
    async with watching(server) as watch:
        await until(lambda: bool(watch.chat.problems()))
        assert "cannot be reached" in watch.chat.problems()[0]
        await server.start(server.port)
        server.post(text("m1"))
        assert await watch.seen(1) == ["hi"]
    await server.stop()


# --- small print


@pytest.mark.skipif(
    "America/Los_Angeles" not in available_timezones(), reason="there is no table of time zones"
)
@pytest.mark.parametrize(
    ("now", "reset"),
    [
        ("2026-11-21T18:00:00+00:00", "2026-11-22T08:00:00+00:00"),
        ("2026-07-01T18:00:00+00:00", "2026-07-02T07:00:00+00:00"),
        ("2026-03-08T05:00:00+00:00", "2026-03-08T08:00:00+00:00"),  # the night it turns to summer
        ("2026-03-08T20:00:00+00:00", "2026-03-09T07:00:00+00:00"),
        ("2026-10-31T20:00:00+00:00", "2026-11-01T07:00:00+00:00"),  # and back
        ("2026-11-01T20:00:00+00:00", "2026-11-02T08:00:00+00:00"),
        ("2026-11-22T08:10:00+00:00", "2026-11-22T08:40:00+00:00"),  # it was not exact
    ],
)
def test_quota_comes_at_midnight_pacific_time(now: str, reset: str) -> None:
    assert next_quota_reset(datetime.fromisoformat(now)) == datetime.fromisoformat(reset)


@pytest.mark.parametrize(
    "address",
    [
        VIDEO,
        f"https://www.youtube.com/watch?v={VIDEO}",
        f"https://www.youtube.com/watch?app=desktop&v={VIDEO}&t=3s",
        f"youtube.com/live/{VIDEO}?feature=share",
        f"https://youtu.be/{VIDEO}",
    ],
)
def test_a_video_by_id_or_address(address: str) -> None:
    assert video_id(address) == VIDEO


@pytest.mark.parametrize("address", ["", "abc", "https://www.youtube.com/@ana", "abcdefghijkl"])
def test_what_is_no_video(address: str) -> None:
    with pytest.raises(ValueError, match="no YouTube video"):
        video_id(address)


def test_a_chat_needs_a_video() -> None:
    with pytest.raises(ValueError, match="needs the video"):
        YouTubeChat(YouTubeApi(api_key=KEY), "ana")
