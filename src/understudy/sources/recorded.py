"""What one recorded line may hold, and the event it becomes.

Owns the fields of a recorded line, the checks on them and the ids of messages recorded without
one. Does not own files and their formats: `recordings` and `twitch_downloader` do, and turn what
they read into `RecordedLine`s.
"""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Final, Literal, get_args

import msgspec

from understudy.events import ChatMessage, Moderation, Role, StreamEvent

StreamKind = Literal["sub", "resub", "gift", "raid", "cheer", "follow", "other"]
ModerationKind = Literal["delete", "timeout", "ban", "clear"]

TEXT_CHARS: Final = 4_000
"""Longest text of a message in characters."""

WORD_CHARS: Final = 200
"""Longest name, channel or id in characters."""

_MS_FROM: Final = 1e11
_MS_END: Final = 253_402_300_800_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BLANKS: Final = dict.fromkeys(map(ord, "\t\n\v\f\r\x85"), " ")
_CONTROLS: Final[dict[int, str | None]] = {
    **dict.fromkeys([*range(0x01, 0x20), *range(0x7F, 0xA0)]),
    **_BLANKS,
}
_ROLES: Final[frozenset[Role]] = frozenset(get_args(Role))
_STREAM_KINDS: Final[frozenset[StreamKind]] = frozenset(get_args(StreamKind))
_MODERATION_KINDS: Final[frozenset[ModerationKind]] = frozenset(get_args(ModerationKind))
_BADGE_ROLES: Final[tuple[tuple[str, Role], ...]] = (
    ("broadcaster", "streamer"),
    ("moderator", "moderator"),
    ("lead_moderator", "moderator"),
    ("vip", "vip"),
    ("subscriber", "subscriber"),
    ("founder", "subscriber"),
)


class BadLine(msgspec.Struct, frozen=True):
    """A line that could not be read: its number, counted from 1, and why."""

    number: int
    reason: str


RecordedEvent = ChatMessage | StreamEvent | Moderation
"""The events that a recording can hold."""

Recorded = RecordedEvent | BadLine
"""What reading a recording yields."""


class LineError(ValueError):
    """A recorded line does not make an event; the message says why in a few words."""


class RecordedLine(msgspec.Struct, kw_only=True, gc=False):
    """One line of a recording, checked for types only.

    `ts` is ISO 8601 with an offset, Unix seconds, or milliseconds when it is above 1e11. A line
    without `event` is a chat message.
    """

    ts: int | float | str
    channel: str = ""
    user: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    tags: dict[str, str] = {}
    event: str = ""
    amount: int = 0
    message_id: str = ""


class Reader:
    """Turns the lines of one recording into events; `channel` replaces the recorded one."""

    def __init__(self, channel: str = "") -> None:
        self._channel = _login(channel, "the channel")
        self._ids = StableIds()

    def event(self, line: RecordedLine) -> RecordedEvent:
        """The event that `line` records; raises `LineError`."""
        ts = parse_time(line.ts)
        channel = self._channel or _login(line.channel, "`channel`")
        if not channel:
            raise LineError("`channel` is missing")
        kind = line.event
        if not kind:
            return self._chat(line, ts, channel)
        if kind in _STREAM_KINDS:
            return self._stream_event(line, kind, ts, channel)
        if kind in _MODERATION_KINDS:
            return self._moderation(line, kind, ts, channel)
        raise LineError("`event` is none of the events known here")

    def _chat(self, line: RecordedLine, ts: int, channel: str) -> ChatMessage:
        user = _user(line)
        text = clean_text(line.text)
        if not text or text.isspace():
            raise LineError("`text` is missing or empty")
        tags = line.tags
        if not tags:
            message_id = _word(line.id, "`id`") or self._ids.of("chat", channel, ts, user, text)
            name = _name(line, "", user)
            return ChatMessage(
                id=message_id, channel=channel, ts=ts, user=user, text=text, name=name
            )
        take = tags.pop
        message_id = _word(take("id", "") or line.id, "the id")
        return ChatMessage(
            id=message_id or self._ids.of("chat", channel, ts, user, text),
            channel=channel,
            ts=ts,
            user=user,
            text=text,
            name=_name(line, take("display-name", ""), user),
            role=_role(take("role", ""), tags),
            reply_to=_word(take("reply-parent-msg-id", ""), "`reply-parent-msg-id`"),
            reply_to_user=_login(take("reply-parent-user-login", ""), "`reply-parent-user-login`"),
            first=take("first-msg", "") == "1",
            tags=_extras(tags),
        )

    def _stream_event(
        self, line: RecordedLine, kind: StreamKind, ts: int, channel: str
    ) -> StreamEvent:
        user = _user(line)
        text = clean_text(line.text)
        if not 0 <= line.amount < 2**53:
            raise LineError("`amount` is not a count")
        tags = line.tags
        event_id = _word(tags.pop("id", "") or line.id, "the id")
        return StreamEvent(
            id=event_id or self._ids.of(kind, channel, ts, user, text),
            channel=channel,
            ts=ts,
            kind=kind,
            user=user,
            name=_name(line, tags.pop("display-name", ""), user),
            amount=line.amount,
            text=text,
            tags=_extras(tags),
        )

    def _moderation(
        self, line: RecordedLine, kind: ModerationKind, ts: int, channel: str
    ) -> Moderation:
        user = _login(line.user, "`user`")
        target = _word(line.message_id, "`message_id`")
        if kind == "delete" and not target:
            raise LineError("`message_id` is missing: it names the message that was deleted")
        if kind in ("timeout", "ban") and not user:
            raise LineError("`user` is missing")
        event_id = _word(line.tags.get("id", "") or line.id, "the id")
        return Moderation(
            id=event_id or self._ids.of(kind, channel, ts, user, target),
            channel=channel,
            ts=ts,
            kind=kind,
            message_id=target,
            user=user,
        )


