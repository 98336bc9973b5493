"""The cancellation contract of `turns`, point by point, and what is kept of a turn."""

import asyncio

import pytest

from tests.engine.conftest import Engine
from understudy.brains.base import BrainError, BrainMessage, BrainRequest
from understudy.engine.runs import DoneFrame, ErrorFrame, Run, TokenFrame
from understudy.engine.turn import TurnRequest
from understudy.engine.turns import Busy
from understudy.events import Reply, ReplyToken, TurnStarted


async def start(engine: Engine, session: str = "s1", text: str = "hello", **fields: object) -> Run:
    await engine.sessions.get_or_create(session, "ana", "default")
    return await engine.turns.start(
        TurnRequest(session=session, user="ana", text=text, **{"persona": "default", **fields})
    )


async def said(run: Run, words: int) -> None:
    """Wait until `run` has shown that many words."""
    async with asyncio.timeout(5):
        while len(run.text().split()) < words:
            await run.log.changed(1)


def frames(run: Run) -> list[object]:
    return [frame for _, frame in run.log.after(0)]


async def test_a_whole_reply_is_streamed_stored_and_counted(engine: Engine) -> None:
    run = await start(engine)
    engine.brain.permit("s1", 5)
    reply = await run.result()
    assert reply.text == "word1 word2 word3 word4 word5"
    assert reply.status == "complete"
    end = frames(run)[-1]
    assert isinstance(end, DoneFrame)
    assert end.usage == {"input_tokens": 3, "output_tokens": 5}
    assert end.message_id == reply.id
    assert all(isinstance(frame, TokenFrame) for frame in frames(run)[:-1])
    stored = await engine.stored.messages("s1")
    assert [(m.role, m.text, m.status) for m in stored] == [
        ("user", "hello", "complete"),
        ("assistant", reply.text, "complete"),
    ]
    experience = await engine.experiences.get(run.id)
    assert experience is not None
    assert experience.response == reply.text
    assert experience.prompt_messages[-1] == {"role": "user", "content": "hello"}
    assert {part["name"] for part in experience.context_account} >= {"persona"}


async def test_stop_says_nothing_more(engine: Engine) -> None:
    run = await start(engine)
    engine.brain.permit("s1", 3)
    await said(run, 2)
    assert run.stop()
    reply = await run.result()
    engine.brain.permit("s1", 9)
    assert reply.status == "stopped"
    assert reply.text.startswith("word1 word2")
    assert "word5" not in reply.text
    assert engine.brain.cancelled == ["s1"]
    assert not run.stop()
    stored = await engine.stored.messages("s1")
    assert (stored[-1].text, stored[-1].status) == (reply.text, "stopped")


async def test_a_run_stopped_before_it_began_ends_properly(engine: Engine) -> None:
    run = await start(engine)
    await asyncio.sleep(0)
    run.stop()
    reply = await run.result()
    assert (reply.text, reply.status) == ("", "stopped")
    assert isinstance(frames(run)[-1], DoneFrame)


async def test_a_new_turn_replaces_the_old_one(engine: Engine) -> None:
    old = await start(engine, text="first")
    engine.brain.permit("s1", 2)
    await said(old, 1)
    new = await start(engine, text="second")
    assert old.log.closed
    old_reply = await old.result()
    assert old_reply.status == "replaced"
    engine.brain.permit("s1", 9)
    assert (await new.result()).status == "complete"
    contents = [message.content for message in engine.brain.requests[-1].messages]
    assert contents[-1].endswith("second")
    assert any("word1" in content for content in contents)


async def test_turns_started_together_leave_one_whole_reply(engine: Engine) -> None:
    engine.brain.free = True
    await engine.sessions.get_or_create("s1", "ana", "default")
    runs = await asyncio.gather(*(start(engine, text=f"m{n}") for n in range(8)))
    replies = [await run.result() for run in runs]
    assert [reply.status for reply in replies].count("complete") >= 1
    assert all(reply.status in {"complete", "replaced"} for reply in replies)
    assert replies[-1].status == "complete"


async def test_ending_one_session_leaves_the_other_alone(engine: Engine) -> None:
    one, two = await start(engine, "s1"), await start(engine, "s2")
    engine.brain.permit("s1", 2)
    engine.brain.permit("s2", 2)
    await said(one, 1)
    one.stop()
    await one.result()
    engine.brain.permit("s2", 9)
    assert (await two.result()).text.endswith("word5")


async def test_the_model_is_cancelled_after_the_grace_time(engine: Engine) -> None:
    run = await start(engine, grace=0.01)
    engine.brain.permit("s1", 1)
    with run.reading():
        pass
    reply = await run.result()
    assert reply.status == "abandoned"
    assert engine.brain.cancelled == ["s1"]


async def test_a_reader_that_comes_back_in_time_keeps_the_reply(engine: Engine) -> None:
    run = await start(engine, grace=30)
    with run.reading():
        pass
    with run.reading():
        engine.brain.permit("s1", 9)
        assert (await run.result()).status == "complete"


