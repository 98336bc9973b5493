"""One-off answers over a real log and database."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.recorded_brain import RecordedBrain
from tests.stepped_brain import SteppedBrain
from understudy.brains.base import BrainError
from understudy.brains.router import Router
from understudy.config import Settings
from understudy.engine.oneoff import OneOff, OneOffRequest, OneOffs
from understudy.engine.personas import Personas
from understudy.engine.reply import ReplyStream
from understudy.engine.runs import DoneFrame, ErrorFrame, TokenFrame
from understudy.engine.turns import Busy
from understudy.events import Reply
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.sessions import SessionMessage

PERSONA = Personas(None).get("default")


@dataclass
class Engine:
    oneoffs: OneOffs
    brain: SteppedBrain
    router: Router
    log: LogWriter
    experiences: Experiences
    replies: list[Reply]


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path / 'engine.db'}")
    log = LogWriter(database)
    await log.start()
    brain = SteppedBrain()
    router = Router(brain, why="a test chose it")
    replies: list[Reply] = []
    oneoffs = OneOffs(
        Settings.model_validate({"limits": {"streams": 2}}),
        router,
        log,
        reply_stream=lambda emotions: ReplyStream(None, emotions),
        on_reply=lambda reply, _: replies.append(reply),
    )
    yield Engine(oneoffs, brain, router, log, Experiences(database), replies)
    await oneoffs.close()
    await log.close()
    await database.close()


def request(text: str = "hello", **more: object) -> OneOffRequest:
    return OneOffRequest(user="ana", persona=PERSONA, text=text, **more)  # pyright: ignore


async def ended(answer: OneOff) -> DoneFrame | ErrorFrame:
    """The last frame of an answer."""
    async with asyncio.timeout(10):
        await answer.ended.wait()
    *_, (_, end) = answer.log.after(0)
    assert not isinstance(end, TokenFrame)
    return end


async def test_an_answer_is_said_counted_and_kept(engine: Engine) -> None:
    engine.brain.free = True
    answer = engine.oneoffs.start(request())
    end = await ended(answer)
    assert isinstance(end, DoneFrame)
    assert end.status == "complete"
    assert answer.text() == "word1 word2 word3 word4 word5"
    assert (answer.usage.output_tokens, answer.finish_reason) == (5, "stop")
    assert [reply.turn for reply in engine.replies] == [answer.id]
    assert engine.replies[0].first_token_ms is not None
    await engine.oneoffs.close()
    kept = await engine.experiences.get(answer.id)
    assert kept is not None
    assert (kept.response, kept.session, kept.channel) == (answer.text(), answer.session, "")
    assert kept.prompt_messages[0]["role"] == "system"


async def test_leaving_stops_at_once_and_keeps_what_was_said(engine: Engine) -> None:
    answer = engine.oneoffs.start(request())
    with answer.reading():
        engine.brain.permit(answer.session, 3)
        while not answer.text():
            await answer.log.changed()
    end = await ended(answer)
    assert isinstance(end, DoneFrame)
    assert end.status == "abandoned"
    assert engine.brain.cancelled == [answer.session]
    await engine.oneoffs.close()
    kept = await engine.experiences.get(answer.id)
    assert kept is not None
    assert kept.status == "abandoned"
    assert kept.response == answer.text()


async def test_no_more_answers_than_there_is_room_for(engine: Engine) -> None:
    answers = [engine.oneoffs.start(request(f"question {n}")) for n in range(2)]
    assert engine.oneoffs.active == 2
    with pytest.raises(Busy, match="under way"):
        engine.oneoffs.start(request())
    await engine.oneoffs.close()
    for answer in answers:
        end = await ended(answer)
        assert isinstance(end, DoneFrame)
        assert end.status == "stopped"
    assert engine.oneoffs.active == 0
    with pytest.raises(Busy, match="stopping"):
        engine.oneoffs.start(request())


async def test_failures(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    engine.brain.free = True
    engine.brain.error = BrainError("it is away: ask later", kind="unavailable")
    answer = engine.oneoffs.start(request())
    assert await ended(answer) == ErrorFrame("it is away: ask later", retryable=True)
    assert answer.failure is not None
    assert answer.failure.kind == "unavailable"

    def broken(_: object) -> ReplyStream:
        raise RuntimeError("a bug")

    engine.oneoffs._reply_stream = broken
    answer = engine.oneoffs.start(request())
    end = await ended(answer)
    assert isinstance(end, ErrorFrame)
    assert "see the server's log" in end.error
    assert answer.failure is None
    assert "a bug" in caplog.text


async def test_an_answer_that_cannot_be_concluded_still_ends(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.brain.free = True
    answer = engine.oneoffs.start(request())

    def broken() -> str:
        raise RuntimeError("a bug")

    answer.text = broken
    end = await ended(answer)
    assert isinstance(end, ErrorFrame)
    assert "could not be concluded" in end.error
    assert "could not be concluded" in caplog.text


async def test_an_answer_that_cannot_be_stored_is_still_given(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.brain.free = True
    await engine.log.close()
    with caplog.at_level(logging.ERROR):
        end = await ended(engine.oneoffs.start(request()))
        await engine.oneoffs.close()
    assert isinstance(end, DoneFrame)
    assert "is not stored" in caplog.text


async def test_what_the_model_is_told(engine: Engine) -> None:
    engine.brain.free = True
    history = [
        SessionMessage(id="0", ts=0, role="user", user="ana", text="I sail"),
        SessionMessage(id="1", ts=0, role="assistant", user="ana", text="Nice."),
    ]
    for trusted in (True, False):
        instructed = request(history=history, instructions="Rhyme!", trusted=trusted)
        await ended(engine.oneoffs.start(instructed))
    trusted_prompt, quoted_prompt = (asked.system_prompt for asked in engine.brain.requests)
    assert trusted_prompt.startswith(f"{PERSONA.system_prompt.strip()}\n\nRhyme!")
    assert '<chat from="ana">Rhyme!</chat>' in quoted_prompt
    assert [m.content for m in engine.brain.requests[0].messages] == ["I sail", "Nice.", "hello"]


async def test_a_model_that_counts_more_tokens_is_asked_again_with_fewer(engine: Engine) -> None:
    too_long = BrainError("that is too much: say less", kind="context_too_long")
    brain = RecordedBrain([too_long], ["Fine."])
    engine.router.brain = brain
    history = [
        SessionMessage(id=str(n), ts=0, role="user", user="ana", text=f"{n} " + "word " * 300)
        for n in range(8)
    ]
    answer = engine.oneoffs.start(request(history=history))
    assert isinstance(await ended(answer), DoneFrame)
    first, second = ("".join(m.content for m in asked.messages) for asked in brain.requests)
    assert len(second) < len(first) * 0.7
    assert second.endswith("hello")
    assert answer.model == brain.model
    await engine.oneoffs.close()
    kept = await engine.experiences.get(answer.id)
    assert kept is not None
    assert kept.prompt_messages[1]["content"] == second
    assert kept.model == brain.model


async def test_a_question_is_never_cut_silently(engine: Engine) -> None:
    for long in (request("word " * 5_000), request(instructions="word " * 5_000)):
        with pytest.raises(BrainError, match="shorten it") as caught:
            engine.oneoffs.start(long)
        assert caught.value.kind == "context_too_long"
    assert engine.oneoffs.active == 0


def test_a_conversation_keeps_its_name_as_it_grows() -> None:
    said = [SessionMessage(id="0", ts=0, role="user", user="ana", text="hello")]
    first, grown = request(), request("and then?", history=said)
    assert first.conversation == grown.conversation
    assert first.conversation != request("something else").conversation
