"""What may be answered, and what each message is worth.

Owns the codes of the director's reasons, candidates and outcomes, and the points of a single
message. Does not own what depends on others: crowds (`crowd`), shares (`fairness`), the choice
(`director`).
"""

import math
import zlib
from typing import Literal

import msgspec

from understudy.config import DirectorSettings
from understudy.engine.addressing import Addressing, AddressReader, from_another_room
from understudy.engine.crowd import Crowd
from understudy.events import ChatMessage, DecisionAction, Moderation, StreamEvent

AnswerReason = Literal[
    "mention",
    "reply_to_cohost",
    "question",
    "quiet_chat",
    "stream_event",
    "quiet_ask",
    "quiet_continue",
]
"""Why something is answered."""

SkipReason = Literal[
    "own_message",
    "bot",
    "command",
    "muted",
    "not_addressed",
    "addressed_to_other",
    "no_template",
    "crowd",
    "cooldown",
    "superseded",
    "outranked",
    "expired",
    "fair_share",
    "deleted",
    "silent_control",
    "unavailable",
    "stream_ended",
]
"""Why something is not answered; beside these there are the rules of the input filter."""

Lane = Literal["streamer", "favoured", "ordinary"]
"""Who shares replies with whom: the streamer with nobody, those with a badge, bits or an event
with each other, and all other viewers."""

UNADDRESSED = frozenset({"question", "quiet_chat"})
"""Reasons to answer what was said to nobody in particular."""

StreamSource = ChatMessage | StreamEvent


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A message or stream event that waits for an answer, from `since` to before `until` (ms).

    `points` are those of the message itself. `crowd` is who else says the same, `cue` what the
    model is told beside the message. A `control` is left unanswered when its turn has come.
    """

    source: StreamSource
    reason: AnswerReason
    detail: str
    points: float
    since: int
    until: int
    lane: Lane
    crowd: Crowd | None = None
    control: bool = False
    cue: str = ""

    @property
    def score(self) -> float:
        """The points of the message and of its crowd."""
        return self.points + (self.crowd.points if self.crowd else 0.0)


class Outcome(msgspec.Struct, frozen=True):
    """The final word on one message; becomes a `Decision` event."""

    source: StreamSource
    action: DecisionAction
    reason: str
    detail: str
    score: float = 0.0


class Ground(msgspec.Struct, frozen=True):
    """Why a message may be answered, and its points for that."""

    reason: AnswerReason
    detail: str
    points: float


class Appraiser:
    """Judges single messages of one channel by the settings."""

    def __init__(self, settings: DirectorSettings, reader: AddressReader) -> None:
        self._settings = settings
        self._reader = reader
        self._bots = {bot.casefold() for bot in settings.bots}

    def refusal(self, message: ChatMessage) -> tuple[SkipReason, str] | None:
        """Why a message is no talk at all; None for talk."""
        if self._reader.is_cohost(message.user):
            return "own_message", "It is the co-host's own message."
        if message.user.casefold() in self._bots:
            return "bot", f"{message.user} is a bot."
        prefix = self._settings.command_prefix or "/"
        if message.text.startswith((prefix, "/")):
            return "command", "It is a command, not talk."
        return None

    def ground(self, message: ChatMessage, reading: Addressing, quiet: bool) -> Ground | None:
        """The reason to answer a message; None when there is none."""
        settings = self._settings
        if reading.to_cohost:
            question = settings.weight_question / 2 if reading.question else 0.0
            if self._reader.is_cohost(message.reply_to_user):
                points = settings.weight_reply + question
                return Ground("reply_to_cohost", "It replies to the co-host.", points)
            points = settings.weight_mention + question
            return Ground("mention", "It speaks to the co-host.", points)
        if reading.to_other:
            return None
        if reading.question:
            return Ground("question", "It asks the room a question.", settings.weight_question)
        if quiet and any(character.isalnum() for character in message.text):
            detail = "The chat was quiet, so small talk is welcome."
            return Ground("quiet_chat", detail, settings.weight_small_talk)
        return None

    def bonus(self, message: ChatMessage, relevance: float) -> float:
        """Points for who wrote a message, where, and for its `relevance` from 0 to 1."""
        settings = self._settings
        points = settings.weight_relevance * relevance
        if message.first:
            points += settings.weight_first
        if from_another_room(message):
            return points - settings.penalty_shared
        if message.role != "viewer":
            points += settings.weight_badge
        bits = _bits(message)
        return points + (settings.weight_bits * math.log10(bits) if bits else 0.0)

    def is_control(self, message: ChatMessage) -> bool:
        """Whether a message is drawn to be left unanswered: by its id, so the same every time."""
        share = self._settings.silent_control
        if not share or lane_of(message) == "streamer":
            return False
        return zlib.crc32(message.id.encode("utf-8", "replace")) < share * 2**32


def lane_of(message: ChatMessage) -> Lane:
    """The lane a message waits in; badges of another room do not count here."""
    if from_another_room(message):
        return "ordinary"
    if message.role == "streamer":
        return "streamer"
    return "favoured" if message.role != "viewer" or _bits(message) else "ordinary"


def why_not(reading: Addressing) -> tuple[SkipReason, str]:
    """Why a message without a ground is not answered."""
    if reading.to_other:
        return "addressed_to_other", "It speaks to somebody else."
    return "not_addressed", "It neither speaks to the co-host nor asks anything."


def removes(act: Moderation, source: StreamSource) -> bool:
    """Whether a moderator's act takes `source` out of the chat."""
    if act.kind == "delete":
        return source.id == act.message_id
    if act.kind == "clear":
        return isinstance(source, ChatMessage)
    return bool(act.user) and source.user.casefold() == act.user.casefold()


def _bits(message: ChatMessage) -> int:
    bits = message.tags.get("bits", "")
    return int(bits) if bits.isascii() and bits.isdigit() and len(bits) < 10 else 0
