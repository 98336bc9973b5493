"""The first filters: what is not answered and what is not said.

Owns the quick judgement of one text: blocked words under disguise, spam, links. Does not own the
platform's own moderation, nor how words are recognised (`blocklist`).
"""

import re
from collections.abc import Iterable

import msgspec

from understudy.safety.blocklist import (
    BEGINS,
    ENDS,
    GOES_ON,
    LONGEST_PHRASE,
    OPENS,
    PAIR,
    WHOLE,
    Blocklist,
)
from understudy.safety.patterns import hinted, hints
from understudy.safety.pii import Redactor

SEVERE = (
    "avttre avttref avttn avttnm snttbg snt xvxr tbbx jrgonpx genaal fpujhpugry arter xnanxr "
    "enturnq gbjryurnq cnxv ergneq"
)
"""Slurs that no stream wants, in ROT13 so that nobody has to read them."""

SELF_HARM = (
    "xlf|xvyy lbhefrys|xvyy hefrys|xvyy lb frys|xvyy lbhe frys|unat lbhefrys|arpx lbhefrys|"
    "raq lbhe yvsr|raq hefrys|fyvg lbhe jevfgf|qevax oyrnpu|oevat qvpu hz|uäat qvpu nhs"
)
"""Calls to self-harm, in ROT13."""

MASK = "***"
"""What is said in place of a word the streamer blocked."""

LONG_MESSAGE = 20
"""Characters from which on a message is long enough to be spam by its make-up."""

_ANYTHING = -1
_KNOWN_WORDS = 20_000
_LONGEST_WORD = 32
_SYMBOL_SHARE = 0.8
_REPEATS = re.compile(r"(.)\1{24}", re.DOTALL)
_SYMBOL = re.compile(r"[^\w\s]|_")
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_ZALGO = re.compile(rf"[{_MARKS}]{{4,}}|(?:.[{_MARKS}]{{2,}}){{4,}}", re.DOTALL)
_LINK = re.compile(
    r"https?://|www\.|(?<![\w.@-])[a-z0-9-]{2,63}(?:\.[a-z0-9-]{2,63})*\.(?:com|net|org|tv|gg|io|me"
    r"|co|de|uk|ru|xyz|link|shop|info|live|app|ly|be)(?![\w.-]*\w)",
    re.IGNORECASE,
)
_WORDS_AND_SPACE = bytes(
    code for code in range(128) if chr(code).isalnum() or chr(code).isspace() or code == 0x5F
)
_NUMBER_AT_END = re.compile(r"(?<!\w)[+(]{0,2}\d[\d ().+/-]{0,48}\Z")


class Verdict(msgspec.Struct, frozen=True):
    """Whether a text may pass; if not, a stable code of the rule and one sentence."""

    allowed: bool
    rule: str = ""
    detail: str = ""


_ALLOWED = Verdict(True)
_WORD = Verdict(False, "blocked_word", "It contains a blocked word.")
_HARM = Verdict(False, "self_harm", "It calls for self-harm.")
_REPEATED = Verdict(False, "repetition", "It is one character over and over.")
_SYMBOLS = Verdict(False, "symbols", "It consists almost only of symbols.")
_STACKED = Verdict(False, "zalgo", "It stacks marks on letters until they cannot be read.")
_LINKED = Verdict(False, "link", "It contains a link.")


class InputFilter:
    """Keeps messages out that the co-host should not even see. Safe to share between tasks."""

    def __init__(self, blocked_words: Iterable[str] = (), *, allow_links: bool = True) -> None:
        """`blocked_words` come on top of the built-in ones; links are blocked on request."""
        self._harm = Blocklist(_decoded(SELF_HARM, "|"))
        self._words = Blocklist([*_decoded(SEVERE), *_decoded(SELF_HARM, "|"), *blocked_words])
        self._allow_links = allow_links

    def check(self, text: str) -> Verdict:
        """The verdict on `text`, which should have been through `safety.text.clean`."""
        if self._words.search(text):
            return _HARM if self._harm.search(text) else _WORD
        if len(text) > LONG_MESSAGE:
            spam = _spam(text)
            if spam is not None:
                return spam
        if not self._allow_links and "." in text and _LINK.search(text):
            return _LINKED
        return _ALLOWED


class OutputFilter:
    """Keeps the co-host from saying what it must not: called with text about to be shown.

    Severe words withhold the text; words the streamer blocked are masked; e-mail addresses, keys,
    cards and the like become their placeholder. Give it whole words, and hold back what `hold`
    asks for, and nothing of a number or phrase is shown before it can be judged.
    """

    def __init__(self, blocked_words: Iterable[str] = ()) -> None:
        """`blocked_words` are masked, beside the built-in ones that withhold."""
        severe = [*_decoded(SEVERE), *_decoded(SELF_HARM, "|")]
        masked = list(blocked_words)
        self._severe = Blocklist(severe)
        self._masked = Blocklist(masked)
        self._either = Blocklist([*severe, *masked])
        self._secrets = Redactor()
        self._traits: dict[str, int] = {}

    def __call__(self, text: str, /) -> str | None:
        """What to show in place of `text`: the same, a masked form, or None for nothing."""
        traits = self._look(text)
        if traits & WHOLE and self._either.may_match(text):
            if self._severe.search(text):
                return None
            masked = self._masked.mask(text, MASK)
            if masked != text:
                return self._secrets.redact(masked).text
        return self._secrets.redact(text).text if hinted(text, traits) else text

    def hold(self, text: str, /) -> int:
        """How many characters at the end of `text` may begin something blocked; 0 for none."""
        number = _NUMBER_AT_END.search(text) if text and text[-1] in "0123456789 ().+/-" else None
        held = len(text) - number.start() if number else 0
        if not self._look(text[-LONGEST_PHRASE:]) & (WHOLE | OPENS):
            return held
        return max(held, self._severe.unfinished(text), self._masked.unfinished(text))

    def _look(self, text: str) -> int:
        """The traits and hints of all words in `text`; `WHOLE` if together they may be blocked.

        Called for every word of every reply, mostly with words it has met before: what is costly
        is done once per word, and the filters proper see only text that may concern them.
        """
        known = self._traits
        found = before = chain = 0
        for word in text.split():
            traits = known.get(word)
            if traits is None:
                traits = self._learn(word)
            found |= traits
            if before & OPENS and traits & GOES_ON:
                found |= WHOLE
            if before & ENDS and traits & BEGINS:
                chain += 1
                if chain > 1 or (before | traits) & PAIR:
                    found |= WHOLE
            else:
                chain = 0
            before = traits
        return found

    def _learn(self, word: str) -> int:
        if len(word) > _LONGEST_WORD:
            return _ANYTHING
        traits = self._either.traits(word) | hints(word)
        if len(self._traits) >= _KNOWN_WORDS:
            self._traits.clear()
        self._traits[word] = traits
        return traits


def _spam(text: str) -> Verdict | None:
    if _REPEATS.search(text):
        return _REPEATED
    if text.isascii():
        symbols = len(text.encode().translate(None, _WORDS_AND_SPACE))
    else:
        if _ZALGO.search(text):
            return _STACKED
        symbols = len(_SYMBOL.findall(text))
    if symbols > _SYMBOL_SHARE * len(text):
        return _SYMBOLS
    return None


_ROT13 = str.maketrans(
    "abcdefghijklmnopqrstuvwxyz",
    "nopqrstuvwxyzabcdefghijklm",
)


def _decoded(words: str, separator: str | None = None) -> list[str]:
    return words.translate(_ROT13).split(separator)
