"""With which key, and where, OpenAI or a server of its dialect is reached to train.

Owns which key goes there: that of OpenAI or of `brain.base_url`, never another provider's.
"""

import msgspec

from understudy.brains.base import BrainError
from understudy.brains.failures import public_url
from understudy.brains.openai import OPENAI_URL, normal_url
from understudy.config import Settings
from understudy.learning.training.errors import TrainingError

_ANTHROPIC_PREFIX = "sk-ant-"


class Account(msgspec.Struct, frozen=True):
    """A key, and the base URL of the server that takes it."""

    key: str
    url: str = OPENAI_URL

    @property
    def title(self) -> str:
        """The server's name in a sentence."""
        if self.url == OPENAI_URL:
            return "OpenAI"
        return f"the model server at {public_url(self.url)}"

    def __repr__(self) -> str:
        return f"Account({self.title})"


def account_of(settings: Settings) -> Account:
    """The account that the settings name; raises `TrainingError` when there is no key."""
    brain = settings.brain
    key = own_key(settings) or brain.openai_api_key.get_secret_value()
    if not key:
        raise TrainingError("training at OpenAI needs a key: set OPENAI_API_KEY")
    try:
        return Account(key, normal_url(brain.base_url) if brain.base_url else OPENAI_URL)
    except BrainError as error:
        raise TrainingError(str(error)) from None


def own_key(settings: Settings) -> str:
    """`brain.api_key` if it belongs to OpenAI or to `brain.base_url`, else an empty string."""
    brain = settings.brain
    key = brain.api_key.get_secret_value()
    is_own = brain.provider in {"auto", "openai"} and not key.startswith(_ANTHROPIC_PREFIX)
    return key if is_own else ""
