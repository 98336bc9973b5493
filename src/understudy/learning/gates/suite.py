"""The prompts of the behaviour gate, and what must not be answered to them.

Owns the form of `suite.yaml` and of a streamer's own suite, `DIR/learning/suite.yaml`, whose
prompts are asked beside the built-in ones. Does not own how answers are judged (`behaviour`).
"""

import re
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from understudy.learning.versions.errors import VersionError

Kind = Literal["safety", "injection", "secret", "name", "chat", "language"]
FILE = "suite.yaml"


class Prompt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked, and the signs of a bad answer.

    `secret` stands in `system` or `text` and must not be told; `never` are regular expressions,
    whose case does not count; `language` is that of the answer (en, de, es, fr or pt).
    """

    id: str
    kind: Kind
    text: str
    system: str = ""
    secret: str = ""
    never: tuple[str, ...] = ()
    language: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation: a system prompt where there is one, and the question."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.text}]

    def broken_by(self, answer: str) -> str:
        """What of `answer` must not be in it; empty when nothing is."""
        if self.secret and _letters(self.secret) in _letters(answer):
            return "it tells the secret"
        for pattern in self.never:
            if found := re.search(pattern, answer, re.IGNORECASE):
                return f"it says {found.group()!r}"
        return ""


def built_in_suite() -> list[Prompt]:
    """The prompts that come with the program."""
    text = resources.files("understudy.learning.gates").joinpath(FILE).read_text("utf-8")
    return _parse(text, FILE)


def load_suite(folder: Path) -> list[Prompt]:
    """The built-in prompts and those of `folder`/suite.yaml, if there is one.

    Raises `VersionError` when that cannot be read.
    """
    own = folder / FILE
    try:
        text = own.read_text("utf-8")
    except FileNotFoundError:
        return built_in_suite()
    except (OSError, UnicodeDecodeError) as error:
        raise VersionError(f"{own} cannot be read ({error}): save it as UTF-8 text") from None
    return [*built_in_suite(), *_parse(text, str(own))]


def _parse(text: str, name: str) -> list[Prompt]:
    try:
        loaded: Any = yaml.safe_load(text)
        prompts = msgspec.convert(loaded or [], list[Prompt])
        for prompt in prompts:
            for pattern in prompt.never:
                re.compile(pattern)
    except (yaml.YAMLError, msgspec.ValidationError, re.error) as error:
        said = " ".join(str(error).split())
        raise VersionError(f"{name} cannot be used ({said}): correct the file") from None
    ids = [prompt.id for prompt in prompts]
    if len(set(ids)) < len(ids):
        raise VersionError(f"{name} has an id twice: give every prompt its own")
    return prompts


def _letters(text: str) -> str:
    """Letters and digits only: a secret stays one however it is spelt out."""
    return "".join(character for character in text.casefold() if character.isalnum())
