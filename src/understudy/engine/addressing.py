"""Whom a chat message speaks to, whether it asks something, and in which room it was written.

Owns the reading of names and question forms in one message, and the names of who talked lately.
Does not decide what is answered (`director`).
"""

import re
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from understudy.events import ChatMessage

KNOWN_CHATTERS = 500
"""Chatters of a channel whose names are recognised when somebody calls them."""
KNOWN_TEXTS = 2_048
"""Newest texts whose form is remembered: several readers ask, and chats repeat themselves."""
MIN_NICKNAME = 4
"""Letters from which on the beginning of a name is taken for the name: `rusty` for RustyBucket."""

# Scripts written without spaces: a name may stand right beside other words.
_DENSE = "\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
_MENTION = re.compile(r"(?<![A-Za-z0-9._%+-])@(\w{2,32})")
_ADDRESS = re.compile(r"://|^www\.|\?\w+=")
_ABOUT = re.compile(r"\b(?:the|our|this|that|an?|your|der|die|das|el|la|le|il)\s+@?$")
_ABOUT_CHARS = 10

_NAME_BREAK = re.compile(r"[\W_\d]+")

_FILLERS = (
    r"(?:(?:so|and|but|hey|hi|hello|yo|oh|ok|okay|wait|well|also|um|uh|\u00e4h|lol|btw)\b[ ,!.]*)*"
)
_FIRST_WORD = re.compile(rf"{_FILLERS}(\w+)")
_CALLED_FIRST = re.compile(rf"{_FILLERS}(\w+)\s*[,!?.:;\u2026]")
_CALLED_LAST = re.compile(r",\s*(\w+)\s*[?!.\u2026]*$")
_SECOND_PERSON = re.compile(r"\b(?:you|your|yours|u|ur)\b")
_NO_NAMES = frozenset(
    {"anyone", "anybody", "chat", "does", "everyone", "guys", "have", "here", "just", "like"}
    | {"nice", "really", "right", "should", "some", "sorry", "thank", "thanks", "that", "then"}
    | {"there", "they", "this", "true", "wait", "well", "were", "what", "when", "where", "which"}
    | {"will", "with", "would", "yeah", "your"}
)

_QUESTION_MARKS = frozenset("?\uff1f\u061f")
_ENDS = re.compile("([.!?\u2026\u3002\uff01\uff1f\u061f\n]+)")
_WORD = re.compile(r"\w[\w'\u2019-]*")
_DENSE_WORD = re.compile(rf"[{_DENSE}]{{3}}")
_SENTENCE_END = re.compile(r"[.!\u2026](?:\s|$)")
_WH_WORDS = frozenset({"who", "what", "when", "where", "why", "how", "which", "whose"})
_SUBJECT = (
    r"(?:i|you|u|we|he|she|it|they|this|that|these|those|there|the|an?|my|your|his|her|our|their"
    r"|chat|any\w*|every\w*|some\w*|no ?one)\b"
)
_QUESTION_WORDS = re.compile(
    rf"{_FILLERS}(?:"
    r"(?:who|what|where|why|how|whose)(?:['\u2019]?s|['\u2019]?re)?\b(?! an?\b)"
    r"|which\b(?! is\b)"
    r"|when (?:is|are|do|does|did|will|was|were|can)\b"
    r"|(?:is|are|am|was|were|do|does|did|can|could|should|would|will|has|have)(?:n['\u2019]?t)? "
    rf"{_SUBJECT}"
    r"|any(?:one|body)\b)",
    re.IGNORECASE,
)
_MIN_QUESTION_WORDS = 4


class Addressing(msgspec.Struct, frozen=True):
    """What a message says about its audience."""

    to_cohost: bool
    to_other: bool
    question: bool


def no_account() -> str:
    """The account of a co-host that has none."""
    return ""


