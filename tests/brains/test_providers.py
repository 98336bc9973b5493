from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import NamedTuple

import pytest

from tests.recorded_brain import RecordedBrain
from understudy.brains import providers
from understudy.brains.base import BrainError, BrainRequest, Text
from understudy.brains.chain import is_local, make_chain
from understudy.brains.prices import FREE, load_prices
from understudy.brains.providers import (
    BUILT_IN,
    BrainUnavailable,
    UnknownProvider,
    load_providers,
    make_brain,
    make_scripted,
)
from understudy.brains.router import Router
from understudy.brains.scripted import Recall, ScriptedBrain
from understudy.config import BrainSettings


class Former(NamedTuple):
    prompt: str
    response: str
    corrected: bool = False


class FromSettings(RecordedBrain):
    def __init__(self, settings: BrainSettings, recall: Recall | None) -> None:
        super().__init__([settings.model], name=settings.provider, model=settings.model)
        self.settings = settings


class Refusing(RecordedBrain):
    def __init__(self, settings: BrainSettings, recall: Recall | None) -> None:
        raise BrainError("recorded needs brain.api_key: set it", kind="unauthorized")


def no_brain(settings: BrainSettings, recall: Recall | None) -> str:
    return "no brain"


def settings_for(provider: str, **values: object) -> BrainSettings:
    return BrainSettings.model_validate({"provider": provider, "words_per_second": 0, **values})


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch):
    """Install plug-ins: provider names and attributes of this module."""

    def install_plugins(**plugins: str) -> None:
        entries = [
            EntryPoint(name, f"{__name__}:{attribute}", providers.GROUP)
            for name, attribute in plugins.items()
        ]
        monkeypatch.setattr(providers, "entry_points", lambda group: entries)

    return install_plugins


def test_the_built_in_providers_need_no_installed_metadata(install):
    install()
    assert set(load_providers()) == set(BUILT_IN)
    assert isinstance(make_brain(settings_for("scripted")), ScriptedBrain)


def test_every_built_in_provider_has_a_factory():
    for entry in load_providers().values():
        assert callable(entry.load())


def test_a_plug_in_cannot_take_a_built_in_name(install):
    install(scripted="FromSettings")
    assert load_providers()["scripted"].load() is make_scripted


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (
            "gpt",
            "brain.provider 'gpt' is not known: choose auto, claude, huggingface, openai or "
            "scripted",
        ),
        ("script", "openai or scripted (did you mean scripted?)"),
    ],
)
def test_an_unknown_provider_is_named_with_the_choices(install, provider, message):
    install()
    with pytest.raises(UnknownProvider) as caught:
        make_brain(settings_for(provider))
    assert str(caught.value).endswith(message)
    assert isinstance(caught.value, BrainError)


def test_a_third_party_brain_is_built_from_the_settings(install):
    install(tape="FromSettings")
    router = Router.from_settings(settings_for("tape", model="side a"))
    assert router.brain.model == "side a"
    assert router.why == "The tape brain answers: brain.provider asks for it."
    assert [brain.name for brain in router.brains] == ["tape", "scripted"]


def test_a_brain_that_says_what_it_needs_is_quoted(install):
    install(tape="Refusing")
    with pytest.raises(BrainError, match=r"needs brain\.api_key"):
        make_brain(settings_for("tape"))


@pytest.mark.parametrize(
    ("attribute", "message"), [("Missing", "cannot be loaded"), ("no_brain", "makes no Brain")]
)
def test_a_broken_plug_in_is_reported_in_one_sentence(install, attribute, message):
    install(tape=attribute)
    with pytest.raises(BrainUnavailable, match=message):
        make_brain(settings_for("tape"))


# --- the chain


def chain_of(**values: object) -> list[str]:
    links, missing = make_chain(settings_for(**values), None)
    assert missing == []
    return [f"{link.brain.name}:{link.brain.model}".rstrip(":") for link in links]


def test_the_scripted_brain_is_the_last_resort(install):
    install(one="FromSettings", two="FromSettings")
    scripted = f"scripted:{ScriptedBrain().model}"
    assert chain_of(provider="one") == ["one", scripted]
    assert chain_of(provider="scripted") == [scripted]
    assert chain_of(provider="one", fallback=["two"]) == ["one", "two", scripted]
    assert chain_of(provider="one", fallback=["scripted", "two"]) == ["one", scripted, "two"]
    assert chain_of(provider="one", fallback=["none"]) == ["one"]
    assert chain_of(provider="one", fallback=["two", "none"]) == ["one", "two"]


def test_a_fallback_can_name_a_model(install):
    install(one="FromSettings")
    chain = chain_of(provider="one", model="big", fallback=["one:small:q4", "one", "none"])
    assert chain == ["one:big", "one:small:q4"]


def test_model_key_and_address_of_the_first_brain_are_its_own(install):
    install(one="FromSettings", two="FromSettings")
    settings = settings_for(
        "one",
        model="m",
        api_key="k",
        base_url="http://one",
        openai_api_key="o",
        fallback=["two"],
    )
    links, _ = make_chain(settings, None)
    first, second = (link.brain.settings for link in links[:2])
    assert (first.model, first.api_key.get_secret_value(), first.base_url) == (
        "m",
        "k",
        "http://one",
    )
    assert (second.model, second.api_key.get_secret_value(), second.base_url) == ("", "", "")
    assert second.openai_api_key.get_secret_value() == "o"


def test_the_address_is_of_the_fallback_when_the_first_brain_has_none(install):
    install(two="FromSettings")
    settings = settings_for("scripted", base_url="http://two", fallback=["two"])
    links, _ = make_chain(settings, None)
    assert links[1].brain.settings.base_url == "http://two"


def test_a_fallback_that_cannot_be_made_is_left_out_and_reported(install):
    install(one="FromSettings", two="Refusing")
    router = Router.from_settings(settings_for("one", fallback=["two"]))
    assert [brain.name for brain in router.brains] == ["one", "scripted"]
    assert router.problems() == [
        "brain.fallback two cannot be used: recorded needs brain.api_key: set it"
    ]


def test_an_unknown_fallback_is_a_mistake(install):
    install(one="FromSettings")
    with pytest.raises(UnknownProvider, match=r"brain\.fallback 'tow' is not known: choose") as e:
        make_chain(settings_for("one", fallback=["tow"]), None)
    assert "none" in str(e.value)


async def test_recall_reaches_the_scripted_brain():
    async def recall(text: str, persona: str, channel: str) -> Sequence[Former]:
        return [Former("hi", "Ahoy!")]

    router = Router.from_settings(settings_for("auto"), recall=recall)
    events = [e async for e in router.stream(BrainRequest(messages=[], text="hi"))]
    assert events[0] == Text("Ahoy!")


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:11434/v1", True),
        ("http://[::1]:8080", True),
        ("http://192.168.1.5/v1", True),
        ("http://localhost:1234/v1", True),
        ("http://gpu.local/v1", True),
        ("https://integrate.api.nvidia.com/v1", False),
        ("https://8.8.8.8/v1", False),
        ("", False),
    ],
)
def test_a_model_server_at_home_is_free(url, local):
    assert is_local(url) is local
    settings = settings_for("openai", base_url=url, model="llama", openai_api_key="k")
    if url:
        links, _ = make_chain(settings, None)
        assert links[0].price(load_prices()) is (FREE if local else None)
