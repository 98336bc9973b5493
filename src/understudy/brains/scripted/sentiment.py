"""Whether a text sounds positive, negative or neither, by a small lexicon.

Owns the words and the rule for negation. It is meant for `/analyze` without a model; the mood of
a whole chat is another subject.
"""

import re
from typing import Literal

import msgspec

from understudy.brains.scripted.summary import key_sentences

Sentiment = Literal["positive", "neutral", "negative"]

_POSITIVE_WORDS = """
    amazing awesome beautiful best better brilliant calm cheerful clean clear comfortable cool cozy
    cute delightful easy elegant enjoy enjoyed enjoying enjoys excellent excited exciting fair
    fantastic fast favorite favourite fine friendly fun funny glad good gorgeous great happy helpful
    helped hilarious hope hyped impressed impressive incredible kind like liked likes love loved
    lovely loves loving lucky nice peaceful perfect pleasant pleased pog poggers pretty proud
    recommend relaxed reliable safe satisfied smart smooth solid success sweet thank thanks
    useful welcome well win wins won wonderful wow worth yay yummy
"""
_NEGATIVE_WORDS = """
    afraid angry annoyed annoying anxious ashamed awful bad bored boring broken bug buggy bugs
    complain confused confusing crash crashed crashes crashing cringe crying cruel damaged dangerous
    dead depressed depressing dirty disappointed disappointing disappoints disaster disgusting
    dislike dumb error errors expensive fail failed failing fails fault fear frustrated frustrating
    garbage gross hate hated hates horrible hurt hurts lag laggy lagging lie lied lonely lose loses
    losing lost mad mean mess miserable miss nasty nervous noisy pain painful pathetic poor problem
    problems regret rude ruined sad sadge scam scared scary sick slow sorry stressed stuck stupid
    suck sucks terrible tired toxic trash ugly unfair unhappy upset useless waste weak weird worried
    worse worst wrong
"""
_NEGATION_WORDS = (
    "not no never none hardly barely without isn't wasn't aren't don't doesn't didn't won't can't "
    "cannot couldn't wouldn't shouldn't ain't isnt wasnt dont doesnt didnt wont cant"
)
_STRONG_WORDS = "very really so extremely totally absolutely super incredibly such"
_POSITIVE = frozenset(_POSITIVE_WORDS.split())
_NEGATIVE = frozenset(_NEGATIVE_WORDS.split())
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_STRONG = frozenset(_STRONG_WORDS.split())
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|[.!?;,]")
_GLYPHS = re.compile(
    r"(<3|♥|❤|😀|😃|😄|😊|😍|🥰|👍|🎉|:\)|:-\)|:D)|(?:😞|😢|😭|😡|👎|💔|:\(|:-\(|:'\()"
)
_REACH = 3
"""Words after a negation that it turns around."""


class Analysis(msgspec.Struct, frozen=True):
    """The result of `/analyze`."""

    sentiment: Sentiment
    key_points: list[str]


def analyze(text: str) -> Analysis:
    """The sentiment of `text` and its up to three most central sentences."""
    return Analysis(sentiment=sentiment(text), key_points=key_sentences([text], limit=3))


def sentiment(text: str) -> Sentiment:
    """Whether the feelings named in `text` are positive or negative on the whole."""
    total = score(text)
    if abs(total) < 0.5:
        return "neutral"
    return "positive" if total > 0 else "negative"


def score(text: str) -> float:
    """Positive words minus negative ones; negation turns one around, `very` adds half."""
    total = sum(1.0 if good else -1.0 for good in _GLYPHS.findall(text))
    negated, weight = 0, 1.0
    for word in _WORD.findall(text.lower().replace("\u2019", "'")):
        if word in ".!?;,":
            negated = 0
        elif word in _NEGATIONS:
            negated = _REACH
        elif word in _STRONG:
            weight = 1.5
        else:
            value = float(word in _POSITIVE) - float(word in _NEGATIVE)
            total += weight * (-0.8 * value if negated else value)
            negated, weight = max(0, negated - 1), 1.0
    return total
