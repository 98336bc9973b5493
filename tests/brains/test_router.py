import asyncio
import logging
import time
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from tests.fakes.anthropic_server import AnthropicServer
from tests.fakes.openai_server import OpenAIServer
from tests.fakes.scripts import Failure, Reply
from tests.recorded_brain import RecordedBrain, Tape, down, wrong_key
from understudy.brains.backoff import Backoff
from understudy.brains.base import (
    Brain,
    BrainError,
    BrainEvent,
    BrainMessage,
    BrainRequest,
    Finish,
    Text,
    ToolCall,
    Usage,
)
from understudy.brains.breaker import Breaker
from understudy.brains.budget import Budget
from understudy.brains.chain import Link
from understudy.brains.prices import Price, Prices
from understudy.brains.router import Router
from understudy.brains.scripted import ScriptedBrain
from understudy.config import BrainSettings

REQUEST = BrainRequest(
    messages=[BrainMessage("user", "hi")], text="hi", channel="ada", max_tokens=100
)
AT_ONCE = Backoff(first=0.0, longest=0.0)
GOOD: Tape = ["Hel", "lo", Usage(10, 2), Finish()]


def router_of(brain: Brain | Link, **options: object) -> Router:
    options = {"backoff": AT_ONCE, "retries": 2, **options}
    return Router(brain, "a test wants it", **options)


async def collect(router: Router, **options: bool) -> list[BrainEvent]:
    return [event async for event in router.stream(REQUEST, **options)]


async def text(router: Router) -> str:
    return "".join([e.text for e in await collect(router) if isinstance(e, Text)])


async def failure(router: Router, **options: bool) -> BrainError:
    with pytest.raises(BrainError) as caught:
        await collect(router, **options)
    return caught.value


# --- one brain


async def test_a_reply_passes_without_empty_tokens():
    events = await collect(router_of(RecordedBrain(["", "a", "", "b", Finish("length")])))
    assert events == [Text("a"), Text("b"), Finish("length")]


async def test_what_a_model_thinks_first_is_not_part_of_the_reply():
    thinking = RecordedBrain(["<thi", "nk>Hm.", "</think>\n", "\nHi", " there", Finish()])
    assert await collect(router_of(thinking)) == [Text("Hi"), Text(" there"), Finish()]
    assert await text(router_of(RecordedBrain(["<", "3", Finish()]))) == "<3"
    assert await text(router_of(RecordedBrain(["<3 <", Finish()]))) == "<3 <"


async def test_a_model_that_only_thinks_has_not_answered():
    error = await failure(router_of(RecordedBrain(["<think>Hm."])))
    assert "ended without an answer" in str(error)


async def test_impossible_counts_are_not_believed():
    events = await collect(router_of(RecordedBrain(["a", Usage(2**70, -5, -1), Finish()])))
    assert events == [Text("a"), Usage(10**9, 0, 0), Finish()]


async def test_what_comes_before_the_first_token_keeps_its_place():
    call = ToolCall("1", "clock", "{}")
    events = await collect(router_of(RecordedBrain([Usage(5), call, Usage(5, 3)])))
    assert events == [Usage(5), call, Usage(5, 3)]


async def test_a_brain_may_choose_to_say_nothing():
    assert await collect(router_of(RecordedBrain([Finish("refusal")]))) == [Finish("refusal")]


async def test_a_stream_without_an_answer_is_broken():
    brain = RecordedBrain([Usage(5)])
    error = await failure(router_of(brain))
    assert error.kind == "broken"
    assert "ended without an answer" in str(error)
    assert len(brain.requests) == 3


async def test_a_brain_that_says_nothing_is_given_up():
    brain = RecordedBrain(["", None])
    error = await failure(router_of(brain, first_token_seconds=0.05))
    assert str(error) == "the recorded brain said nothing within 0.05 s: try again"
    assert error.kind == "timeout"
    assert error.retryable
    assert brain.stopped == len(brain.requests) == 1


async def test_a_brain_that_does_not_finish_is_given_up():
    brain = RecordedBrain(["a", None])
    answer = router_of(brain, reply_seconds=0.05).stream(REQUEST)
    assert await anext(answer) == Text("a")
    with pytest.raises(BrainError, match=r"did not finish within 0\.05 s") as caught:
        await anext(answer)
    assert caught.value.kind == "timeout"
    assert brain.stopped == 1


