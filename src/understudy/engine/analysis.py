"""Reads what a model says about a text: its sentiment and key points.

Owns making sense of the answer, JSON or prose. Does not own how the model is asked (`commands`).
"""

import re

import msgspec

from understudy.engine.sentences import SentenceCutter

MAX_KEY_POINTS = 5
_SENTIMENTS = ("positive", "negative", "mixed", "neutral")
_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\d{1,2}[.)])\s+(.+)$", re.MULTILINE)


class _Analysis(msgspec.Struct):
    sentiment: str
    key_points: list[str]


def read_analysis(answer: str) -> tuple[str, list[str]]:
    """Sentiment and key points from a model's answer: JSON, else whatever prose says of them.

    The sentiment is always `positive`, `negative`, `neutral` or `mixed`.
    """
    start, end = answer.find("{"), answer.rfind("}")
    try:
        analysis = msgspec.json.decode(answer[max(0, start) : end + 1], type=_Analysis)
    except msgspec.DecodeError:
        points = _BULLET.findall(answer) or _sentences(answer)
        return _sentiment_in(answer), points[:MAX_KEY_POINTS]
    return _sentiment_in(analysis.sentiment), analysis.key_points[:MAX_KEY_POINTS]


def _sentiment_in(text: str) -> str:
    """The sentiment that is named first in `text`; `neutral` if none is."""
    found = re.search("|".join(_SENTIMENTS), text.lower())
    return found.group() if found else "neutral"


def _sentences(text: str) -> list[str]:
    cutter = SentenceCutter(first_clause=None)
    return cutter.feed(text) + cutter.finish()
