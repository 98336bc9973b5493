"""Cuts a growing text into sentences to be spoken, as early as it safely can.

Owns where a spoken utterance ends. Does not own what is said (`reply`) nor how it sounds.

The first utterance may end at a clause, so that the voice starts early; later ones end with a
sentence, because a clause spoken alone sounds chopped. Where the right cut depends on what comes
next, the cutter waits for it: the cuts are the same however the text is split into pieces.
"""

import re
from typing import NamedTuple

FIRST_CLAUSE_CHARS = 6
"""Letters and digits the first utterance must have to be cut at a comma or dash."""
MAX_CHARS = 240
"""Length at which an utterance without an end is cut at a space."""

# Full stop, exclamation and question mark of CJK scripts, which no space follows.
_DENSE_STOPS = "\u3002\uff01\uff1f\uff61"
_STOPS = ".!?\u2026\u061f\u0964\u06d4" + _DENSE_STOPS
_DENSE_COMMAS = "\uff0c\u3001\uff1b"
_COMMAS = ",;:\u060c" + _DENSE_COMMAS
_EM_DASH = "\u2014"
_DASHES = "-\u2013" + _EM_DASH

# What belongs to a sentence after its stop: closing quotes and brackets, emoji and their joiners.
_CLOSERS = (
    "\"')\\]}\u2019\u201d\u00bb\u203a\u300d\u300f\uff09\u3011"
    "\u200d\ufe0f\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
)
_MARK = re.compile(f"[\n{re.escape(_STOPS)}]")
_CLAUSE_MARK = re.compile(f"[\n{re.escape(_STOPS + _COMMAS + _DASHES)}]")
_STOP_RUN = re.compile(f"[{re.escape(_STOPS)}]+")
_CLOSER_RUN = re.compile(f"[{_CLOSERS}]*")
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018]*$")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_LIST_NUMBER = re.compile(r"\s*\d{1,3}")

_ABBREVIATIONS = frozenset(
    {"mr", "mrs", "ms", "mx", "dr", "prof", "st", "sr", "jr", "rev", "gen", "sgt", "capt", "lt"}
    | {"vs", "approx", "dept", "vol", "bzw", "usw", "sra"}
)
# These end a sentence as often as not: the capital letter after them tells.
_SOMETIMES = frozenset({"etc", "inc", "ltd", "corp"})
_BEFORE_NUMBERS = frozenset({"no", "nr", "art", "fig"})


class _Verdict(NamedTuple):
    """The utterance ends at `at`, or it does not and `at` is where to look next."""

    ends: bool
    at: int


class SentenceCutter:
    """Feed it text; it returns each utterance once it is complete, without outer white space."""

    def __init__(
        self, *, first_clause: int | None = FIRST_CLAUSE_CHARS, max_chars: int = MAX_CHARS
    ) -> None:
        """With `first_clause` None the first utterance too ends only with a sentence."""
        self._first_clause = first_clause
        self._max_chars = max_chars
        self._buffer = ""
        self._decided = 0
        self._said = False

    def feed(self, text: str) -> list[str]:
        """Add `text` and return the utterances it completes."""
        self._buffer += text
        return self._cut(final=False)

    def finish(self) -> list[str]:
        """The text is over: return what is left."""
        sentences = self._cut(final=True)
        rest, self._buffer, self._decided = self._buffer.strip(), "", 0
        return [*sentences, rest] if rest else sentences

    def _cut(self, *, final: bool) -> list[str]:
        sentences: list[str] = []
        while (end := self._next_end(final)) is not None:
            sentence, self._buffer = self._buffer[:end].strip(), self._buffer[end:]
            self._decided = 0
            if sentence:
                self._said = True
                sentences.append(sentence)
        return sentences

    def _next_end(self, final: bool) -> int | None:
        """Where the first utterance in the buffer ends; None while that is open."""
        limit = min(len(self._buffer), self._max_chars)
        opening = self._first_clause is not None and not self._said
        marks = _CLAUSE_MARK if opening else _MARK
        while mark := marks.search(self._buffer, self._decided, limit):
            self._decided = mark.start()
            verdict = self._judge(self._decided, final)
            if verdict is None:
                return None
            if verdict.ends:
                return verdict.at
            self._decided = verdict.at
        self._decided = max(self._decided, limit)
        if len(self._buffer) > self._max_chars:
            return self._forced_end()
        return None

    def _judge(self, at: int, final: bool) -> _Verdict | None:
        """Whether the utterance ends at the mark `at`; None when it depends on what comes."""
        character = self._buffer[at]
        if character == "\n":
            return _Verdict(True, at + 1)
        if character in _STOPS:
            return self._judge_stop(at, final)
        return self._judge_clause(at, final)

    def _judge_stop(self, at: int, final: bool) -> _Verdict | None:
        stops = _matched(_STOP_RUN, self._buffer, at)
        end = at + len(stops) + len(_matched(_CLOSER_RUN, self._buffer, at + len(stops)))
        if end == len(self._buffer):
            return _Verdict(False, end) if final else None
        if stops[-1] in _DENSE_STOPS:
            return _Verdict(True, end)
        if not self._buffer[end].isspace():
            return _Verdict(False, end)
        if stops == ".":
            return self._judge_dot(at, end, final)
        ellipsis = stops.strip(".\u2026") == ""
        return _Verdict(not ellipsis, end)

    def _judge_dot(self, at: int, end: int, final: bool) -> _Verdict | None:
        """A single full stop may belong to an abbreviation, an initial or a list's number."""
        word = _last_word(self._buffer[:at])
        plain = word.lower()
        if plain in _ABBREVIATIONS or _is_initial(word):
            return _Verdict(False, end)
        if _LIST_NUMBER.fullmatch(self._buffer, 0, at):
            return _Verdict(False, end)
        numbered = plain in _BEFORE_NUMBERS
        if not numbered and plain not in _SOMETIMES and not _DOTTED.fullmatch(word):
            return _Verdict(True, end)
        following = self._buffer[end:].lstrip()[:1]
        if not following and not final:
            return None
        return _Verdict(not following.isdigit() if numbered else following.isupper(), end)

    def _judge_clause(self, at: int, final: bool) -> _Verdict | None:
        """A comma or dash ends the first utterance when enough was said before it."""
        goes_on = _Verdict(False, at + 1)
        spoken = sum(character.isalnum() for character in self._buffer[:at])
        if spoken < (self._first_clause or 0):
            return goes_on
        character = self._buffer[at]
        if character in _DENSE_COMMAS or character == _EM_DASH:
            return _Verdict(True, at + 1)
        if character in _DASHES and not self._buffer[at - 1].isspace():
            return goes_on
        if at + 1 == len(self._buffer):
            return goes_on if final else None
        return _Verdict(self._buffer[at + 1].isspace(), at + 1)

    def _forced_end(self) -> int:
        """Where an utterance that is too long is cut: its last comma or space, else right there."""
        head = self._buffer[: self._max_chars]
        comma = max(head.rfind(f"{mark} ") for mark in ",;:") + 1
        if comma > self._max_chars // 2:
            return comma
        return head.rfind(" ") + 1 or self._max_chars


def _matched(pattern: re.Pattern[str], text: str, at: int) -> str:
    match = pattern.match(text, at)
    return match.group() if match else ""


def _last_word(text: str) -> str:
    match = _LAST_WORD.search(text)
    return match.group() if match else ""


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.isupper() and word != "I"
