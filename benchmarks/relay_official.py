"""A provider for the benchmark: OpenAI through its official SDK, with the fake in OpenAI's place.

Understudy takes the lean way for every `brain.base_url`; this plug-in has it take the other one.
"""

from understudy.brains.base import Brain
from understudy.brains.openai import OpenAIBrain
from understudy.brains.scripted import Recall
from understudy.config import BrainSettings


def make_official(settings: BrainSettings, recall: Recall | None) -> Brain:
    del recall
    return OpenAIBrain.official(
        settings.api_key.get_secret_value(),
        settings.model,
        base_url=settings.base_url,
        silence_seconds=settings.first_token_seconds,
    )
