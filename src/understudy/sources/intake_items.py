"""What one posted item may look like, and the event it becomes.

Owns the keys of an item, the checks on them and the digest of its content. Forgiving where the
meaning is clear: numbers for words, missing ids and times, unknown keys. Does not own items that
come twice nor where the events go (`intake`).
"""

import re
from hashlib import blake2b
from typing import Final, cast, get_args

import msgspec

from understudy.events import ChatMessage, Moderation, Role, StreamEvent
from understudy.safety.text import clean
from understudy.sources.recorded import (
    TEXT_CHARS,
    WORD_CHARS,
    LineError,
    ModerationKind,
    StreamKind,
    parse_time,
)

MAX_ITEMS: Final = 1_000
"""Most items in one request or frame."""

PLATFORM_CHARS: Final = 32
"""Longest name of a platform in characters."""

MAX_TAGS: Final = 50
"""Most tags of one item."""

AHEAD_MS: Final = 60_000
"""How far a sender's clock may run ahead: beyond it the time of receipt counts."""

IntakeEvent = ChatMessage | StreamEvent | Moderation
"""The events that can be handed in."""

_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = re.compile(r"\s+")
_STREAM_KINDS: Final[frozenset[StreamKind]] = frozenset(get_args(StreamKind))
_MODERATION_KINDS: Final[frozenset[ModerationKind]] = frozenset(get_args(ModerationKind))
_ROLES: Final[tuple[Role, ...]] = get_args(Role)
_CHAT: Final = frozenset({"chat", "message"})
_MAX_AMOUNT: Final = 2**53


class ItemError(ValueError):
    """An item is not taken; the message is one sentence that says why."""


class Item(msgspec.Struct, frozen=True):
    """An item that was understood.

    `digest` stands for its content. `named` tells whether the item had an id or a time of its own:
    then equal items are one and the same whenever they come.
    """

    event: IntakeEvent
    digest: str
    named: bool


class Sender(msgspec.Struct, frozen=True):
    """Who hands items in: `name` for limits, `highest` the standing it may give to chatters."""

    name: str
    highest: Role = "streamer"


def decode_items(body: bytes) -> list[object]:
    """The items of a body: one JSON value, a list, or one value a line.

    A line that is no JSON becomes an `ItemError` in its place. Raises `ItemError` when the body as
    a whole cannot be read.
    """
    body = body.removeprefix(_BOM).strip()
    if not body:
        raise ItemError('nothing was sent: send {"type": "chat", "user": "…", "text": "…"}')
    whole = _decoded(body)
    if isinstance(whole, ItemError) and not body.startswith(b"[") and b"\n" in body:
        items = [_decoded(line) for line in body.splitlines() if line.strip()]
    elif isinstance(whole, ItemError):
        raise whole
    else:
        items = cast(list[object], whole) if isinstance(whole, list) else [whole]
    if len(items) > MAX_ITEMS:
        raise ItemError(f"there are more than {MAX_ITEMS:,} items: send fewer at once")
    return items


def read_item(item: object, *, now: int, channel: str, highest: Role) -> Item:
    """The event that `item` describes; raises `ItemError`.

    `now` is the time in ms for items without one, `channel` the channel for those that name none,
    `highest` the highest role a chatter can be given.
    """
    if isinstance(item, ItemError):
        raise item
    if not isinstance(item, dict):
        raise ItemError('an item is a JSON object such as {"type": "chat", "user": "…"}')
    fields = _Fields(cast(dict[str, object], item))
    kind = fields.word("type").lower() or "chat"
    if kind in {"event", "moderation"}:
        kind = fields.word("kind").lower()
    source = _Source(fields, now, channel)
    if kind in _CHAT:
        return _chat(source, highest)
    if kind in _STREAM_KINDS:
        return _stream_event(source, kind)
    if kind in _MODERATION_KINDS:
        return _moderation(source, kind)
    known = ", ".join(["chat", *sorted(_STREAM_KINDS), *sorted(_MODERATION_KINDS)])
    raise ItemError(f"`type` is none of {known}")


class _Fields:
    """Takes known keys out of an item; what is left becomes tags."""

    def __init__(self, item: dict[str, object]) -> None:
        self._item = dict(item)

    def word(self, key: str, longest: int = WORD_CHARS) -> str:
        """A short text without line breaks; a number is written out, null is nothing."""
        value = self._item.pop(key, None)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ItemError(f"`{key}` is not a text")
        text = _BLANKS.sub(" ", clean(str(value))).strip()
        if len(text) > longest:
            raise ItemError(f"`{key}` is longer than {longest} characters")
        return text

    def login(self, key: str) -> str:
        """A login or channel name: lower case, without `@` or `#` before it."""
        return self.word(key).lower().lstrip("@#")

    def text(self) -> str:
        """What was said, on one line."""
        value = self._item.pop("text", None)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise ItemError("`text` is not a text")
        text = _BLANKS.sub(" ", clean(value)).strip()
        if len(text) > TEXT_CHARS:
            raise ItemError(f"`text` is longer than {TEXT_CHARS:,} characters")
        return text

    def flag(self, key: str) -> bool:
        """Whether something is so: true, 1, or the same as a text."""
        return str(self._item.pop(key, "")).lower() in {"true", "1"}

    def ts(self) -> int | None:
        """The time in ms since the epoch; None when there is none."""
        value = self._item.pop("ts", None)
        if value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ItemError("`ts` is not a time")
        try:
            return parse_time(value)
        except LineError as error:
            raise ItemError(str(error)) from None

    def amount(self) -> int:
        """A count. Money is none: an amount with a currency or with cents stays among the tags."""
        value = self._item.get("amount")
        if value is None or isinstance(value, bool) or "currency" in self._item:
            return 0
        try:
            count = int(cast(str, value))
        except (TypeError, ValueError, OverflowError):
            return 0
        if isinstance(value, float) and not value.is_integer():
            return 0
        if not 0 <= count < _MAX_AMOUNT:
            raise ItemError("`amount` is not a count from 0 up")
        del self._item["amount"]
        return count

    def tags(self) -> dict[str, str]:
        """All that was not taken, and what `tags` holds, as texts."""
        given = self._item.pop("tags", None)
        left = {**self._item, **cast(dict[str, object], given if isinstance(given, dict) else {})}
        tags = {_tag_name(name): _tag(name, value) for name, value in left.items()}
        tags.pop("", None)
        if len(tags) > MAX_TAGS:
            raise ItemError(f"there are more than {MAX_TAGS} unknown keys and tags")
        return {name: value for name, value in tags.items() if value is not None}


