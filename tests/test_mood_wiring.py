"""The mood through the whole program: who judges, what is kept, what is told."""

from pathlib import Path

from tests.fakes.openai_server import OpenAIServer, Reply
from tests.server.test_api import rehearse
from tests.server.wire import PATIENT
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.events import ChatMessage, now_ms
from understudy.storage.mood import MoodRollups


async def stored(server: Running, channel: str, step: int = 3_600) -> int:
    """Messages in the stored history of a channel."""
    rows = await MoodRollups(server.application.services.database).load(channel, step)
    return sum(row.messages for row in rows)


async def say(server: Running, number: int, text: str, channel: str = "ada") -> None:
    message = ChatMessage(
        id=f"m{number}", channel=channel, ts=now_ms(), user=f"v{number}", text=text
    )
    await server.application.services.live.receive(message)


async def test_a_rehearsal_leaves_no_trace_in_the_history(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, **PATIENT)
    async with running(settings) as server:
        await rehearse(server, channel="ada")
        moods = server.application.services.feed.moods
        await until(lambda: "ada" in moods)
    async with running(settings) as server:
        assert await stored(server, "ada") == 0
        await say(server, 1, "PogChamp")
        await until(lambda: "ada" in server.application.services.feed.moods)
    async with running(settings) as server:
        assert await stored(server, "ada") == 1


async def test_the_model_that_the_settings_name_judges(tmp_path: Path) -> None:
    async with OpenAIServer(Reply(["negative"])) as model:
        settings = settings_for(
            tmp_path,
            mood__classifier="openai",
            mood__model="ft:mood",
            brain__base_url=model.url,
            brain__provider="scripted",
        )
        async with running(settings) as server:
            moods = server.application.services.feed.moods
            for number in range(8):
                await say(server, number, f"love this {number}")
            await until(lambda: "ada" in moods and b'"negative"' in moods["ada"][1].data)
            assert server.application.services.problems() == []
        assert model.open_connections == 0
    assert {chat["model"] for chat in model.chats} == {"ft:mood"}


async def test_why_a_model_does_not_judge_is_told(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, mood__classifier="transformers")
    async with running(settings) as server:
        (problem,) = server.application.services.problems()
        assert "mood.model is empty" in problem


async def test_the_words_of_a_channel_are_followed(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    async with running(settings) as server:
        services = server.application.services
        folder = settings.data_dir / "mood"
        await until(folder.is_dir)
        (folder / "ada.yaml").write_text("words: [")
        await until(lambda: any("not valid YAML" in problem for problem in services.problems()))
        (folder / "ada.yaml").write_text("words: {glorp: 1}")
        await until(lambda: services.problems() == [])
