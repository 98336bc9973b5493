"""Chat reaches MongoDB through the whole program."""

from pathlib import Path

from tests.serving import running, settings_for
from tests.storage.mongo_server import behind_gate, wire_server
from understudy.config import load_settings
from understudy.events import ChatMessage, new_id


async def test_chat_is_in_mongodb_when_the_program_has_stopped(tmp_path: Path) -> None:
    channel = new_id("test_")
    with wire_server(tmp_path) as url:
        async with behind_gate(url) as mongo:
            settings = settings_for(tmp_path / "data", mongo__url=mongo.url)
            async with running(settings) as server:
                for number in range(5):
                    message = ChatMessage(
                        id=f"m{number}", channel=channel, ts=number, user="kim", text="hello"
                    )
                    await server.application.services.bus.publish(message)
                assert server.application.services.problems() == []
            assert len(await mongo.all(mongo.messages, channel)) == 5


async def test_a_mongodb_that_is_away_is_a_problem_and_nothing_more(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, mongo__url="mongodb://kim:hunter2@[bad")
    async with running(settings) as server:
        await server.session()
        (problem,) = (await server.http.get("/api/v1/status")).json()["problems"]
        assert problem.startswith("mongo.url is not a MongoDB address")


def test_the_connection_string_of_other_databases_is_left_alone() -> None:
    def url(value: str) -> str:
        env = {"DB_CONNECTION_STRING": value}
        return load_settings(env=env, env_file=None).mongo.url.get_secret_value()

    assert url("mongodb://h/") == "mongodb://h/"
    assert url("mongodb+srv://h/") == "mongodb+srv://h/"
    assert url("postgres://h/") == ""
