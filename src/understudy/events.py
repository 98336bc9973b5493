"""The vocabulary of everything that flows through Understudy, and its one JSON codec.

Owns the event types and their wire form. Does not own how events travel (`bus`) or where they
are kept (`storage`).

Every event carries an `id`, a `channel` and a time, so that a whole stream can be recorded and
rehearsed again. Times are integer milliseconds since the Unix epoch, UTC: exact, sortable, and
the unit Twitch itself sends (`tmi-sent-ts`).
"""

import secrets
import time
from datetime import UTC, datetime
from typing import Literal

import msgspec

Role = Literal["streamer", "moderator", "vip", "subscriber", "viewer"]
"""Standing of a chatter in the channel, highest first."""

TurnStatus = Literal["complete", "stopped", "replaced", "abandoned", "failed"]
"""How a reply ended: whole, stopped on request, cut by a newer turn of the same session, cut
because its last reader left, or broken off by an error. All but `complete` count as interrupted."""

MoodLabel = Literal["negative", "neutral", "positive"]
"""What a message, or a chat as a whole, sounds like."""

DecisionAction = Literal["answered", "skipped", "blocked"]
"""The fate of a message: it got a reply, it did not, or it was kept out by the input filter."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """What every event has: an id unique in its channel, the channel, and a time in ms UTC."""

    id: str
    channel: str
    ts: int


class ChatMessage(Event, frozen=True, kw_only=True, tag="chat"):
    """One message of a viewer, a moderator or the streamer in a stream's chat.

    `user` is the login (lower case, stable), `name` the display name, `reply_to` the id of the
    message this one replies to, `reply_to_user` its author's login, `tags` the platform's own
    extras. `first` marks a first-time chatter, `blocked` a message that the input filter keeps out
    and that is not shown on stream.
    """

    user: str
    text: str
    name: str = ""
    platform: str = "twitch"
    role: Role = "viewer"
    reply_to: str = ""
    reply_to_user: str = ""
    first: bool = False
    blocked: bool = False
    tags: dict[str, str] = {}

    @property
    def display_name(self) -> str:
        """The name to show and to address the viewer by."""
        return self.name or self.user


class StreamEvent(Event, frozen=True, kw_only=True, tag="stream_event"):
    """Something that happened on the stream: a sub, a gift, a raid, a cheer, a follow.

    `amount` is the event's own number: months of a sub, gifts, raiders, bits.
    """

    kind: Literal["sub", "resub", "gift", "raid", "cheer", "follow", "other"]
    user: str
    name: str = ""
    platform: str = "twitch"
    amount: int = 0
    text: str = ""
    tags: dict[str, str] = {}

    @property
    def display_name(self) -> str:
        """The name to show and to address the viewer by."""
        return self.name or self.user


class Moderation(Event, frozen=True, kw_only=True, tag="moderation"):
    """A moderator's act: one message deleted, a user timed out or banned, or the chat cleared."""

    kind: Literal["delete", "timeout", "ban", "clear"]
    message_id: str = ""
    user: str = ""


class Decision(Event, frozen=True, kw_only=True, tag="decision"):
    """What the director made of one message, and why.

    `reason` is a stable code such as `mention` or `cooldown`; `detail` says it in one sentence.
    `message_id`, `message_ts` and `user` name the message and its author, `turn` the turn that
    answers it.
    """

    message_id: str
    message_ts: int
    user: str
    action: DecisionAction
    reason: str
    detail: str = ""
    score: float = 0.0
    turn: str = ""


class TurnStarted(Event, frozen=True, kw_only=True, tag="turn_started"):
    """The co-host begins to answer `text` of `user`; `turn` names the run of its reply."""

    turn: str
    session: str
    persona: str
    model: str
    user: str
    text: str
    message_id: str = ""


class ReplyToken(Event, frozen=True, kw_only=True, tag="token"):
    """The next piece of a reply, already filtered and free of emotion tags."""

    turn: str
    seq: int
    text: str


class Emotion(Event, frozen=True, kw_only=True, tag="emotion"):
    """A feeling the reply asked for by a tag such as `[happy:0.6]`; intensity 0 to 1."""

    turn: str
    name: str
    intensity: float = 1.0


class Reply(Event, frozen=True, kw_only=True, tag="reply"):
    """A reply that has ended. `text` is what was shown; `in_reply_to` the message it answers.

    `first_token_ms` and `total_ms` are measured from the start of the turn; `first_token_ms` is
    None when nothing was said.
    """

    turn: str
    session: str
    user: str
    text: str
    status: TurnStatus
    model: str
    persona: str
    in_reply_to: str = ""
    first_token_ms: int | None = None
    total_ms: int = 0
    error: str = ""


class MoodReading(Event, frozen=True, kw_only=True, tag="mood"):
    """The mood of a chat: `value` from -1 (negative) to 1, and its `label`, which changes late.

    `intensity` from 0 to 1 tells how much is going on, `message` is the score of the newest message
    that counted, -1 to 1, and `count` says how many messages the reading rests on.
    """

    value: float
    label: MoodLabel
    intensity: float = 0.0
    message: float = 0.0
    count: int = 0


AnyEvent = (
    ChatMessage
    | StreamEvent
    | Moderation
    | Decision
    | TurnStarted
    | ReplyToken
    | Emotion
    | Reply
    | MoodReading
)
"""The union of all events, as the codec decodes it."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """The event as one JSON object with its `type` first."""
    return _encoder.encode(event)


def decode(data: bytes | str) -> AnyEvent:
    """The event in `data`; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _decoder.decode(data)


def now_ms() -> int:
    """Wall-clock time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id(prefix: str = "") -> str:
    """A fresh id: `prefix`, 48 bits of time, 40 random bits; ids sort by time."""
    return f"{prefix}{now_ms():012x}{secrets.token_hex(5)}"


def format_ts(ts: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, e.g. `2026-11-21T18:00:00.250Z`."""
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ts % 1000:03d}Z"