async def test_the_limit_of_the_reply_holds_for_the_first_token_too():
    error = await failure(router_of(RecordedBrain([None]), reply_seconds=0.05))
    assert "said nothing within 0.05 s" in str(error)


async def test_a_brain_that_breaks_down_keeps_its_secrets(caplog):
    brain = RecordedBrain(["a", RuntimeError("key sk-123 refused")])
    error = await failure(router_of(brain))
    assert "sk-123" not in str(error)
    assert (error.kind, error.retryable) == ("failed", True)
    assert "RuntimeError: key sk-123 refused" in caplog.text


async def test_a_timeout_inside_the_brain_is_not_taken_for_the_deadline(caplog):
    error = await failure(router_of(RecordedBrain([TimeoutError()])))
    assert "broke down" in str(error)
    assert "TimeoutError" in caplog.text


async def test_closing_the_answer_stops_the_brain():
    brain = RecordedBrain(["a", None])
    async with aclosing(router_of(brain).stream(REQUEST)) as answer:
        assert await anext(answer) == Text("a")
        assert brain.stopped == 0
    assert brain.stopped == 1


@pytest.mark.parametrize("tape", [[None], ["a", None]], ids=["before", "after"])
async def test_cancelling_the_reader_stops_the_brain(tape):
    brain = RecordedBrain(tape)
    task = asyncio.create_task(collect(router_of(brain)))
    await brain.asked.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert brain.stopped == 1


async def test_an_error_thrown_into_the_answer_stops_the_brain():
    brain = RecordedBrain(["a", None])
    answer = router_of(brain).stream(REQUEST)
    assert await answer.asend(None) == Text("a")
    with pytest.raises(KeyError):
        await answer.athrow(KeyError("reader"))
    assert brain.stopped == 1


async def test_closing_the_router_closes_every_brain():
    brains = [RecordedBrain(GOOD), RecordedBrain(GOOD)]
    await router_of(brains[0], fallback=brains[1:]).aclose()
    assert [brain.closed for brain in brains] == [True, True]


async def test_another_brain_takes_over_with_the_next_reply():
    router = router_of(RecordedBrain(["old ", "brain"]))
    under_way = router.stream(REQUEST)
    assert await anext(under_way) == Text("old ")
    router.brain = RecordedBrain(["new brain"])
    assert await text(router) == "new brain"
    assert [event async for event in under_way] == [Text("brain")]


# --- another attempt


async def test_what_may_pass_is_tried_again():
    brain = RecordedBrain([down()], [Usage(5), down()], GOOD)
    assert await text(router_of(brain)) == "Hello"
    assert len(brain.requests) == brain.stopped == 3


async def test_attempts_are_limited():
    brain = RecordedBrain([down()])
    assert (await failure(router_of(brain, retries=1))).kind == "unavailable"
    assert len(brain.requests) == 2


async def test_what_does_not_pass_is_not_tried_again():
    for kind in ("unauthorized", "refused", "unknown_model", "context_too_long"):
        brain = RecordedBrain([BrainError("no: do something", kind=kind)])
        assert (await failure(router_of(brain))).kind == kind
        assert len(brain.requests) == 1


async def test_nothing_is_tried_again_after_the_first_token():
    brain = RecordedBrain(["Hel", BrainError("broke off", kind="broken")], GOOD)
    spare = RecordedBrain(GOOD)
    answer = router_of(brain, fallback=[spare]).stream(REQUEST)
    assert await anext(answer) == Text("Hel")
    with pytest.raises(BrainError, match="broke off"):
        await anext(answer)
    assert len(brain.requests) == 1
    assert spare.requests == []


async def test_a_provider_that_asks_for_a_pause_gets_it(caplog):
    caplog.set_level(logging.INFO)
    brain = RecordedBrain([down(retry_after=0.02)], GOOD)
    assert await text(router_of(brain)) == "Hello"
    assert "the model cannot be reached; asking again in 0.02 s" in caplog.text


@pytest.mark.parametrize(
    "options", [{"backoff": Backoff(patience=1.0)}, {"first_token_seconds": 1.5}]
)
async def test_a_pause_that_is_too_long_is_not_waited_for(options):
    brain = RecordedBrain([down(retry_after=2.0)], GOOD)
    spare = RecordedBrain(["spare"])
    assert await text(router_of(brain, fallback=[spare], **options)) == "spare"
    assert len(brain.requests) == 1


