from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import Failure, OpenAIServer, Reply
from tests.mood.mood_data import labelled
from tests.serving import settings_for
from understudy.brains.base import Brain
from understudy.config import Settings
from understudy.learning.mood_model import open_mood_model
from understudy.mood import choice as module
from understudy.mood.bounded import BoundedClassifier
from understudy.mood.choice import MoodChoice, choose_classifier, meter_settings
from understudy.mood.models import MoodModels
from understudy.mood.training import train


def choose(settings: Settings) -> MoodChoice:
    def make_chat(model: str) -> Brain:
        return open_mood_model(settings, model)

    return choose_classifier(settings, make_chat)


def wanted(folder: Path, classifier: str, **flags: Any) -> Settings:
    return settings_for(folder, mood__classifier=classifier, **flags)


@pytest.mark.parametrize("classifier", ["auto", "lexicon"])
def test_without_a_model_the_word_lists_judge(tmp_path: Path, classifier: str) -> None:
    assert choose(wanted(tmp_path, classifier)) == MoodChoice()


async def test_the_newest_trained_model_judges(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the extra understudy[mood] is not installed")
    settings = wanted(tmp_path, "auto")
    training = train(labelled("tune")[:60])
    models = MoodModels(settings.data_dir / "models" / "mood")
    card = models.save(training.model, training.figures, {}, training.folds)
    chosen = choose(settings)
    assert chosen.classifier is not None
    assert chosen.classifier.name == f"trained {card.version}"
    assert chosen.problems() == []
    assert choose(wanted(tmp_path, "lexicon")).classifier is None


def test_a_version_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    settings = wanted(tmp_path, "auto")
    version = settings.data_dir / "models" / "mood" / "20260101-000000"
    version.mkdir(parents=True)
    (version / "model.npz").write_bytes(b"no")
    chosen = choose(settings)
    assert chosen.classifier is None
    (problem,) = chosen.problems()
    assert problem.startswith("the mood is read with the word lists: ")
    assert "train" in problem


@pytest.mark.parametrize("classifier", ["transformers", "openai"])
def test_a_model_must_be_named(tmp_path: Path, classifier: str) -> None:
    (problem,) = choose(wanted(tmp_path, classifier)).problems()
    assert f"mood.classifier is {classifier} but mood.model is empty" in problem


def test_where_no_mood_is_read_nobody_is_missed(tmp_path: Path) -> None:
    assert choose(wanted(tmp_path, "openai", mood__enabled=False)) == MoodChoice()


def test_a_missing_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    chosen = choose(wanted(tmp_path, "transformers", mood__model="some/model"))
    assert "understudy[huggingface]" in chosen.problem


async def test_a_model_of_transformers_is_opened_when_it_is_asked(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra understudy[huggingface] is missing")
    chosen = choose(wanted(tmp_path, "transformers", mood__model=str(tmp_path / "nowhere")))
    assert isinstance(chosen.classifier, BoundedClassifier)
    assert chosen.classifier.name == f"transformer {tmp_path / 'nowhere'}"
    await chosen.classifier.aclose()


def test_a_missing_key_is_told(tmp_path: Path) -> None:
    chosen = choose(wanted(tmp_path, "openai", mood__model="ft:mood"))
    assert chosen.classifier is None
    assert "OPENAI_API_KEY" in chosen.problem


async def test_a_fine_tuned_model_is_asked_and_may_rest(tmp_path: Path) -> None:
    async with OpenAIServer([Reply(["positive"]), Failure(401), Reply(["positive"])]) as server:
        settings = wanted(tmp_path, "openai", mood__model="ft:mood", brain__base_url=server.url)
        chosen = choose(settings)
        assert chosen.classifier is not None
        (found,) = await chosen.classifier.label(["gg"])
        assert (found.label, found.score) == ("positive", 1.0)
        assert [chat["model"] for chat in server.chats] == ["ft:mood"]
        assert chosen.problems() == []
        for _ in range(2):
            with pytest.raises(module.MoodError):
                await chosen.classifier.label(["gg"])
        assert len(server.chats) == 2
        (problem,) = chosen.problems()
        assert problem.startswith("the mood is read with the word lists: ft:mood did not label")
        await chosen.classifier.aclose()
        assert server.open_connections == 0


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ({"brain__provider": "openai", "brain__api_key": "k1"}, "Bearer k1"),
        ({"brain__provider": "claude", "brain__api_key": "k1"}, None),
        ({"brain__provider": "auto", "brain__api_key": "sk-ant-1"}, None),
        ({"brain__provider": "claude", "brain__openai_api_key": "k2"}, "Bearer k2"),
    ],
)
async def test_the_key_of_another_provider_stays_at_home(
    tmp_path: Path, flags: dict[str, str], sent: str | None
) -> None:
    async with OpenAIServer() as server:
        settings = settings_for(tmp_path, brain__base_url=server.url, **flags)
        brain = open_mood_model(settings, "ft:mood")
        await brain.chat([{"role": "user", "content": "gg"}])
        assert server.requests[0].headers.get("authorization") == sent
        await brain.aclose()


def test_the_meter_is_set_as_the_settings_say(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path,
        mood__half_life=10.0,
        mood__viewer_cap=2.0,
        director__bots=["nightbot"],
        director__command_prefix="?",
        persona__name="Marlo",
    )
    meter = meter_settings(settings)
    assert (meter.half_life, meter.viewer_cap) == (10, 2)
    assert set(meter.bots) == {"nightbot", "marlo"}
    assert meter.command_prefixes == ("?", "/")
