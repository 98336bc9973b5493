"""The co-host's own tools, over a real archive."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from tests.engine.tools.conftest import MODERATOR, STREAMER, VIEWER
from understudy.engine.clock import SimulatedClock
from understudy.engine.tools.base import Caller, ToolError
from understudy.engine.tools.builtin import (
    MAX_MESSAGES,
    ChatStatistics,
    CurrentTime,
    Uptime,
    own_tools,
)
from understudy.events import ChatMessage, Moderation
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.rows import ChatRow, ModerationRow

EVENING = int(datetime.fromisoformat("2026-11-21T18:05:00+00:00").timestamp() * 1000)
MINUTE = 60_000


class Archive:
    """A chat that can be written to, and its statistics at `EVENING`."""

    def __init__(self, database: Database, log: LogWriter) -> None:
        self.log = log
        self.tool = ChatStatistics(ChatArchive(database), SimulatedClock(EVENING), ["nightbot"])

    async def write(self, *texts: str, channel: str = "pixelharbor", **fields: object) -> None:
        for number, text in enumerate(texts):
            values = {"user": f"viewer{number}", "ts": EVENING - MINUTE, **fields}
            message = ChatMessage(id=f"m{text}{number}", channel=channel, text=text, **values)
            self.log.submit(ChatRow(message))
        await self.log.flushed()

    async def figures(self, caller: Caller = VIEWER, **arguments: object) -> dict:
        return msgspec.json.decode(await self.tool.call(arguments, caller))


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'chat.db'}")
    log = LogWriter(database)
    await log.start()
    yield Archive(database, log)
    await log.close()
    await database.close()


async def test_the_time_is_the_streamers() -> None:
    clock = SimulatedClock(EVENING)
    berlin = await CurrentTime("Europe/Berlin", clock).call({}, VIEWER)
    assert berlin == "Saturday, 21 November 2026, 19:05 CET"
    tokyo = await CurrentTime("Asia/Tokyo", clock).call({}, VIEWER)
    assert tokyo == "Sunday, 22 November 2026, 03:05 JST"


async def test_without_a_time_zone_it_is_this_machines() -> None:
    said = await CurrentTime("", SimulatedClock(EVENING)).call({}, VIEWER)
    assert f"{datetime.fromtimestamp(EVENING / 1000):%H:%M}" in said


@pytest.mark.parametrize(
    ("began", "said"),
    [
        (EVENING - 125 * MINUTE, "2 h 5 min"),
        (EVENING, "0 h 0 min"),
        (EVENING + MINUTE, "0 h 0 min"),
    ],
)
async def test_how_long_it_has_been_going_on(began: int, said: str) -> None:
    asked_for: list[Caller] = []

    async def when(caller: Caller) -> int:
        asked_for.append(caller)
        return began

    assert await Uptime(when, SimulatedClock(EVENING)).call({}, STREAMER) == said
    assert asked_for == [STREAMER]


async def test_an_unknown_beginning_is_said() -> None:
    async def unknown(_: Caller) -> None:
        return None

    with pytest.raises(ToolError, match="nobody noted when it began"):
        await Uptime(unknown, SimulatedClock(EVENING)).call({}, VIEWER)


async def test_statistics_count_messages_chatters_and_words(archive: Archive) -> None:
    await archive.write("The dragon is back", "dragon dragon DRAGON", "what a castle")
    await archive.write("an old message about castles", ts=EVENING - 11 * MINUTE)
    await archive.write("elsewhere", channel="otherharbor")
    assert await archive.figures() == {
        "minutes": 10,
        "messages": 3,
        "messages_per_minute": 0.3,
        "chatters": 3,
        "questions": 0,
        "top_words": {"dragon": 2, "back": 1, "castle": 1},
    }
    assert (await archive.figures(minutes=60))["messages"] == 4


async def test_what_was_removed_does_not_count(archive: Archive) -> None:
    await archive.write("buy followers", "hello dragon")
    act = Moderation(
        id="x", channel="pixelharbor", ts=EVENING, kind="delete", message_id="mbuy followers0"
    )
    await archive.log.append(ModerationRow(act))
    figures = await archive.figures()
    assert figures["messages"] == 1
    assert "followers" not in figures["top_words"]


async def test_bots_do_not_count(archive: Archive) -> None:
    await archive.write("hello dragon")
    await archive.write("follow the castle", user="nightbot")
    figures = await archive.figures()
    assert figures["messages"] == figures["chatters"] == 1
    assert figures["top_words"] == {"hello": 1, "dragon": 1}


async def test_a_channel_nobody_ever_wrote_in_is_quiet(archive: Archive) -> None:
    assert (await archive.figures())["messages"] == 0


async def test_only_moderators_see_beyond_their_own_channel(archive: Archive) -> None:
    await archive.write("hello")
    nowhere = msgspec.structs.replace(VIEWER, channel="")
    with pytest.raises(ToolError, match="belongs to no stream"):
        await archive.figures(nowhere)
    assert (await archive.figures(msgspec.structs.replace(MODERATOR, channel="")))["messages"] == 1


@pytest.mark.parametrize("arguments", [{"minutes": 0}, {"minutes": 61}, {"minutes": "all"}])
async def test_wrong_arguments_are_said(archive: Archive, arguments: dict) -> None:
    with pytest.raises(ToolError, match="its arguments are wrong"):
        await archive.tool.call(arguments, VIEWER)


async def test_a_busy_chat_is_counted_up_to_a_bound(archive: Archive) -> None:
    await archive.write(*(f"word{number}" for number in range(MAX_MESSAGES + 5)))
    figures = await archive.figures()
    assert figures["messages"] == MAX_MESSAGES
    assert figures["note"] == "there were more messages than were counted"
    assert len(figures["top_words"]) <= 10


async def test_all_of_them_are_for_everyone(archive: Archive) -> None:
    async def unknown(_: Caller) -> None:
        return None

    tools = own_tools("", archive.tool._archive, unknown)
    assert [tool.spec.name for tool in tools] == ["current_time", "uptime", "chat_statistics"]
    assert {(tool.role, tool.confirm) for tool in tools} == {("everyone", "never")}
    assert [tool.trusted for tool in tools] == [True, True, False]
