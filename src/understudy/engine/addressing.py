"""Whom a chat message speaks to, and whether it asks something.

Owns the reading of names and question forms in one message. Does not decide what is answered
(`director`).
"""

import re
from collections.abc import Iterable

import msgspec

from understudy.events import ChatMessage

_MENTION = re.compile(r"@(\w{2,32})")
_QUESTION_MARK = re.compile(r"\?(?!\S*/)")  # a "?" inside an address is not a question
_QUESTION_WORD = re.compile(
    r"^(?:so |and |but |hey |ok |wait )*"
    r"(?:who|what|when|where|why|how|which|whose|is|are|am|was|were|do|does|did|can|could|should|"
    r"would|will|have|has|any(?:one|body)|what's|whats|who's|how's)\b",
    re.IGNORECASE,
)
_MIN_QUESTION_WORDS = 4


class Addressing(msgspec.Struct, frozen=True):
    """What a message says about its audience."""

    to_cohost: bool
    to_other: bool
    question: bool


class AddressReader:
    """Reads messages with the names of one channel in mind."""

    def __init__(self, cohost: Iterable[str], others: Iterable[str]) -> None:
        self._cohost = {name.casefold() for name in cohost if name}
        self._cohost_pattern = _names_pattern(self._cohost)
        self._others_pattern = _names_pattern({name.casefold() for name in others if name})

    def is_cohost(self, user: str) -> bool:
        """Whether `user` is one of the co-host's names."""
        return user.casefold() in self._cohost

    def read(self, message: ChatMessage) -> Addressing:
        """Whom `message` speaks to and whether it is a question."""
        folded = message.text.casefold()
        mentions = {name.casefold() for name in _MENTION.findall(folded)} if "@" in folded else ()
        to_cohost = bool(self._cohost_pattern and self._cohost_pattern.search(folded)) or (
            self.is_cohost(message.reply_to_user)
        )
        to_other = (
            any(name not in self._cohost for name in mentions)
            or bool(message.reply_to and not self.is_cohost(message.reply_to_user))
            or bool(self._others_pattern and self._others_pattern.search(folded))
        )
        return Addressing(to_cohost, to_other and not to_cohost, is_question(message.text))


def is_question(text: str) -> bool:
    """Whether `text` asks something: by its mark, or by a question word and some length."""
    if "?" in text and _QUESTION_MARK.search(text):
        return any(character.isalnum() for character in text)
    return bool(_QUESTION_WORD.match(text)) and len(text.split()) >= _MIN_QUESTION_WORDS


def _names_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{alternatives})(?![\w-])") if alternatives else None
