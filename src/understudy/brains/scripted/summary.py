"""Extractive summaries: the sentences of a conversation that are most about what it is about.

Owns choosing sentences; it never writes any. After "SumBasic" (Nenkova and Vanderwende, 2005):
a sentence scores by how frequent its words are, and words already covered count less.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from understudy.brains.base import BrainMessage

LONGEST = 160
"""Longest sentence, in characters, before it is cut short."""

_SENTENCE = re.compile(r"[^.!?…\n]+[.!?…]*")
_WORD = re.compile(r"[^\W\d_]{3,}")
_TAG = re.compile(r"\[[^\[\]]*\]")
_REQUEST = re.compile(r"\s*/|\s*(please )?(summari[sz]e|sum up)\b", re.I)
_PLAIN_WORDS = """
    the and for are but not you your all any can had has have her him his how its let may our out
    she that than them then there these they this those too use was way were what when where which
    who whom why will with would yes yet just very also about after again because been before being
    both did does doing down each few from further get got here into more most much only other over
    same should some such through under until while don doesn isn wasn aren won
"""
_PLAIN = frozenset(_PLAIN_WORDS.split())


def summarize(messages: Sequence[BrainMessage], limit: int = 3) -> str:
    """One short paragraph: how long the conversation is and its most central sentences."""
    spoken = [m for m in messages if m.role != "system" and not _is_request(m)]
    if not spoken:
        return "Nothing has been said yet, so there is nothing to sum up."
    by_viewers = [m.content for m in spoken if m.role == "user"]
    points = key_sentences(by_viewers, limit) or key_sentences([m.content for m in spoken], limit)
    count = "1 message" if len(spoken) == 1 else f"{len(spoken)} messages"
    if not points:
        return f"So far {count}, short ones without a clear subject."
    quoted = " ".join(f"“{point}”" for point in points)
    return f"So far {count}. In their own words: {quoted}"


def key_sentences(texts: Iterable[str], limit: int) -> list[str]:
    """Up to `limit` central sentences of `texts`, in the order in which they were said."""
    sentences = [sentence for text in texts for sentence in _sentences(text)]
    words = [frozenset(_content_words(sentence)) for sentence in sentences]
    counts = Counter(word for sentence in words for word in sentence)
    weights = {word: float(count) for word, count in counts.items()}
    left: list[int] = [index for index, found in enumerate(words) if found]
    chosen: list[int] = []
    while left and len(chosen) < limit:
        best = max(left, key=lambda index: (_score(words[index], weights), -index))
        chosen.append(best)
        left = [index for index in left if index != best and words[index] != words[best]]
        for word in words[best]:
            weights[word] *= 0.25
    return [_shorten(sentences[index]) for index in sorted(chosen)]


def _is_request(message: BrainMessage) -> bool:
    return message.role == "user" and _REQUEST.match(message.content) is not None


def _sentences(text: str) -> list[str]:
    found = _SENTENCE.findall(_TAG.sub(" ", text))
    return [sentence for part in found if (sentence := " ".join(part.split()))]


def _content_words(sentence: str) -> list[str]:
    return [word for word in _WORD.findall(sentence.lower()) if word not in _PLAIN]


def _score(words: frozenset[str], weights: dict[str, float]) -> float:
    # The root keeps long sentences from winning by length and short ones by having one word.
    return sum(sorted(weights[word] for word in words)) / len(words) ** 0.5


def _shorten(sentence: str) -> str:
    if len(sentence) <= LONGEST:
        return sentence
    return sentence[:LONGEST].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
