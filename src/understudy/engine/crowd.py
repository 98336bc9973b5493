"""People who say the same: near-duplicates counted as one message with its crowd.

Owns what makes two messages the same, who said it lately, and whether it was just answered. Does
not own what is waiting (`director`). All of it is bounded, and costs a few look-ups per message.

Two messages are the same when their gists are: the distinct words without fillers, punctuation,
emotes, names of the co-host, case and stretching (`WHAAAT game??` is `what game`). Gists of four
words and more may differ by one word that is missing, long ones by one that is another; numbers
always count.
"""

import math
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from understudy.config import DirectorSettings
from understudy.events import ChatMessage, Moderation

MAX_CROWDS = 4_096
"""Things said lately that are kept in mind, the newest of them."""
MAX_PEOPLE = 1_000
"""People of one crowd; more are not counted."""
MIN_WORDS = 2
"""Words of a gist from which on it can have a crowd: everybody greets, and wants a greeting."""
MISSING_ONE = 4
"""Words from which on one may be missing in another gist that is the same."""
OTHER_ONE = 8
"""Words from which on one of them may be another."""
MAX_WORDS = 16
MAX_CHARS = 500
"""The beginning of a message that is compared."""

_DENSE = "\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
_WORD = re.compile(rf"[{_DENSE}]+|[^\W{_DENSE}]+")
_DENSE_RUN = re.compile(rf"[{_DENSE}]")
_STRETCHED = re.compile(r"([^\W\d_])\1+")
_FILLERS = (
    "a an the is are am was were be s t re m ve ll to of in on at for and or so but please pls plz "
    "hey hi hello yo oh ok okay um uh lol lmao btw guys chat bro man just really now it its this "
    "that there do does did der die das ist ein eine und bitte mal"
)


class Crowd:
    """Those who said the same thing lately, and its points for that."""

    def __init__(self, key: int, without_one: list[int]) -> None:
        self.key = key
        self.without_one = without_one
        self.lead = ""
        """Id of the message that waits for all of them; empty while none does."""
        self.points = 0.0
        self.last = 0
        self.answered: int | None = None
        self._people: dict[str, tuple[str, str]] = {}

    @property
    def size(self) -> int:
        """How many people said it since it was last answered."""
        return len(self._people)

    def add(self, message: ChatMessage) -> None:
        """Count the author of a message, once."""
        login = message.user.casefold()
        known = self._people.pop(login, None)
        if known or len(self._people) < MAX_PEOPLE:
            self._people[login] = (message.id, message.display_name)

    def others(self, user: str) -> Iterator[str]:
        """Display names of the people besides `user`, the latest first."""
        people = reversed(self._people.items())
        return (name for login, (_, name) in people if login != user.casefold())

    def remove(self, act: Moderation) -> bool:
        """Forget whom a moderator's act concerns; whether there was anybody."""
        if act.kind != "delete":
            return self._people.pop(act.user.casefold(), None) is not None
        for login, (message, _) in self._people.items():
            if message == act.message_id:
                del self._people[login]
                return True
        return False

    def settle(self, now: int) -> None:
        """It is answered now: who says it from here on is a new crowd."""
        self.answered, self.lead = now, ""
        self._people = {}


class Gist(msgspec.Struct, frozen=True):
    """What a message says, as far as it is compared: its words in order of appearance."""

    words: tuple[str, ...]

    @property
    def has_crowd(self) -> bool:
        """Whether it says enough for others to say the same."""
        return len(self.words) >= MIN_WORDS

    def keys(self) -> tuple[int, list[int]]:
        """Its own key, and where one word may be missing, the keys it has without that word."""
        hashes = {word: hash(word) for word in self.words}
        key = 0
        for value in hashes.values():
            key ^= value
        if len(hashes) < MISSING_ONE:
            return key, []
        return key, [key ^ value for word, value in hashes.items() if not _is_number(word)]