def test_waits_grow_and_are_spread():
    backoff = Backoff(first=1.0, longest=3.0, patience=10.0)
    for attempt, most in enumerate([1.0, 2.0, 3.0, 3.0]):
        waits = [backoff.wait(attempt, down()) for _ in range(200)]
        assert 0.0 <= min(waits) < 0.2 * most
        assert 0.8 * most < max(waits) <= most
    assert backoff.wait(0, down(retry_after=5.0)) == 5.0
    assert backoff.wait(0, down(retry_after=11.0)) is None


# --- another brain


async def test_brains_are_asked_in_order():
    chain = [
        RecordedBrain([down()], name="first"),
        RecordedBrain([wrong_key()], name="second"),
        RecordedBrain(GOOD, name="third", model="m3"),
        RecordedBrain(GOOD, name="fourth"),
    ]
    router = router_of(chain[0], fallback=chain[1:])
    answer = router.stream(REQUEST)
    assert (answer.provider, answer.model) == ("", "")
    assert await anext(answer) == Text("Hel")
    assert (answer.provider, answer.model) == ("third", "m3")
    assert answer.note == "the model cannot be reached"
    assert [event async for event in answer] == [Text("lo"), Usage(10, 2), Finish()]
    assert [len(brain.requests) for brain in chain] == [3, 1, 1, 0]
    assert [brain.name for brain in router.brains] == ["first", "second", "third", "fourth"]
    assert router.brain is chain[0]
    assert router.describe() == "A recording."


async def test_silence_leaves_time_for_the_next_brain():
    silent = RecordedBrain([None])
    router = router_of(silent, fallback=[RecordedBrain(GOOD)], first_token_seconds=0.05)
    assert await text(router) == "Hello"
    assert silent.stopped == 1


async def test_when_all_fail_the_first_says_why():
    router = router_of(RecordedBrain([wrong_key()]), fallback=[RecordedBrain([down()])])
    assert "the key is not accepted" in str(await failure(router))


async def test_a_problem_stands_until_the_brain_answers(caplog):
    brain = RecordedBrain([wrong_key()], [wrong_key()], GOOD)
    router = router_of(brain, fallback=[RecordedBrain(["spare"])])
    assert router.problems() == []
    assert [await text(router), await text(router)] == ["spare", "spare"]
    assert router.problems() == ["the key is not accepted: check it"]
    assert caplog.text.count("the key is not accepted") == 1
    assert await text(router) == "Hello"
    assert router.problems() == []


async def test_a_context_that_is_too_long_is_for_the_caller_to_shorten():
    too_long = BrainError("too long: say less", kind="context_too_long")
    spare = RecordedBrain(["spare"])
    router = router_of(RecordedBrain([too_long]), fallback=[spare])
    assert await failure(router) is too_long
    assert spare.requests == []
    assert await collect(router, shortened=True) == [Text("spare")]


async def test_a_rehearsal_gets_a_scripted_brain_of_its_own():
    model, scripted, seeded = RecordedBrain([down()]), ScriptedBrain(), ScriptedBrain(seed=7)
    router = router_of(model, fallback=[scripted])
    assert router.with_scripted(seeded).brains == [model, seeded]
    assert router.brains == [model, scripted]
    assert await text(router.with_scripted(seeded))


# --- the circuit


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_brain_that_fails_again_and_again_is_left_alone():
    clock = Clock()
    brain = RecordedBrain([down()], [down()], [down()], GOOD)
    link = Link(brain, breaker=Breaker(failures=3, cool_down=10.0, clock=clock))
    router = router_of(link, fallback=[RecordedBrain(["spare"])], retries=1)
    assert [await text(router), await text(router)] == ["spare", "spare"]
    assert len(brain.requests) == 3
    clock.seconds = 4.0
    assert await text(router) == "spare"
    assert len(brain.requests) == 3
    (problem,) = router.problems()
    assert problem == (
        "the recorded brain is left alone for 6 s because it failed repeatedly: "
        "the model cannot be reached"
    )
    clock.seconds = 10.0
    assert "until an attempt succeeds" in router.problems()[0]
    assert await text(router) == "Hello"
    assert router.problems() == []


async def probed(*tapes: Tape) -> tuple[RecordedBrain, Router]:
    """A brain that has failed and whose time of rest is over; it goes on with `tapes`."""
    clock = Clock()
    brain = RecordedBrain([down()], *tapes)
    link = Link(brain, breaker=Breaker(failures=1, cool_down=10.0, clock=clock))
    router = router_of(link, retries=0)
    assert (await failure(router)).kind == "unavailable"
    clock.seconds = 10.0
    return brain, router


