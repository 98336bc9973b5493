"""Which exchanges are fit to be learned from, and why the others are not.

Owns the rules and the names of their reasons. Does not own what is known of an exchange
(`storage.evidence`), redaction (`redacted`), duplicates (`splits`) nor how much one viewer may
count (`viewer_share`).
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from understudy.learning.judgements import Judgement
from understudy.learning.redacted import names_in
from understudy.safety.moderation import InputFilter
from understudy.storage.evidence import ATTACK_WINDOW_MS, Busy, Tombstone, viewer_hash
from understudy.storage.examples import ExampleRow
from understudy.storage.experiences import RatedExperience

ATTACK_ACTS = 8
"""Acts against people within ten minutes from which on a channel may be under attack …"""
ATTACK_SHARE = 0.05
"""… if they are also this share of the messages: a big, quick chat always has some."""

_WORD = re.compile(r"\w+")


class CurationRules(msgspec.Struct, frozen=True):
    """What of the settings decides: logins of bots, the co-host's names, prefix, blocked words."""

    bots: tuple[str, ...] = ()
    cohost: tuple[str, ...] = ()
    command_prefix: str = "!"
    blocked_words: tuple[str, ...] = ()


class Surroundings(msgspec.Struct, frozen=True):
    """What is known beside the exchanges: moderators' acts, erased viewers, what did harm.

    `silenced` is the last time (ms) each (channel, login) was timed out or banned, `attacks` are
    (channel, number of ten minutes since the epoch), `logins` leads from a display name, case
    folded, to the login. `harmful` are the ids of experiences that made a version worse.
    """

    silenced: Mapping[tuple[str, str], int] = {}
    attacks: frozenset[tuple[str, int]] = frozenset()
    tombstones: frozenset[Tombstone] = frozenset()
    logins: Mapping[str, str] = {}
    harmful: frozenset[str] = frozenset()


def attacks_among(busy: Iterable[Busy]) -> frozenset[tuple[str, int]]:
    """The (channel, ten minutes) that were under attack, with the ten minutes to each side.

    An attack begins before moderators act, and what it said is still in sight after them.
    """
    return frozenset(
        (slot.channel, slot.window + near)
        for slot in busy
        if slot.acts >= ATTACK_ACTS and slot.acts >= ATTACK_SHARE * slot.messages
        for near in (-1, 0, 1)
    )


class Curator:
    """Says of each exchange whether it is fit to be learned from.

    Some reasons stand whatever a person says: erased viewers, marks of danger, a person's own
    rejection. All others give way when the example was approved.
    """

    def __init__(self, rules: CurationRules, surroundings: Surroundings) -> None:
        self._bots = {name.casefold() for name in rules.bots}
        self._cohost = {name.casefold() for name in rules.cohost}
        self._prefix = rules.command_prefix
        self._filter = InputFilter(rules.blocked_words)
        self._around = surroundings

    def unfit(
        self,
        row: RatedExperience,
        judgement: Judgement,
        known: ExampleRow | None = None,
        *,
        deleted: bool = False,
    ) -> str:
        """Why nothing may be learned from `row`; empty when something may.

        `deleted` says that moderators removed the message it answers.
        """
        state = known.state if known else "auto"
        if state in {"rejected", "tombstoned"}:
            return state
        if self._is_erased(row):
            return "erased"
        if judgement.blocked:
            return "marked_unsafe"
        if state == "approved":
            return ""
        return self._doubtful(row, judgement, deleted)

    def _doubtful(self, row: RatedExperience, judgement: Judgement, deleted: bool) -> str:
        user = row.user.casefold()
        prompt = row.prompt_text.strip()
        reply = judgement.correction or row.response
        if row.id in self._around.harmful:
            return "harmful_dataset"
        if user in self._bots:
            return "bot"
        if user in self._cohost or (prompt and _words(reply) == _words(prompt)):
            return "echo"
        if prompt.startswith("/") or (self._prefix and prompt.startswith(self._prefix)):
            return "command"
        if deleted or row.ts <= self._around.silenced.get((row.channel, user), -1):
            return "removed"
        if "raid" in row.events.split(","):
            return "raid"
        if (row.channel, row.ts // ATTACK_WINDOW_MS) in self._around.attacks:
            return "attack"
        if not (self._filter.check(prompt).allowed and self._filter.check(reply).allowed):
            return "blocked"
        return ""

    def _is_erased(self, row: RatedExperience) -> bool:
        """Whether somebody who was forgotten asked, or speaks in what the model was given."""
        around = self._around
        if not around.tombstones:
            return False
        names = {row.user.casefold(), *(name.casefold() for name in names_in(row))}
        names |= {around.logins[name] for name in names if name in around.logins}
        return any(
            Tombstone(viewer_hash(name), place) in around.tombstones
            for name in names
            for place in ("", row.channel)
        )


def unteachable(row: RatedExperience, judgement: Judgement) -> str:
    """Why the reply of `row` is no example of a good one; empty when it is.

    A corrected reply always is. A disliked one can still show what not to say.
    """
    if judgement.correction:
        return ""
    if row.status != "complete":
        return "incomplete"
    if not row.response.strip():
        return "empty"
    return "disliked" if judgement.rating < 0 else ""


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