class StableIds:
    """Ids for events recorded without one: the same recording always gives the same ids.

    Equal events are told apart by their occurrence number. Memory is bounded: the last 65,536 to
    131,072 different events are remembered, far more than share one time.
    """

    def __init__(self, generation: int = 65_536) -> None:
        self._generation = generation
        self._newer: Counter[bytes] = Counter()
        self._older: Counter[bytes] = Counter()

    def of(self, kind: str, channel: str, ts: int, user: str, text: str) -> str:
        """An id of 32 hexadecimal digits derived from what the event says and when."""
        # No part can hold a NUL, so two different events never spell the same key.
        key = f"{kind}\0{channel}\0{ts}\0{user}\0{text}".encode()
        first = blake2b(key, digest_size=16)
        digest = first.digest()
        occurrence = self._newer[digest] or self._older[digest]
        self._newer[digest] = occurrence + 1
        if len(self._newer) >= self._generation:
            self._older, self._newer = self._newer, Counter()
        if not occurrence:
            return first.hexdigest()
        return blake2b(b"%b\0%d" % (key, occurrence), digest_size=16).hexdigest()


def parse_time(ts: int | float | str) -> int:
    """`ts` in milliseconds since the epoch; raises `LineError` when it is no time or has no zone.

    Numbers (also as strings) are Unix seconds up to 1e11 and milliseconds above.
    """
    if isinstance(ts, str):
        try:
            moment = datetime.fromisoformat(ts)
        except ValueError:
            return _from_number(_number(ts))
        if moment.tzinfo is None:
            return _from_number(_number(ts, "`ts` has no time zone: end it with Z or +00:00"))
        return _checked((moment - _EPOCH) // _MILLISECOND)
    return _from_number(ts)


def clean_text(text: str) -> str:
    """`text` without control characters; raises `LineError` when it cannot be a message.

    Tabs and line breaks become spaces, so that words stay apart.
    """
    if len(text) > TEXT_CHARS:
        raise LineError(f"`text` is longer than {TEXT_CHARS:,} characters")
    if text.isprintable() or not _UNSAFE.search(text):
        return text
    _refuse_unstorable(text, "`text`")
    return text.translate(_CONTROLS)


def role_of(badges: set[str]) -> Role:
    """The highest role among names of Twitch badges such as `moderator` and `subscriber`."""
    for badge, role in _BADGE_ROLES:
        if badge in badges:
            return role
    return "viewer"


def _number(text: str, otherwise: str = "`ts` is not a time") -> float:
    try:
        return float(text)
    except ValueError:
        raise LineError(otherwise) from None


def _from_number(number: int | float) -> int:
    if not -_MS_END < number < _MS_END:
        raise LineError("`ts` is not a time between 1970 and 9999")
    return _checked(round(number) if number > _MS_FROM else round(number * 1000))


def _checked(ms: int) -> int:
    if not 0 <= ms < _MS_END:
        raise LineError("`ts` is not a time between 1970 and 9999")
    return ms


def _refuse_unstorable(text: str, what: str) -> None:
    if "\0" in text:
        raise LineError(f"{what} holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LineError(f"{what} is not valid Unicode text") from None


def _word(value: str, what: str) -> str:
    value = value.strip()
    if len(value) > WORD_CHARS:
        raise LineError(f"{what} is longer than {WORD_CHARS} characters")
    if not value.isprintable() and _UNSAFE.search(value):
        _refuse_unstorable(value, what)
        raise LineError(f"{what} holds control characters")
    return value


def _login(value: str, what: str) -> str:
    return _word(value, what).lower().lstrip("@#") if value else ""


def _user(line: RecordedLine) -> str:
    user = _login(line.user, "`user`")
    if not user:
        raise LineError("`user` is missing or empty")
    return user


def _name(line: RecordedLine, tagged: str, user: str) -> str:
    """The display name; a login written with capitals is one too."""
    name = _word(tagged or line.name, "the display name") or line.user.strip().lstrip("@#")
    return "" if name == user else name


def _role(tagged: str, tags: dict[str, str]) -> Role:
    if tagged:
        if tagged not in _ROLES:
            raise LineError("`role` is none of streamer, moderator, vip, subscriber and viewer")
        return tagged
    badges = tags.get("badges", "")
    return role_of({badge.partition("/")[0] for badge in badges.split(",")}) if badges else "viewer"


def _extras(tags: dict[str, str]) -> dict[str, str]:
    return {_word(key, "a tag's name"): clean_text(value) for key, value in tags.items()}