async def test_only_one_reply_probes_a_brain_and_frees_it_when_its_reader_leaves():
    brain, router = await probed([None], GOOD)
    brain.asked.clear()
    probe = asyncio.create_task(collect(router))
    await brain.asked.wait()
    assert "left alone" in str(await failure(router))
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert await text(router) == "Hello"


async def test_the_first_token_of_a_probe_lets_others_through():
    brain, router = await probed(["Hel", None], GOOD)
    async with aclosing(router.stream(REQUEST)) as probe:
        assert await anext(probe) == Text("Hel")
        assert await text(router) == "Hello"
    assert len(brain.requests) == 3


async def test_what_is_nobodys_illness_opens_no_circuit():
    brain = RecordedBrain([wrong_key()])
    router = router_of(Link(brain, breaker=Breaker(failures=1)))
    for _ in range(3):
        assert (await failure(router)).kind == "unauthorized"
    assert len(brain.requests) == 3


async def test_breaking_off_counts_against_a_brain():
    brain = RecordedBrain(["Hel", BrainError("broke off", kind="broken")])
    router = router_of(Link(brain, breaker=Breaker(failures=2)))
    for _ in range(2):
        assert (await failure(router)).kind == "broken"
    assert "left alone" in str(await failure(router))


# --- the money

PRICES = Prices(datetime(2026, 11, 21).date(), [Price("recorded", "tape", 1.0, 10.0)])


async def test_usage_and_cost_are_known_at_the_end():
    budget = Budget()
    router = router_of(RecordedBrain(GOOD), budget=budget, prices=PRICES)
    answer = router.stream(REQUEST)
    await anext(answer)
    assert (answer.usage, answer.cost_micros) == (None, None)
    assert len([event async for event in answer]) == 3
    assert (answer.usage, answer.cost_micros) == (Usage(10, 2), 30)
    (row,) = budget.today()
    assert (row.channel, row.provider, row.model) == ("ada", "recorded", "tape")
    assert (row.replies, row.input, row.output, row.cost_micros) == (1, 10, 2, 30)


async def test_an_unknown_price_is_said_to_be_unknown():
    budget = Budget(daily=1.0)
    router = router_of(RecordedBrain(GOOD, model="new"), budget=budget, prices=PRICES)
    async with aclosing(router.stream(REQUEST)) as answer:
        assert [event async for event in answer]
    assert answer.cost_micros is None
    assert budget.today()[0].unpriced == 1
    assert router.problems() == [
        "the price of new (recorded) is not known, so no budget limits it: add it to prices.yaml "
        "in the data directory"
    ]


async def test_a_spent_budget_falls_back():
    # The most that it may cost: about a thousandth of a dollar.
    budget = Budget(daily=0.0005, now=lambda: datetime(2026, 11, 21, tzinfo=UTC))
    brain = RecordedBrain(GOOD)
    router = router_of(brain, fallback=[ScriptedBrain()], budget=budget, prices=PRICES)
    answer = router.stream(REQUEST)
    assert [event async for event in answer]
    assert answer.provider == "scripted"
    assert answer.note == (
        "the daily budget of $0.0005 is used up: raise brain.daily_budget or wait until 00:00 UTC"
    )
    assert brain.requests == []
    assert answer.note in router.problems()


async def test_a_spent_budget_without_fallback_is_an_error():
    budget = Budget(daily=0.0005)
    router = router_of(RecordedBrain(GOOD), budget=budget, prices=PRICES)
    error = await failure(router)
    assert (error.kind, error.retryable) == ("refused", False)


async def test_attempts_that_cost_nothing_are_not_booked():
    budget = Budget()
    router = router_of(RecordedBrain([down()], GOOD), budget=budget, prices=PRICES)
    await collect(router)
    assert budget.today()[0].replies == 1


async def test_usage_that_nobody_reports_is_estimated():
    budget = Budget()
    router = router_of(RecordedBrain(["four ", "words ", "or ", "so"]), budget=budget)
    answer = router.stream(REQUEST)
    assert [event async for event in answer]
    assert answer.usage == Usage(9, 4)


async def test_a_reply_that_is_stopped_costs_what_was_said():
    budget = Budget()
    brain = RecordedBrain([Usage(50, 1), "a", "b", "c", None])
    async with aclosing(router_of(brain, budget=budget, prices=PRICES).stream(REQUEST)) as answer:
        for _ in range(4):
            await anext(answer)
    assert answer.usage == Usage(50, 3)
    assert answer.cost_micros == 80
    assert budget.spent() == 80


