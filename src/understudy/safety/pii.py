"""Redaction: personal data and secrets become placeholders, known chatters become pseudonyms.

Owns the order of the two and the promise that redacted text needs no second pass. Does not own
what personal data looks like (`patterns`) nor who is known (`roster`). Nothing is looked up
anywhere: redaction works offline.

The promise holds by construction. A placeholder or pseudonym is a wall: what lies between two
walls is searched by itself until nothing is found in it, and nothing is ever found across a wall.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from understudy.safety.patterns import DETECTORS, KINDS, Span, suspicious
from understudy.safety.roster import Roster

_WALL = re.compile(rf"\[(?:{'|'.join(KINDS)}|streamer)\]|(viewer_[0-9]+)")


class Finding(msgspec.Struct, frozen=True):
    """Something that was replaced: its kind and where it stood in the original text.

    Kinds are those of `patterns.KINDS`, and `name` for a known chatter.
    """

    kind: str
    start: int
    end: int


class Redacted(msgspec.Struct, frozen=True):
    """Text without personal data, and what was taken out, in order."""

    text: str
    findings: list[Finding]


class _Replacement(msgspec.Struct, frozen=True):
    kind: str
    start: int
    end: int
    by: str


class Redactor:
    """Replaces e-mail addresses, numbers, keys, … by `[kind]` and chatters by `viewer_<n>`.

    Pseudonyms are given out by one redactor in order of first appearance (see `roster`): use one
    for all texts that belong together. Not to be used from two threads at once.
    """

    def __init__(self, roster: Iterable[tuple[str, str]] = (), *, keep: Iterable[str] = ()) -> None:
        """`roster` holds (login, display name); names in `keep` stay as they are."""
        self.roster = Roster(roster, keep)

    def redact(self, text: str, *, streamer: str = "") -> Redacted:
        """`text` without personal data; the login `streamer` becomes `[streamer]`."""
        if not suspicious(text) and not self.roster.may_find(text):
            return Redacted(text, [])
        findings: list[Finding] = []
        parts: list[str] = []
        done = 0
        for change in sorted(self._changes(text, 0, streamer), key=_start):
            parts += text[done : change.start], change.by
            done = change.end
            findings.append(Finding(change.kind, change.start, change.end))
            if change.kind == "name" and text[done : done + 1] in _DIGITS:
                parts.append(" ")
        parts.append(text[done:])
        return Redacted("".join(parts), findings)

    def _changes(self, text: str, offset: int, streamer: str) -> Iterator[_Replacement]:
        """What to replace in `text`, which begins at `offset`, walls and all."""
        done = 0
        for wall in _WALL.finditer(text):
            yield from self._between(text[done : wall.start()], offset + done, streamer)
            done = wall.end()
            if wall[1] and self.roster.knows(wall[1]):
                by = self.roster.pseudonym(wall[1], streamer)
                yield _Replacement("name", offset + wall.start(), offset + done, by)
        yield from self._between(text[done:], offset + done, streamer)

    def _between(self, text: str, offset: int, streamer: str) -> Iterator[_Replacement]:
        """What to replace in text without walls: patterns first, names in what they leave."""
        if not text:
            return
        found = _detect(text) or [
            _Replacement("name", hit.start, hit.end, hit.pseudonym)
            for hit in self.roster.find(text, streamer)
        ]
        done = 0
        for change in found:
            yield from self._between(text[done : change.start], offset + done, streamer)
            yield _Replacement(change.kind, offset + change.start, offset + change.end, change.by)
            done = change.end
        if found:
            yield from self._between(text[done:], offset + done, streamer)


_DIGITS = frozenset("0123456789")


def _detect(text: str) -> list[_Replacement]:
    """What the patterns find, in order and without overlap; earlier detectors win."""
    if not suspicious(text):
        return []
    taken: list[tuple[Span, str]] = []
    for kind, detect in DETECTORS:
        for start, end in detect(text):
            if all(end <= other[0] or start >= other[1] for other, _ in taken):
                taken.append(((start, end), kind))
    return [_Replacement(kind, start, end, f"[{kind}]") for (start, end), kind in sorted(taken)]


def _start(change: _Replacement) -> int:
    return change.start
