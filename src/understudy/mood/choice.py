"""How the settings want the mood to be read: by which model, and how it is weighed.

Owns what `[mood]` means. Does not own the models, nor how a model that writes text is opened.
"""

from collections.abc import Callable
from importlib.util import find_spec

import msgspec

from understudy.config import Settings
from understudy.mood.bounded import BoundedClassifier
from understudy.mood.chat_model import Chat, ChatModelClassifier
from understudy.mood.classifier import MoodClassifier
from understudy.mood.errors import MoodError
from understudy.mood.meter import MeterSettings
from understudy.mood.models import MoodModels
from understudy.mood.trained import TrainedClassifier
from understudy.mood.transformer import TransformerClassifier

MakeChat = Callable[[str], Chat]
"""Opens the model of that name; raises `MoodError`."""


class MoodChoice(msgspec.Struct, frozen=True):
    """Who judges messages: None stands for the word lists.

    `problem` says in one sentence why it is not who the settings ask for.
    """

    classifier: MoodClassifier | None = None
    problem: str = ""

    def problems(self) -> list[str]:
        """What the operator should look at; empty when all is well."""
        resting = self.classifier.problem if isinstance(self.classifier, BoundedClassifier) else ""
        return [problem for problem in (self.problem, resting) if problem]


def choose_classifier(settings: Settings, make_chat: MakeChat) -> MoodChoice:
    """The classifier that `mood.classifier` names; its owner closes it. Never raises."""
    if not settings.mood.enabled:
        return MoodChoice()
    try:
        match settings.mood.classifier:
            case "lexicon":
                return MoodChoice()
            case "auto":
                return MoodChoice(_trained(settings))
            case "transformers":
                return MoodChoice(BoundedClassifier(_transformer(settings)))
            case "openai":
                model = _model_of(settings)
                chat = ChatModelClassifier(make_chat(model), model)
                return MoodChoice(BoundedClassifier(chat))
    except MoodError as error:
        return MoodChoice(problem=f"the mood is read with the word lists: {error}")


def meter_settings(settings: Settings) -> MeterSettings:
    """How the meter weighs; the co-host itself does not count."""
    mood, director = settings.mood, settings.director
    return MeterSettings(
        half_life=mood.half_life,
        viewer_cap=mood.viewer_cap,
        bots=(*director.bots, settings.persona.name.casefold()),
        command_prefixes=(director.command_prefix or "!", "/"),
    )


def _trained(settings: Settings) -> MoodClassifier | None:
    """The newest version; None when none was trained."""
    models = MoodModels(settings.data_dir / "models" / "mood")
    version = models.current()
    if version is None:
        return None
    return TrainedClassifier(models.load(version), version)


def _transformer(settings: Settings) -> MoodClassifier:
    model = _model_of(settings)
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise MoodError(
            "a mood model of transformers needs its library: pip install 'understudy[huggingface]'"
        )
    device = settings.brain.device
    return TransformerClassifier(
        model,
        token=settings.brain.hf_api_key.get_secret_value(),
        # A model this small is quick enough where it takes nothing from the one that answers.
        device="cpu" if device == "auto" else device,
    )


def _model_of(settings: Settings) -> str:
    if not settings.mood.model:
        raise MoodError(
            f"mood.classifier is {settings.mood.classifier} but mood.model is empty: name the model"
        )
    return settings.mood.model