async def test_silence_is_paid_for_as_it_was_read():
    budget = Budget()
    router = router_of(
        RecordedBrain([None]), budget=budget, prices=PRICES, first_token_seconds=0.05
    )
    await failure(router)
    assert budget.today()[0].output == 0
    assert budget.spent() > 0


# --- the deadline


async def test_the_deadline_may_fall_between_two_tokens():
    router = router_of(RecordedBrain(["a", "b"]), reply_seconds=0.02)
    answer = router.stream(REQUEST)
    assert await anext(answer) == Text("a")
    await asyncio.sleep(0.05)
    with pytest.raises(BrainError, match="did not finish"):
        await anext(answer)


async def test_a_reader_who_is_cancelled_at_the_deadline_is_cancelled():
    brain = RecordedBrain([None])
    task = asyncio.create_task(collect(router_of(brain, first_token_seconds=0.2)))
    await brain.asked.wait()
    # Both are due when the loop comes to itself again, so the task is cancelled twice at once.
    loop = asyncio.get_running_loop()
    loop.call_later(0.21, task.cancel)
    loop.call_soon(time.sleep, 0.25)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert brain.stopped == 1


async def test_a_deadline_leaves_no_trace_in_the_task():
    task = asyncio.current_task()
    assert task is not None
    router = router_of(RecordedBrain([None]), first_token_seconds=0.02)
    assert (await failure(router)).kind == "timeout"
    assert task.cancelling() == 0


async def test_a_brain_that_does_not_let_itself_be_cancelled_is_cut_off_at_its_next_word():
    class Stubborn(RecordedBrain):
        async def stream(self, request):
            yield Text("a")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                yield Text("b")
            yield Text("c")

    task = asyncio.current_task()
    assert task is not None
    answer = router_of(Stubborn([]), reply_seconds=0.02).stream(REQUEST)
    assert [await anext(answer), await anext(answer)] == [Text("a"), Text("b")]
    with pytest.raises(BrainError, match="did not finish"):
        await anext(answer)
    assert task.cancelling() == 0


# --- real providers


async def test_openai_answers_when_claude_is_overloaded(monkeypatch):
    async with (
        AnthropicServer([Failure(529), Failure(529), Failure(401)]) as anthropic,
        OpenAIServer(Reply(["Hel", "lo"])) as openai,
    ):
        monkeypatch.setenv("ANTHROPIC_BASE_URL", anthropic.url)
        settings = BrainSettings.model_validate(
            {
                "provider": "claude",
                "anthropic_api_key": "a",
                "base_url": openai.url,
                "fallback": ["openai:llama"],
                "retries": 1,
            }
        )
        router = Router.from_settings(settings)
        overloaded, unauthorized = router.stream(REQUEST), router.stream(REQUEST)
        for answer in (overloaded, unauthorized):
            said = [e.text async for e in answer if isinstance(e, Text)]
            assert "".join(said) == "Hello"
            assert (answer.provider, answer.model, answer.cost_micros) == ("openai", "llama", 0)
        await router.aclose()
    assert len(anthropic.messages) == 3
    assert len(openai.chats) == 2
    assert overloaded.note != unauthorized.note
    assert "brain.anthropic_api_key" in unauthorized.note


async def test_a_stream_that_is_reset_is_told_to_the_reader():
    script = Reply(["Hel", "lo"], breaks_after=1, trouble="reset")
    async with OpenAIServer(script) as server:
        settings = {"provider": "openai", "base_url": server.url, "model": "llama"}
        router = Router.from_settings(BrainSettings.model_validate(settings))
        answer = router.stream(REQUEST)
        assert await anext(answer) == Text("Hel")
        with pytest.raises(BrainError) as caught:
            await anext(answer)
        assert caught.value.kind == "broken"
        assert len(server.chats) == 1
        await router.aclose()


async def test_a_reader_who_leaves_frees_the_connection():
    async with OpenAIServer(Reply(["Hel", "lo"], breaks_after=1, trouble="stall")) as server:
        settings = {"provider": "openai", "base_url": server.url, "model": "llama"}
        router = Router.from_settings(BrainSettings.model_validate(settings))
        async with aclosing(router.stream(REQUEST)) as answer:
            assert await anext(answer) == Text("Hel")
        await asyncio.wait_for(server.gone(), 5)
        await router.aclose()