async def test_a_failing_brain_ends_with_an_error_frame(engine: Engine) -> None:
    run = await start(engine)
    engine.brain.permit("s1", 1)
    await asyncio.sleep(0)
    engine.brain.error = BrainError("the model is tired", retryable=True)
    engine.brain.permit("s1", 1)
    reply = await run.result()
    assert reply.status == "failed"
    assert frames(run)[-1] == ErrorFrame("the model is tired", retryable=True)


async def test_an_unexpected_error_keeps_its_inside_to_itself(engine: Engine) -> None:
    run = await start(engine)
    engine.brain.error = ValueError("secret path /x")
    engine.brain.permit("s1", 1)
    await run.result()
    end = frames(run)[-1]
    assert isinstance(end, ErrorFrame)
    assert "secret" not in end.error


async def test_tokens_of_a_stream_are_published_and_others_are_not(engine: Engine) -> None:
    engine.brain.free = True
    private = await start(engine, "s1")
    await private.result()
    assert engine.published == []
    public = await start(engine, "s2", channel="harbor", in_reply_to="m1")
    reply = await public.result()
    await asyncio.sleep(0)
    kinds = [type(event) for event in engine.published]
    assert kinds[0] is TurnStarted
    assert kinds[-1] is Reply
    tokens = [event for event in engine.published if isinstance(event, ReplyToken)]
    assert "".join(token.text for token in tokens) == reply.text
    assert [token.seq for token in tokens] == list(range(1, len(tokens) + 1))


async def test_closing_ends_every_run(engine: Engine) -> None:
    runs = [await start(engine, f"s{n}") for n in range(20)]
    for n in range(20):
        engine.brain.permit(f"s{n}", 2)
    await said(runs[-1], 1)
    await engine.turns.close()
    assert all(run.log.closed for run in runs)
    assert {(await run.result()).status for run in runs} == {"stopped"}
    for n in range(20):
        assert (await engine.stored.messages(f"s{n}"))[-1].status == "stopped"
    with pytest.raises(Busy):
        await start(engine, "late")


async def test_a_run_can_be_stopped_the_moment_it_was_started(engine: Engine) -> None:
    run = await start(engine)
    assert run.stop()
    assert (await run.result()).status == "stopped"
    assert engine.brain.requests == []


async def test_a_turn_that_waits_while_the_server_closes_does_not_begin(engine: Engine) -> None:
    starting = asyncio.create_task(start(engine))
    await asyncio.sleep(0)
    await engine.turns.close()
    with pytest.raises(Busy, match="stopping"):
        await starting


async def test_turns_that_start_together_keep_to_the_limit(engine: Engine) -> None:
    limits = engine.settings.limits.model_copy(update={"streams": 2})
    engine.turns._settings = engine.settings.model_copy(update={"limits": limits})
    started = await asyncio.gather(
        *(start(engine, f"s{n}") for n in range(6)), return_exceptions=True
    )
    assert sum(isinstance(result, Busy) for result in started) == 4
    assert engine.turns.active == 2


async def test_a_model_that_answers_a_stop_with_an_error_was_stopped(engine: Engine) -> None:
    run = await start(engine)
    engine.brain.permit("s1", 1)
    await said(run, 1)
    engine.brain.error = ValueError("cut off in the middle")
    engine.brain.permit("s1", 1)
    run._stop_status = "stopped"
    assert (await run.result()).status == "stopped"


async def test_half_characters_are_shown_as_question_marks(engine: Engine) -> None:
    run = await start(engine)
    engine.brain.mark = "\ud83d"
    engine.brain.permit("s1", 9)
    assert (await run.result()).text.startswith("word1? word2?")


async def test_an_ended_run_can_be_resumed_for_a_while(engine: Engine) -> None:
    engine.brain.free = True
    kept = await start(engine)
    await kept.result()
    await asyncio.sleep(0)
    assert engine.turns.get(kept.id) is kept
    assert not engine.turns.stop(kept.id)


async def test_an_ended_run_is_forgotten_but_not_a_later_one_of_its_id(engine: Engine) -> None:
    engine.brain.free = True
    server = engine.settings.server.model_copy(update={"run_ttl": 0.0})
    engine.turns._settings = engine.settings.model_copy(update={"server": server})
    first = await start(engine, "s2", run="again")
    await first.result()
    second = await start(engine, "s3", run="again")
    assert engine.turns.get("again") is second, "the older run of this id does not take it away"
    await second.result()
    await engine.turns.close()
    assert engine.turns.get("again") is None
    assert not engine.turns.stop("again")


async def test_a_persona_that_has_gone_is_stood_in_for(engine: Engine) -> None:
    engine.brain.free = True
    run = await start(engine, persona="default")
    await run.result()
    request = TurnRequest(session="s1", user="ana", text="hi", persona="gone")
    assert (await (await engine.turns.start(request)).result()).status == "complete"


async def test_a_one_off_answer_leaves_no_record(engine: Engine) -> None:
    engine.brain.free = True
    answer = await engine.turns.say(BrainRequest(messages=[BrainMessage("user", "hi")]))
    assert answer == "word1 word2 word3 word4 word5"
    assert engine.log.stats.committed == 0