class GistReader:
    """Reads the gist of messages; the names of the co-host are no part of it."""

    def __init__(self, names: Iterable[str]) -> None:
        spoken = " ".join((*names, _FILLERS))
        self._fillers = frozenset(_words(spoken))

    def read(self, text: str, emotes: str = "") -> Gist:
        """The gist of `text`; `emotes` says where its emotes are, as Twitch's tag does."""
        if emotes:
            text = _without_emotes(text, emotes)
        words = dict.fromkeys(word for word in _words(text) if word not in self._fillers)
        if len(words) > MAX_WORDS:
            # By their checksum, so that one word more does not shift all the others.
            return Gist(
                tuple(sorted(words, key=lambda word: zlib.crc32(word.encode())))[:MAX_WORDS]
            )
        return Gist(tuple(words))


class Crowds:
    """The things said lately in one channel, and by whom."""

    def __init__(self, settings: DirectorSettings) -> None:
        self._settings = settings
        self._window = int(settings.crowd_window * 1000)
        # By key, the one that was joined last at the end.
        self._said: OrderedDict[int, Crowd] = OrderedDict()
        self._said_without_one: dict[int, Crowd] = {}

    def __len__(self) -> int:
        return len(self._said)

    def join(self, message: ChatMessage, gist: Gist, now: int) -> Crowd | None:
        """Count `message` to those that say the same; None when it says too little for that."""
        if not gist.has_crowd:
            return None
        self._forget_old(now)
        key, without_one = gist.keys()
        crowd = self._find(key, without_one) or self._start(key, without_one)
        crowd.add(message)
        crowd.last = now
        self._said.move_to_end(crowd.key)
        self._weigh(crowd, now)
        return crowd

    def remove(self, act: Moderation) -> None:
        """Forget what a moderator removed; a cleared chat begins anew."""
        if act.kind == "clear":
            self._said.clear()
            self._said_without_one.clear()
            return
        for crowd in self._said.values():
            if crowd.remove(act):
                self._weigh(crowd, crowd.last)

    def _find(self, key: int, without_one: list[int]) -> Crowd | None:
        found = self._said.get(key) or self._said_without_one.get(key)
        if found is not None:
            return found
        for shorter in without_one:
            if (found := self._said.get(shorter)) is not None:
                return found
        if len(without_one) >= OTHER_ONE:
            for shorter in without_one:
                found = self._said_without_one.get(shorter)
                if found is not None and len(found.without_one) >= OTHER_ONE:
                    return found
        return None

    def _start(self, key: int, without_one: list[int]) -> Crowd:
        crowd = self._said[key] = Crowd(key, without_one)
        for shorter in without_one:
            self._said_without_one.setdefault(shorter, crowd)
        if len(self._said) > MAX_CROWDS:
            self._drop_oldest()
        return crowd

    def _weigh(self, crowd: Crowd, now: int) -> None:
        if crowd.answered is not None and now - crowd.answered < self._window:
            # However many say it again: they have their answer, and a copied text is no question.
            crowd.points = -self._settings.penalty_repeat
        else:
            crowd.points = self._settings.weight_crowd * math.log2(max(1, crowd.size))

    def _forget_old(self, now: int) -> None:
        while self._said:
            oldest = next(iter(self._said.values()))
            if now - oldest.last < self._window:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, crowd = self._said.popitem(last=False)
        for shorter in crowd.without_one:
            if self._said_without_one.get(shorter) is crowd:
                del self._said_without_one[shorter]


def _words(text: str) -> Iterator[str]:
    """The words of `text` in small letters without stretching; scripts without spaces in pairs."""
    for word in _WORD.findall(_STRETCHED.sub(r"\1", text[:MAX_CHARS].casefold())):
        if len(word) > 2 and _DENSE_RUN.match(word):
            yield from (word[place : place + 2] for place in range(len(word) - 1))
        else:
            yield word


def _is_number(word: str) -> bool:
    return any(character.isdigit() for character in word)


def _without_emotes(text: str, emotes: str) -> str:
    """`text` without the ranges in `emotes`, such as `25:0-4,12-16/1902:6-10`."""
    kept = list(text)
    for span in re.findall(r"(\d{1,4})-(\d{1,4})", emotes):
        first, last = int(span[0]), min(int(span[1]), len(kept) - 1)
        kept[first : last + 1] = [" "] * max(0, last + 1 - first)
    return "".join(kept)
