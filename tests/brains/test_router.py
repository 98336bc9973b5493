import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from importlib.metadata import EntryPoint
from typing import NamedTuple

import pytest

from understudy.brains import router as router_module
from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Text, Usage
from understudy.brains.router import (
    BrainUnavailable,
    Router,
    UnknownProvider,
    load_providers,
    make_scripted,
)
from understudy.brains.scripted import Recall, ScriptedBrain
from understudy.config import BrainSettings

REQUEST = BrainRequest(messages=[], text="hi")


class Former(NamedTuple):
    prompt: str
    response: str


class Recorded(Brain):
    """A brain that plays back: texts are said, errors raised, None waits for ever."""

    name = "recorded"
    model = "tape"

    def __init__(self, *events: str | Exception | None) -> None:
        self.events = events
        self.stopped = False
        self.closed = False

    def describe(self) -> str:
        return "A recording."

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        try:
            for event in self.events:
                if isinstance(event, Exception):
                    raise event
                if event is None:
                    await asyncio.Event().wait()
                    continue
                yield Text(event)
            yield Usage(output_tokens=len(self.events))
        finally:
            self.stopped = True

    async def aclose(self) -> None:
        self.closed = True


class FromSettings(Recorded):
    def __init__(self, settings: BrainSettings, recall: Recall | None) -> None:
        super().__init__(settings.model)


class Refusing(Recorded):
    def __init__(self, settings: BrainSettings, recall: Recall | None) -> None:
        raise BrainError("recorded needs brain.api_key: set it")


def no_brain(settings: BrainSettings, recall: Recall | None) -> str:
    return "no brain"


async def collect(router: Router) -> list[BrainEvent]:
    return [event async for event in router.stream(REQUEST)]


def install(monkeypatch: pytest.MonkeyPatch, attribute: str) -> BrainSettings:
    entry = EntryPoint("tape", f"{__name__}:{attribute}", router_module.GROUP)
    monkeypatch.setattr(router_module, "entry_points", lambda group: [entry])
    return BrainSettings.model_validate({"provider": "tape", "model": "side a"})


@pytest.mark.parametrize("provider", ["auto", "scripted"])
async def test_the_scripted_brain_answers_by_default(provider):
    settings = BrainSettings.model_validate({"provider": provider, "words_per_second": 0})
    router = Router.from_settings(settings)
    assert isinstance(router.brain, ScriptedBrain)
    assert "scripted" in router.why
    assert provider in router.why
    assert router.describe() == router.brain.describe()
    *words, usage = await collect(router)
    assert words
    assert isinstance(usage, Usage)


async def test_recall_reaches_the_scripted_brain():
    async def recall(text: str, persona: str, channel: str) -> Sequence[Former]:
        return [Former("hi", "Ahoy!")]

    settings = BrainSettings.model_validate({"words_per_second": 0})
    events = await collect(Router.from_settings(settings, recall=recall))
    assert events[0] == Text("Ahoy!")


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("openai", "brain.provider 'openai' is not known: choose auto or scripted"),
        ("script", "choose auto or scripted (did you mean scripted?)"),
    ],
)
def test_an_unknown_provider_is_named_with_the_choices(provider, message):
    with pytest.raises(UnknownProvider) as caught:
        Router.from_settings(BrainSettings.model_validate({"provider": provider}))
    assert str(caught.value).endswith(message)
    assert isinstance(caught.value, BrainError)


def test_the_built_in_provider_needs_no_installed_metadata(monkeypatch):
    monkeypatch.setattr(router_module, "entry_points", lambda group: [])
    router = Router.from_settings(BrainSettings.model_validate({"provider": "scripted"}))
    assert isinstance(router.brain, ScriptedBrain)


def test_a_plug_in_cannot_take_a_built_in_name(monkeypatch):
    entry = EntryPoint("scripted", f"{__name__}:FromSettings", router_module.GROUP)
    monkeypatch.setattr(router_module, "entry_points", lambda group: [entry])
    assert load_providers() == {"scripted": make_scripted}


async def test_a_third_party_brain_is_built_from_the_settings(monkeypatch):
    router = Router.from_settings(install(monkeypatch, "FromSettings"))
    assert [e.text for e in await collect(router) if isinstance(e, Text)] == ["side a"]
    assert router.why == "The tape brain answers: brain.provider asks for it."


def test_a_brain_that_says_what_it_needs_is_quoted(monkeypatch):
    with pytest.raises(BrainError, match=r"needs brain\.api_key"):
        Router.from_settings(install(monkeypatch, "Refusing"))


@pytest.mark.parametrize(
    ("attribute", "message"), [("Missing", "cannot be loaded"), ("no_brain", "makes no Brain")]
)
def test_a_broken_plug_in_is_reported_in_one_sentence(monkeypatch, attribute, message):
    with pytest.raises(BrainUnavailable, match=message):
        Router.from_settings(install(monkeypatch, attribute))


async def test_empty_tokens_are_dropped():
    events = await collect(Router(Recorded("", "a", "", "b"), "test"))
    assert events == [Text("a"), Text("b"), Usage(output_tokens=4)]


async def test_a_brain_that_says_nothing_is_given_up():
    brain = Recorded("", None)
    with pytest.raises(BrainError, match=r"said nothing within 0\.05 s") as caught:
        await collect(Router(brain, "test", first_token_seconds=0.05))
    assert caught.value.retryable
    assert brain.stopped


async def test_a_brain_that_does_not_finish_is_given_up():
    brain = Recorded("a", None)
    events = Router(brain, "test", reply_seconds=0.05).stream(REQUEST)
    assert await anext(events) == Text("a")
    with pytest.raises(BrainError, match=r"did not finish within 0\.05 s") as caught:
        await anext(events)
    assert caught.value.retryable
    assert brain.stopped


async def test_a_brain_that_breaks_down_keeps_its_secrets(caplog):
    brain = Recorded("a", RuntimeError("key sk-123 refused"))
    with pytest.raises(BrainError) as caught:
        await collect(Router(brain, "test"))
    assert "sk-123" not in str(caught.value)
    assert caught.value.retryable
    assert "RuntimeError: key sk-123 refused" in caplog.text


async def test_a_timeout_inside_the_brain_is_not_taken_for_the_deadline(caplog):
    with pytest.raises(BrainError, match="broke down"):
        await collect(Router(Recorded(TimeoutError()), "test"))
    assert "TimeoutError" in caplog.text


async def test_the_brains_own_errors_pass():
    error = BrainError("no credit left: top it up")
    with pytest.raises(BrainError) as caught:
        await collect(Router(Recorded(error), "test"))
    assert caught.value is error


async def test_closing_the_stream_stops_the_brain():
    brain = Recorded("a", None)
    async with aclosing(Router(brain, "test").stream(REQUEST)) as events:
        assert await anext(events) == Text("a")
    assert brain.stopped


async def test_cancelling_a_reader_stops_the_brain():
    brain = Recorded("a", None)
    task = asyncio.create_task(collect(Router(brain, "test")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert brain.stopped


async def test_closing_the_router_closes_the_brain():
    brain = Recorded()
    await Router(brain, "test").aclose()
    assert brain.closed