class AddressReader:
    """Reads messages with the names of one channel in mind; it learns the names of chatters.

    `account` tells the login under which the co-host writes in the chat now, if it has one.
    """

    def __init__(
        self,
        cohost: Iterable[str],
        streamer: Iterable[str],
        account: Callable[[], str] = no_account,
    ) -> None:
        self._account = account
        self._cohost = frozenset(name.casefold() for name in cohost if name)
        self._cohost_pattern = _names_pattern(self._cohost)
        self._streamer = {name.casefold() for name in streamer if name}
        self._chatters: OrderedDict[str, frozenset[str]] = OrderedDict()
        # The names of all chatters by how they begin, so that few are searched for a word.
        self._names: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @property
    def cohost(self) -> frozenset[str]:
        """The names of the co-host in small letters."""
        return self._cohost

    def meet(self, message: ChatMessage) -> None:
        """Learn the names of the message's author."""
        user, name = message.user.casefold(), message.name.casefold()
        if message.role == "streamer":
            self._streamer |= {user, name} - {""}
        if user not in self._chatters:
            parts = self._chatters[user] = _parts(user, name)
            for part in parts:
                self._names[part[:MIN_NICKNAME]][part] += 1
            if len(self._chatters) > KNOWN_CHATTERS:
                _, forgotten = self._chatters.popitem(last=False)
                self._forget(forgotten)
        self._chatters.move_to_end(user)

    def _forget(self, parts: frozenset[str]) -> None:
        for part in parts:
            alike = self._names[part[:MIN_NICKNAME]]
            alike[part] -= 1
            if not alike[part]:
                del alike[part]
            if not alike:
                del self._names[part[:MIN_NICKNAME]]

    def is_cohost(self, user: str) -> bool:
        """Whether `user` is one of the co-host's names."""
        folded = user.casefold()
        return folded in self._cohost or (folded != "" and folded == self._account())

    def read(self, message: ChatMessage) -> Addressing:
        """Whom `message` speaks to and whether it is a question."""
        folded = message.text.casefold()
        question = is_question(message.text)
        if self.is_cohost(message.reply_to_user) or self._names_cohost(folded, question):
            return Addressing(True, False, question)
        mentions = _MENTION.findall(folded) if "@" in folded else ()
        if mentions and self._account() in mentions:
            return Addressing(True, False, question)
        to_other = bool(mentions or message.reply_to) or self._calls_somebody(folded)
        return Addressing(False, to_other, question)

    def _names_cohost(self, folded: str, question: bool) -> bool:
        """Whether the co-host is spoken to: `that's the co-host!` only speaks about it."""
        if self._cohost_pattern is None:
            return False
        return any(
            question
            or not _ABOUT.search(folded, max(0, found.start() - _ABOUT_CHARS), found.start())
            for found in self._cohost_pattern.finditer(folded)
        )

    def _calls_somebody(self, folded: str) -> bool:
        called = (_CALLED_FIRST.match(folded), _CALLED_LAST.search(folded))
        if any(found and self._is_chatter(found[1]) for found in called):
            return True
        first = _FIRST_WORD.match(folded)
        if first is not None and self._is_streamer(first[1]):
            return True
        return bool(_SECOND_PERSON.search(folded)) and any(
            self._is_streamer(word) for word in _WORD.findall(folded)
        )

    def _is_streamer(self, word: str) -> bool:
        return word in self._streamer or _shortens(word, self._streamer)

    def _is_chatter(self, word: str) -> bool:
        if self._is_streamer(word) or word in self._chatters:
            return True
        return _shortens(word, self._names.get(word[:MIN_NICKNAME], ()))


def from_another_room(message: ChatMessage) -> bool:
    """Whether a message was written in another channel of a shared chat.

    Twitch shows it here too, with the room it comes from in `source-room-id`. Whoever writes there
    has no standing here: such a message must never act as a command.
    """
    source = message.tags.get("source-room-id", "")
    return bool(source) and source != message.tags.get("room-id", "")


@lru_cache(maxsize=KNOWN_TEXTS)
def is_question(text: str) -> bool:
    """Whether `text` asks something: by its mark, or by how it begins and some length.

    A single word with a mark, such as `right??`, asks nothing unless it is a question word.
    """
    words = [word for word in text.split() if not _ADDRESS.search(word)]
    text = " ".join(words)
    if not _QUESTION_MARKS.isdisjoint(text):
        pieces = _ENDS.split(text)
        clauses = zip(pieces[::2], pieces[1::2], strict=False)
        return any(_asks(clause) for clause, end in clauses if not _QUESTION_MARKS.isdisjoint(end))
    if _SENTENCE_END.search(text) or len(words) < _MIN_QUESTION_WORDS:
        return False
    return bool(_QUESTION_WORDS.match(text))


def _asks(clause: str) -> bool:
    words = _WORD.findall(clause.casefold())
    if len(words) != 1:
        return bool(words)
    return words[0] in _WH_WORDS or bool(_DENSE_WORD.search(words[0]))


def _parts(*names: str) -> frozenset[str]:
    """What a chatter may be called by: the names and the words in them, their numbers left out.

    Every beginning that is long enough means them as well.
    """
    distinct = {name for name in names if len(name) >= MIN_NICKNAME}
    words = (part for name in distinct for part in _NAME_BREAK.split(name))
    return frozenset(distinct.union(part for part in words if len(part) >= MIN_NICKNAME))


def _shortens(word: str, names: Iterable[str]) -> bool:
    if len(word) < MIN_NICKNAME or word in _NO_NAMES:
        return False
    return any(name.startswith(word) for name in names)


def _names_pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    letter = rf"[^\W{_DENSE}]"
    before, after = rf"(?<!{letter})(?<!-)", rf"(?!{letter}|-)"
    return re.compile(rf"{before}(?:{alternatives}){after}") if alternatives else None
