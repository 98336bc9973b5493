"""Turns what a model says into what is shown, said and felt, before anything of it is seen.

Owns the three steps between a token and the screen:

1. Emotion tags such as `[happy]` or `[happy:0.6]` are cut out, wherever tokens split them.
2. The output filter judges the text word by word.
3. What passes is shown, and gathered into sentences for the voice.

Does not own which words are blocked (`safety`) nor what a feeling looks like.

What may be waited for, and no more: an open tag until it is closed or cannot become one; white
space, until it is known that no tag follows; and, only with a filter, the last word until it is
whole, so the screen is at most one word behind the model. A filter that knows it may be looking
at the beginning of a blocked phrase can hold more (`HoldingFilter`).
"""

import re
from collections.abc import Callable, Collection
from typing import Protocol, runtime_checkable

import msgspec

from understudy.engine.sentences import SentenceCutter

EMOTIONS = (
    "neutral",
    "happy",
    "excited",
    "calm",
    "love",
    "sad",
    "angry",
    "surprised",
    "embarrassed",
    "thinking",
)
"""The feelings every avatar can show; a persona may name its own."""


class Shown(msgspec.Struct, frozen=True):
    """Text for the screen, to be put right after what was shown before."""

    text: str


class Felt(msgspec.Struct, frozen=True):
    """A feeling, placed where its tag stood; intensity 0 to 1."""

    name: str
    intensity: float = 1.0


class Sentence(msgspec.Struct, frozen=True):
    """A whole utterance for the voice: text already shown, without outer white space."""

    text: str


ReplyPart = Shown | Felt | Sentence


class OutputFilter(Protocol):
    """Judges text about to be shown.

    It is given whole words with up to 80 characters of what was shown before them, and returns
    the text to show instead: the same when it has no objection, None to withhold it. Objecting
    to a phrase that ends in a new word withholds that word, so no blocked phrase is ever shown
    whole; words that were shown before the phrase took shape cannot be taken back.
    """

    def __call__(self, text: str, /) -> str | None:
        """The text to show in place of `text`, None for none of it."""
        ...


@runtime_checkable
class HoldingFilter(Protocol):
    """An `OutputFilter` that also asks for time, so that not even a phrase's beginning is shown."""

    def __call__(self, text: str, /) -> str | None:
        """The text to show in place of `text`, None for none of it."""
        ...

    def hold(self, text: str, /) -> int:
        """How many characters at the end of `text` may begin something blocked; 0 for none."""
        ...


class ReplyStream:
    """One reply on its way to the screen. Parts come in order; `Sentence`s after their text.

    A `Felt` is given as soon as its tag is closed: with a filter it may be one word early.
    """

    def __init__(
        self, output_filter: OutputFilter | None = None, emotions: Collection[str] | None = None
    ) -> None:
        """`emotions` are the names taken for tags; None takes any word of 2 to 20 letters."""
        self._tags = _TagCutter(emotions)
        self._gate = _Gate(output_filter) if output_filter is not None else None
        self._sentences = SentenceCutter()

    @property
    def withheld(self) -> int:
        """How many times the filter kept something back or changed it."""
        return self._gate.objections if self._gate else 0

    def feed(self, token: str) -> list[ReplyPart]:
        """Take the model's next piece and return what can be shown now."""
        parts: list[ReplyPart] = []
        for piece in self._tags.feed(token):
            self._pass_on(piece, parts)
        return parts

    def finish(self) -> list[ReplyPart]:
        """The model is done: return everything that was still held."""
        parts: list[ReplyPart] = []
        for piece in self._tags.finish():
            self._pass_on(piece, parts)
        if self._gate:
            self._show(self._gate.finish(), parts)
        parts += map(Sentence, self._sentences.finish())
        return parts

    def _pass_on(self, piece: str | Felt, parts: list[ReplyPart]) -> None:
        if isinstance(piece, Felt):
            parts.append(piece)
        else:
            self._show(self._gate.feed(piece) if self._gate else piece, parts)

    def _show(self, text: str, parts: list[ReplyPart]) -> None:
        if text:
            parts.append(Shown(text))
            parts += map(Sentence, self._sentences.feed(text))


_BLANKS = " \t"
_TAG = re.compile(r"\[([a-z]{2,20})(?:: ?(-?(?:\d+\.?\d*|\.\d+)))?\]", re.IGNORECASE | re.ASCII)
_OPEN_TAG = re.compile(
    r"\[(?P<name>[a-z]{0,20})(?P<rest>: ?-?\d{0,3}(?:\.\d{0,4})?)?", re.IGNORECASE | re.ASCII
)
# Nothing stands between a word and these, so the space in front of a cut tag goes with it.
_TIGHT = frozenset(".,!?)]}\n\u2026\u3001\u3002\uff01\uff0c\uff1f")
# As above, but with a space in front they are likelier the eyes of a smiley.
_MAYBE_TIGHT = frozenset(":;")


