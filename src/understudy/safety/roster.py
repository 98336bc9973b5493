"""Known chatters and the pseudonyms that stand for them.

Owns who is known and how a name is recognised in running text. Does not own other personal data
(`patterns`).

Pseudonyms are `viewer_1`, `viewer_2`, … in order of first appearance. The same texts in the same
order give the same pseudonyms, and there is no key whose loss would reveal the names: a number
says nothing but who came first. A pseudonym that is somebody's login is never given out.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from understudy.safety.words import common_words

STREAMER = "[streamer]"
"""Stands for the streamer of the text at hand, whose part the model has to tell from viewers."""

_WORD = re.compile(r"\w+")
_EDGES = re.compile(r"^[\W]+|[\W]+$")
# Scripts written without spaces, or (Hangul) with particles grown onto the name.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff\uac00-\ud7af\uf900-\ufaff]"
)


class _Name(msgspec.Struct, frozen=True):
    """One spelling of a chatter's name. `guarded` ones are everyday words: see `Roster`."""

    login: str
    spelling: str
    guarded: bool


class Hit(msgspec.Struct, frozen=True):
    """A name found in a text at `start` to `end`, and what stands for it."""

    start: int
    end: int
    pseudonym: str


class Roster:
    """The chatters known so far, found in text by login or display name in any case.

    A name must stand alone as a word, with or without `@` and `'s`; names in scripts without
    spaces are found inside words too. A name that is an everyday word, a number or shorter than
    three Latin letters counts only behind `@`, or when it is written with the display name's own
    unusual capitals (`GaMe`).
    """

    def __init__(self, chatters: Iterable[tuple[str, str]] = (), keep: Iterable[str] = ()) -> None:
        """`chatters` are (login, display name); names in `keep` are never replaced."""
        self._keep = frozenset(name.strip().casefold() for name in keep)
        self._names: dict[str, list[_Name]] = {}
        self._unspaced_lengths: set[int] = set()
        self._logins: set[str] = set()
        self._owners: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._next = 1
        for login, name in chatters:
            self.add(login, name)

    def __len__(self) -> int:
        return len(self._logins)

    def add(self, login: str, name: str = "") -> None:
        """Know the chatter `login`, shown as `name`."""
        login = login.strip().lstrip("@#").casefold()
        if not login or login in self._keep or login == "streamer":
            return
        self._logins.add(login)
        for spelling in dict.fromkeys((login, _EDGES.sub("", name))):
            if spelling and spelling.casefold() not in self._keep:
                self._index(login, spelling)

    def meet(self, name: str) -> None:
        """Know somebody by one name only, unless it is the name of a known chatter."""
        if name.strip().lstrip("@#").casefold() not in self._owners:
            self.add(name)

    def knows(self, word: str) -> bool:
        """Whether `word` is the login of a known chatter."""
        return word.casefold() in self._logins

    def pseudonym(self, login: str, streamer: str = "") -> str:
        """What stands for `login`; a newcomer gets the next number. Kept names stay."""
        folded = login.strip().lstrip("@#").casefold()
        if folded in self._keep:
            return login
        owner = folded if folded in self._logins else self._owners.get(folded, folded)
        if streamer and owner == streamer.strip().lstrip("@#").casefold():
            return STREAMER
        number = self._numbers.get(owner)
        if number is None:
            while f"viewer_{self._next}" in self._logins:
                self._next += 1
            number = self._numbers[owner] = self._next
            self._next += 1
        return f"viewer_{number}"

    def may_find(self, text: str) -> bool:
        """Whether `find` could find a name: cheap, and never wrongly False."""
        if not self._names:
            return False
        if self._unspaced_lengths and not text.isascii():
            return True
        if "_" in text:
            return True
        return not self._names.keys().isdisjoint(_WORD.findall(text.casefold()))

    def find(self, text: str, streamer: str = "") -> list[Hit]:
        """The names in `text`, in order and without overlap."""
        hits: list[Hit] = []
        end = 0
        for word in _WORD.finditer(text):
            if word.start() < end:
                continue
            for start, stop, login in self._in_word(text, word):
                hits.append(Hit(start, stop, self.pseudonym(login, streamer)))
                end = stop
        return hits

    def _index(self, login: str, spelling: str) -> None:
        first = _WORD.search(spelling)
        if first is None:
            return
        key = first[0].casefold()
        self._owners.setdefault(spelling.casefold(), login)
        known = self._names.setdefault(key, [])
        known.append(_Name(login, spelling, _guarded(spelling)))
        known.sort(key=lambda name: -len(name.spelling))
        if _UNSPACED.search(spelling) and len(spelling) > 1 and spelling == first[0]:
            self._unspaced_lengths.add(len(key))

    def _in_word(self, text: str, word: re.Match[str]) -> Iterator[tuple[int, int, str]]:
        start, stop = word.span()
        found = self._at(text, start, stop)
        if found is None and "_" in (text[start], text[stop - 1]):
            inner = word[0].strip("_")
            start += word[0].find(inner)
            stop = start + len(inner)
            found = self._at(text, start, stop) if inner else None
        if found is not None:
            yield start, start + len(found.spelling), found.login
        elif self._unspaced_lengths and _UNSPACED.search(word[0]):
            yield from self._inside(text, start, stop)

    def _at(self, text: str, start: int, stop: int) -> _Name | None:
        """The longest name that begins with the word at `start` and ends at a word's end."""
        for name in self._names.get(text[start:stop].casefold(), ()):
            end = start + len(name.spelling)
            if end < stop or text[start:end].casefold() != name.spelling.casefold():
                continue
            ends_word = end == stop or not (
                text[end : end + 1] == "_" or text[end : end + 1].isalnum()
            )
            if ends_word and (not name.guarded or _unmistakable(text, start, end, name)):
                return name
        return None

    def _inside(self, text: str, start: int, stop: int) -> Iterator[tuple[int, int, str]]:
        lengths = sorted(self._unspaced_lengths, reverse=True)
        while start < stop:
            for length in lengths:
                part = text[start : start + length]
                names = self._names.get(part.casefold()) if start + length <= stop else None
                if names and _UNSPACED.search(part):
                    yield start, start + length, names[-1].login
                    start += length
                    break
            else:
                start += 1


def _guarded(spelling: str) -> bool:
    folded = spelling.casefold()
    if folded in common_words() or folded.isdecimal():
        return True
    return len(folded) < 3 and not _UNSPACED.search(folded)


def _unmistakable(text: str, start: int, end: int, name: _Name) -> bool:
    """Whether an everyday word is meant as a name where it stands."""
    if start and text[start - 1] in "@\uff20":
        return True
    spelling = name.spelling
    unusual = spelling not in (spelling.lower(), spelling.upper(), spelling.capitalize())
    return unusual and text[start:end] == spelling