class _Source:
    """What every item has: when, where and who; and the rest of its keys."""

    def __init__(self, fields: _Fields, now: int, channel: str) -> None:
        self.fields = fields
        told = fields.ts()
        self.timed = told is not None
        self.ts = now if told is None or told > now + AHEAD_MS else told
        self.told = "" if told is None else str(told)
        self.channel = fields.login("channel") or channel
        if not self.channel:
            raise ItemError("`channel` is missing: name the stream's channel")
        self.platform = fields.word("platform", PLATFORM_CHARS).lower() or "other"
        self.id = fields.word("id")
        self.raw_user = fields.word("user")
        self.user = self.raw_user.lower().lstrip("@#")

    def name(self) -> str:
        """The display name; a login written with capitals is one too."""
        name = self.fields.word("name") or self.raw_user.lstrip("@#")
        return "" if name == self.user else name

    def author(self) -> str:
        if not self.user:
            raise ItemError("`user` is missing: say who it was")
        return self.user

    def digest(self, kind: str, *content: object) -> str:
        """32 hexadecimal digits that stand for the content."""
        # No part can hold a NUL, so two different items never spell the same key.
        parts = [kind, self.platform, self.channel, self.told, self.user, *map(str, content)]
        return blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()

    def item(self, event: IntakeEvent, digest: str) -> Item:
        return Item(event, digest, named=bool(self.id) or self.timed)


def _chat(source: _Source, highest: Role) -> Item:
    fields, user = source.fields, source.author()
    text = fields.text()
    if not text:
        raise ItemError("`text` is missing or blank")
    digest = source.digest("chat", text)
    message = ChatMessage(
        id=source.id or digest,
        channel=source.channel,
        ts=source.ts,
        user=user,
        name=source.name(),
        text=text,
        platform=source.platform,
        role=_role(fields.word("role").lower(), highest),
        reply_to=fields.word("reply_to"),
        reply_to_user=fields.login("reply_to_user"),
        first=fields.flag("first"),
        tags=fields.tags(),
    )
    return source.item(message, digest)


def _stream_event(source: _Source, kind: StreamKind) -> Item:
    fields, user = source.fields, source.author()
    text, amount = fields.text(), fields.amount()
    name, tags = source.name(), fields.tags()
    digest = source.digest(kind, amount, tags.get("amount", ""), text)
    event = StreamEvent(
        id=source.id or digest,
        channel=source.channel,
        ts=source.ts,
        kind=kind,
        user=user,
        name=name,
        platform=source.platform,
        amount=amount,
        text=text,
        tags=tags,
    )
    return source.item(event, digest)


def _moderation(source: _Source, kind: ModerationKind) -> Item:
    target = source.fields.word("message_id")
    if kind == "delete":
        # Who posts {"type": "delete", "id": …} means the message.
        target = target or source.id
        if not target:
            raise ItemError("`message_id` is missing: it names the message that was deleted")
    elif kind != "clear":
        source.author()
    digest = source.digest(kind, target)
    own_id = source.id if source.id != target else ""
    act = Moderation(
        id=own_id or digest,
        channel=source.channel,
        ts=source.ts,
        kind=kind,
        message_id=target,
        user=source.user,
    )
    # A message is deleted once, a user may be timed out again.
    return Item(act, digest, named=bool(own_id) or source.timed or kind == "delete")


def _role(name: str, highest: Role) -> Role:
    if not name:
        return "viewer"
    if name not in _ROLES:
        raise ItemError(f"`role` is none of {', '.join(_ROLES)}")
    return _ROLES[max(_ROLES.index(name), _ROLES.index(highest))]


def _tag_name(name: str) -> str:
    name = _BLANKS.sub(" ", clean(name)).strip()
    if len(name) > WORD_CHARS:
        raise ItemError(f"the name of a tag is longer than {WORD_CHARS} characters")
    return name


def _tag(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = clean(value if isinstance(value, str) else msgspec.json.encode(value).decode())
    if len(text) > TEXT_CHARS:
        raise ItemError(f"`{_tag_name(name)}` is longer than {TEXT_CHARS:,} characters")
    return text


def _decoded(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ItemError("this is not JSON: send an object, a list of objects, or one a line")