class _TagCutter:
    """Cuts emotion tags out of a stream of text and closes the gap that each leaves.

    A tag directly inside another bracket, as in `[[happy]]`, or followed by `(`, as in
    `[link](https://…)`, is text.
    """

    def __init__(self, emotions: Collection[str] | None) -> None:
        self._emotions = None if emotions is None else frozenset(e.lower() for e in emotions)
        self._out: list[str | Felt] = []
        self._candidate = ""
        self._blanks = ""
        self._cut = False
        self._blank_after_cut = False
        self._last = ""

    def feed(self, text: str) -> list[str | Felt]:
        """The text and feelings that are certain after `text`."""
        if self._last and not self._candidate and not self._cut and "[" not in text:
            visible = text.rstrip(_BLANKS)
            if visible:
                self._put(self._blanks + visible)
                self._blanks = ""
            self._blanks += text[len(visible) :]
        else:
            for character in text:
                self._step(character)
        return self._take()

    def finish(self) -> list[str | Felt]:
        """What was held: an open bracket is text, the blanks around a cut tag are dropped."""
        self._settle_candidate()
        if self._last and not self._cut:
            self._put(self._blanks)
        return self._take()

    def _take(self) -> list[str | Felt]:
        """Empty the output, with neighbouring texts joined."""
        joined: list[str | Felt] = []
        for piece in self._out:
            if isinstance(piece, str) and joined and isinstance(joined[-1], str):
                joined[-1] += piece
            elif piece:
                joined.append(piece)
        self._out = []
        return joined

    def _step(self, character: str) -> None:
        if self._candidate:
            if self._extends_candidate(character):
                self._candidate += character
                return
            self._settle_candidate(before=character)
        if character == "[" and (self._last != "[" or self._blanks):
            self._candidate = character
        else:
            self._plain(character)

    def _extends_candidate(self, character: str) -> bool:
        if self._candidate.endswith("]"):
            return False
        longer = self._candidate + character
        if character == "]":
            match = _TAG.fullmatch(longer)
            return match is not None and self._is_known(match[1])
        match = _OPEN_TAG.fullmatch(longer)
        if match is None:
            return False
        name = match["name"].lower()
        if self._emotions is None:
            return True
        if match["rest"] is not None:
            return name in self._emotions
        return any(emotion.startswith(name) for emotion in self._emotions)

    def _is_known(self, name: str) -> bool:
        return self._emotions is None or name.lower() in self._emotions

    def _settle_candidate(self, before: str = "") -> None:
        """Cut the candidate if it is a tag, else let it pass as text; `before` what follows it."""
        candidate, self._candidate = self._candidate, ""
        match = _TAG.fullmatch(candidate)
        if match is None or before == "(":
            for character in candidate:
                self._plain(character)
            return
        intensity = min(1.0, max(0.0, float(match[2]))) if match[2] else 1.0
        self._out.append(Felt(match[1].lower(), intensity))
        self._cut, self._blank_after_cut = True, False

    def _plain(self, character: str) -> None:
        if character in _BLANKS:
            self._blanks += character
            self._blank_after_cut = self._cut
        elif self._last or not character.isspace():
            self._close_gap(character)
            self._put(character)

    def _close_gap(self, character: str) -> None:
        """Show the blanks in front of `character`, less those that only a cut tag explains."""
        if not self._cut:
            self._put(self._blanks if self._last else "")
        elif self._blanks and self._last not in ("", "\n", "(") and not self._is_tight(character):
            self._put(" ")
        self._blanks, self._cut = "", False

    def _is_tight(self, character: str) -> bool:
        if character in _MAYBE_TIGHT:
            return not self._blank_after_cut
        return character in _TIGHT

    def _put(self, text: str) -> None:
        if text:
            self._out.append(text)
            self._last = text[-1]


_CONTEXT_CHARS = 80
_LONGEST_HOLD = 300
_LONGEST_WORD = 64
# Scripts without spaces: every character counts as a word, else nothing would be shown for long.
_DENSE = "\u2e80-\u9fff\uac00-\ud7ff\uf900-\ufaff\uff00-\uffef"
_WORD = re.compile(
    rf"\s*(?:[{_DENSE}]|[^\s{_DENSE}]{{{_LONGEST_WORD}}}|[^\s{_DENSE}]+(?=[\s{_DENSE}]))"
)


class _Gate:
    """Lets text through the output filter word by word.

    Words are cut, held and judged by the text alone, so the outcome does not depend on how the
    text was split into tokens.
    """

    def __init__(self, output_filter: OutputFilter) -> None:
        self._filter = output_filter
        # Of a `HoldingFilter`; asking the protocol itself is slow.
        self._hold: Callable[[str], int] | None = getattr(output_filter, "hold", None)
        self._open_word = ""
        self._held = ""
        self._context = ""
        self.objections = 0

    def feed(self, text: str) -> str:
        """The text that can be shown after `text` has come."""
        self._open_word += text
        shown = ""
        while match := _WORD.match(self._open_word):
            self._open_word = self._open_word[match.end() :]
            shown += self._take_word(match.group())
        return shown

    def finish(self) -> str:
        """What was held, as far as the filter lets it through."""
        rest, self._held, self._open_word = self._held + self._open_word, "", ""
        return self._judge(rest)

    def _take_word(self, word: str) -> str:
        self._held += word
        keep = self._hold(self._held) if self._hold else 0
        if keep > _LONGEST_HOLD:
            keep = 0
        ready = self._held[: max(0, len(self._held) - keep)]
        self._held = self._held[len(ready) :]
        return self._judge(ready)

    def _judge(self, text: str) -> str:
        if not text:
            return ""
        if not self._context:
            text = text.lstrip()
        allowed = self._allowed(text)
        if allowed != text:
            self.objections += 1
        context = (self._context + allowed).lstrip()
        if len(context) > _CONTEXT_CHARS:
            # Begin at a word: half of one might look like something blocked.
            context = context[-_CONTEXT_CHARS:]
            context = context[context.find(" ") + 1 :]
        self._context = context
        return allowed

    def _allowed(self, text: str) -> str:
        whole = self._context + text
        verdict = self._filter(whole)
        if verdict == whole:
            return text
        if verdict is not None and verdict.startswith(self._context):
            return verdict[len(self._context) :]
        if self._context and self._filter(self._context) != self._context:
            # What is on the screen already is objected to: judge the new text by itself.
            return self._filter(text) or ""
        return ""
