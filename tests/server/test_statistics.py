"""The statistics of the chat over HTTP."""

from pathlib import Path
from typing import Any

from tests.server.test_api import rehearse
from tests.server.wire import PATIENT, SECRET, assert_problem, bearer
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.events import ChatMessage

STATISTICS = "/api/v1/statistics"


async def channels(server: Running, query: str = "") -> list[dict[str, Any]]:
    response = await server.http.get(f"{STATISTICS}{query}")
    assert response.status_code == 200, response.text
    return response.json()["channels"]


async def say(server: Running, number: int, channel: str = "ada") -> None:
    message = ChatMessage(
        id=f"m{number}",
        channel=channel,
        ts=number,
        user=f"viewer{number}",
        text="LUL LUL",
        tags={"emotes": "425618:0-2,4-6"},
        first=number == 0,
    )
    await server.application.services.bus.publish(message)


async def counted(server: Running, channel: str, messages: int) -> None:
    """Wait until so many messages are counted: they are, a moment after they have passed."""
    statistics = server.application.services.statistics
    await until(lambda: [f.total.messages for f in statistics.figures(channel)] == [messages])


async def test_the_chat_is_counted_as_it_passes(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        assert await channels(server) == []
        for number in range(4):
            await say(server, number)
        await say(server, 9, channel="bob")
        await counted(server, "ada", 4)
        await counted(server, "bob", 1)
        (ada,) = await channels(server, "?channel=ada")
        assert set(ada) == {"channel", "since", "rates", "recent", "streaks", "total"}
        assert ada["recent"] == {
            "messages": 4,
            "chatters": 4,
            "new_chatters": 4,
            "first_timers": 1,
            "questions": 0,
            "emotes": {"LUL": 8},
        }
        (streak,) = ada["streaks"]
        assert (streak["text"], streak["viewers"], streak["messages"]) == ("LUL", 4, 4)
        assert [each["channel"] for each in await channels(server)] == ["ada", "bob"]
        assert await channels(server, "?channel=nobody") == []


async def test_only_moderators_may_ask(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET)
    async with running(settings) as server:
        assert_problem(await server.http.get(STATISTICS), 401)
        viewer = await server.http.get(STATISTICS, headers=bearer())
        assert_problem(viewer, 403)
        moderator = await server.http.get(STATISTICS, headers=bearer(role="moderator"))
        assert moderator.json() == {"channels": []}


async def test_a_rehearsal_tells_what_its_chat_was_like(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        chat = (await rehearse(server))["report"]["chat"]["rehearsal"]
        await counted(server, "rehearsal", chat["messages"])
    assert chat["longest_streak"]["viewers"] >= 3
    assert chat["peak"] > 1
