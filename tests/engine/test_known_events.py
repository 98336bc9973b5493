"""What else was going on around a reply, and what its experience tells of it."""

import msgspec
import pytest

from tests.engine.conftest import Engine
from tests.waiting import until
from understudy.config import Settings
from understudy.engine.channel import Channel
from understudy.engine.known_events import KnownEvents
from understudy.engine.personas import Persona
from understudy.engine.turn import config_hash, version_of
from understudy.events import ChatMessage, StreamEvent, now_ms


def happening(number: int, kind: str, ts: int) -> StreamEvent:
    return StreamEvent(id=f"e{number}", channel="ada", ts=ts, kind=kind, user="kim")  # pyright: ignore[reportArgumentType]


def test_events_are_near_from_40_s_before_to_17_s_after() -> None:
    known = KnownEvents()
    for number, kind in ((1, "raid"), (2, "sub"), (3, "sub")):
        known.note(happening(number, kind, number * 100_000))
    assert known.around(100_000 + 40_000) == ["raid"]
    assert known.around(100_000 + 40_001) == []
    assert known.around(200_000 - 17_000) == ["sub"]
    assert known.around(200_000 - 17_001) == []


async def test_an_experience_names_what_went_on(engine: Engine) -> None:
    channel = Channel("ada", engine.settings, engine.turns, engine.bus.publish)
    now = now_ms()
    await channel.receive(happening(1, "other", now - 60_000))
    await channel.receive(happening(2, "other", now - 5_000))
    text = "Understudy, what is your name?"
    await channel.receive(ChatMessage(id="m1", channel="ada", ts=now, user="kim", text=text))
    await until(lambda: engine.brain.requests)
    await channel.receive(happening(3, "follow", now + 1_000))
    engine.brain.permit(channel.session, engine.brain.words)
    await channel.close()
    await engine.log.flushed()
    (row,) = [row async for row in engine.experiences.iterate()]
    assert row.events == "follow,other"
    assert len(row.config_hash) == 16


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("tiny@all@3", "all@3"),
        ("org/tiny-1.1B@ana_plays@12", "ana_plays@12"),
        ("ada@7", "ada@7"),
        ("gpt-5", ""),
        ("org/tiny@main", ""),
        ("", ""),
    ],
)
def test_the_version_is_read_from_the_model(model: str, version: str) -> None:
    assert version_of(model) == version


def test_the_hash_changes_with_what_shapes_answers_and_with_nothing_else() -> None:
    persona = Persona(name="default", system_prompt="You are kind.", emotions=[])
    plain = config_hash(persona, Settings(), "ada")
    secret = Settings.model_validate({"brain": {"api_key": "k"}, "server": {"port": 1}})
    assert config_hash(persona, secret, "ada") == plain
    assert (
        config_hash(msgspec.structs.replace(persona, system_prompt="Be rude."), Settings(), "ada")
        != plain
    )
    for section in ({"brain": {"model": "m"}}, {"learning": {"channel_examples": {"ada": 0}}}):
        changed = Settings.model_validate(section)
        assert config_hash(persona, changed, "ada") != plain
    assert config_hash(persona, changed, "bob") == plain
