"""What a notification of EventSub says, as one of our events.

Owns the meaning of the payloads. Does not own their envelope (`eventsub_frames`).

Messages, cheers and deletions get the ids that `chat` gives to the same ones read by IRC, so that
a channel read by both counts them once. Types without a field of their own in our vocabulary, and
types that nobody has heard of, are kept as they came in the tag `event`.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from understudy.events import ChatMessage, Moderation, StreamEvent
from understudy.sources.recorded import role_of
from understudy.sources.twitch.chat import ACTION, EMOTES, ROOM, SOURCE_ROOM, ChatEvent
from understudy.sources.twitch.eventsub_frames import BadFrame, Notification

TYPE: Final = "eventsub-type"
"""Tag with the type of the subscription, such as `channel.poll.begin`."""
EVENT: Final = "event"
"""Tag with the event as Twitch sent it, JSON; left out when it is longer than `EVENT_CHARS`."""
EVENT_CHARS: Final = 16_384

_ANONYMOUS_GIFTER = ("ananonymousgifter", "AnAnonymousGifter")
_ANONYMOUS_CHEERER = ("ananonymouscheerer", "AnAnonymousCheerer")
"""The names IRC gives to those who give without one."""


class _Emote(msgspec.Struct):
    id: str


class _Fragment(msgspec.Struct):
    text: str = ""
    emote: _Emote | None = None


class _Message(msgspec.Struct):
    text: str
    fragments: list[_Fragment] = []


class _Badge(msgspec.Struct):
    set_id: str
    id: str = ""


class _Cheer(msgspec.Struct):
    bits: int


class _Reply(msgspec.Struct):
    parent_message_id: str
    parent_user_login: str = ""


class _ChatPayload(msgspec.Struct):
    broadcaster_user_id: str
    broadcaster_user_login: str
    chatter_user_id: str
    chatter_user_login: str
    message_id: str
    message: _Message
    chatter_user_name: str = ""
    message_type: str = "text"
    color: str | None = None
    badges: list[_Badge] | None = None
    cheer: _Cheer | None = None
    reply: _Reply | None = None
    channel_points_custom_reward_id: str | None = None
    source_broadcaster_user_id: str | None = None
    source_message_id: str | None = None


class _DeletePayload(msgspec.Struct):
    broadcaster_user_login: str
    message_id: str
    target_user_login: str = ""


class _ClearUserPayload(msgspec.Struct):
    broadcaster_user_login: str
    target_user_login: str


class _ClearPayload(msgspec.Struct):
    broadcaster_user_login: str


class _ViewerPayload(msgspec.Struct):
    """What most payloads about a viewer have."""

    broadcaster_user_login: str
    user_login: str | None = None
    user_name: str | None = None


class _SubscribePayload(_ViewerPayload):
    tier: str = ""
    is_gift: bool = False


class _Resub(msgspec.Struct):
    text: str = ""


class _ResubPayload(_ViewerPayload):
    tier: str = ""
    message: _Resub | None = None
    cumulative_months: int | None = None
    streak_months: int | None = None


class _GiftPayload(_ViewerPayload):
    tier: str = ""
    total: int = 1


class _CheerPayload(_ViewerPayload):
    bits: int = 0
    message: str = ""


class _RaidPayload(msgspec.Struct):
    to_broadcaster_user_login: str
    from_broadcaster_user_login: str
    from_broadcaster_user_name: str = ""
    viewers: int = 0


class _Reward(msgspec.Struct):
    title: str = ""
    cost: int = 0


class _OtherPayload(msgspec.Struct):
    """What is taken from payloads without a reader of their own; all of it may be missing."""

    broadcaster_user_login: str | None = None
    to_broadcaster_user_login: str | None = None
    user_login: str | None = None
    user_name: str | None = None
    title: str | None = None
    user_input: str | None = None
    reward: _Reward | None = None


def event_of(notification: Notification, channel: str) -> ChatEvent:
    """The event in `notification`; raises `BadFrame`.

    `channel` is that of events that name none, such as a grant of drops.
    """
    read = _READERS.get(notification.subscription.type)
    try:
        return read(notification) if read else _other(notification, channel)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFrame(f"{notification.subscription.type} is not as expected: {error}") from None


def _chat(notification: Notification) -> ChatMessage | StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_ChatPayload)
    text, tags = _text_and_tags(payload)
    common: dict[str, Any] = {
        "id": payload.message_id,
        "channel": payload.broadcaster_user_login.lower(),
        "ts": notification.ts,
        "user": payload.chatter_user_login.lower(),
        "name": _name(payload.chatter_user_name, payload.chatter_user_login),
        "text": text,
        "tags": tags,
    }
    if payload.cheer is not None:
        return StreamEvent(kind="cheer", amount=payload.cheer.bits, **common)
    reply = payload.reply
    return ChatMessage(
        role=role_of({badge.set_id for badge in payload.badges or ()}),
        reply_to=reply.parent_message_id if reply else "",
        reply_to_user=reply.parent_user_login if reply else "",
        **common,
    )


def _text_and_tags(payload: _ChatPayload) -> tuple[str, dict[str, str]]:
    """The text without the marks of `/me`, and the tags by the names IRC has for them."""
    text, action = payload.message.text, ""
    if text.startswith("\x01ACTION "):
        text, action = text[8:].removesuffix("\x01"), "1"
    tags = {
        ROOM: payload.broadcaster_user_id,
        "user-id": payload.chatter_user_id,
        "color": payload.color or "",
        "badges": ",".join(f"{badge.set_id}/{badge.id}" for badge in payload.badges or ()),
        "bits": str(payload.cheer.bits) if payload.cheer else "",
        "custom-reward-id": payload.channel_points_custom_reward_id or "",
        "message-type": payload.message_type if payload.message_type != "text" else "",
        SOURCE_ROOM: payload.source_broadcaster_user_id or "",
        "source-id": payload.source_message_id or "",
        EMOTES: _emote_places(payload.message.fragments),
        ACTION: action,
    }
    return text, {name: value for name, value in tags.items() if value}


def _emote_places(fragments: list[_Fragment]) -> str:
    """Where emotes stand in the text, by code point, as IRC tells it: `25:0-4,12-16/1902:6-10`."""
    places: dict[str, list[str]] = {}
    at = 0
    for fragment in fragments:
        end = at + len(fragment.text)
        if fragment.emote is not None and fragment.text:
            places.setdefault(fragment.emote.id, []).append(f"{at}-{end - 1}")
        at = end
    return "/".join(f"{emote}:{','.join(spans)}" for emote, spans in places.items())


def _delete(notification: Notification) -> Moderation:
    payload = msgspec.json.decode(notification.event, type=_DeletePayload)
    return Moderation(
        id=f"delete-{payload.message_id}",
        channel=payload.broadcaster_user_login.lower(),
        ts=notification.ts,
        kind="delete",
        message_id=payload.message_id,
        user=payload.target_user_login.lower(),
    )


def _clear_user(notification: Notification) -> Moderation:
    payload = msgspec.json.decode(notification.event, type=_ClearUserPayload)
    # Twitch does not say here whether it is a timeout or a ban; what is to be done is the same.
    return Moderation(
        id=notification.id,
        channel=payload.broadcaster_user_login.lower(),
        ts=notification.ts,
        kind="timeout",
        user=payload.target_user_login.lower(),
    )


def _clear(notification: Notification) -> Moderation:
    payload = msgspec.json.decode(notification.event, type=_ClearPayload)
    channel = payload.broadcaster_user_login.lower()
    return Moderation(id=notification.id, channel=channel, ts=notification.ts, kind="clear")


def _subscribe(notification: Notification) -> StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_SubscribePayload)
    # Who is given a subscription did nothing: the one who gave it is thanked.
    gift = {"is-gift": "1"} if payload.is_gift else {}
    return _viewer_event(
        notification,
        payload,
        kind="other" if payload.is_gift else "sub",
        amount=1,
        tags={"tier": payload.tier, **gift},
    )


def _resub(notification: Notification) -> StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_ResubPayload)
    streak = {"streak-months": str(payload.streak_months)} if payload.streak_months else {}
    return _viewer_event(
        notification,
        payload,
        kind="resub",
        amount=payload.cumulative_months or 0,
        text=payload.message.text if payload.message else "",
        tags={"tier": payload.tier, **streak},
    )


def _gift(notification: Notification) -> StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_GiftPayload)
    return _viewer_event(
        notification,
        payload,
        _ANONYMOUS_GIFTER,
        kind="gift",
        amount=payload.total,
        tags={"tier": payload.tier},
    )


def _cheer(notification: Notification) -> StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_CheerPayload)
    return _viewer_event(
        notification,
        payload,
        _ANONYMOUS_CHEERER,
        kind="cheer",
        amount=payload.bits,
        text=payload.message,
    )


def _follow(notification: Notification) -> StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_ViewerPayload)
    return _viewer_event(notification, payload, kind="follow")


def _viewer_event(
    notification: Notification,
    payload: _ViewerPayload,
    anonymous: tuple[str, str] = ("", ""),
    *,
    tags: dict[str, str] | None = None,
    **fields: Any,
) -> StreamEvent:
    login, name = payload.user_login or anonymous[0], payload.user_name or anonymous[1]
    return StreamEvent(
        id=notification.id,
        channel=payload.broadcaster_user_login.lower(),
        ts=notification.ts,
        user=login.lower(),
        name=_name(name, login),
        tags={TYPE: notification.subscription.type, **(tags or {})},
        **fields,
    )


def _raid(notification: Notification) -> StreamEvent:
    payload = msgspec.json.decode(notification.event, type=_RaidPayload)
    login = payload.from_broadcaster_user_login
    return StreamEvent(
        id=notification.id,
        channel=payload.to_broadcaster_user_login.lower(),
        ts=notification.ts,
        kind="raid",
        user=login.lower(),
        name=_name(payload.from_broadcaster_user_name, login),
        amount=payload.viewers,
        tags={TYPE: notification.subscription.type},
    )


def _other(notification: Notification, channel: str) -> StreamEvent:
    payload = _read_leniently(notification.event)
    reward = payload.reward or _Reward()
    login = payload.user_login or ""
    raw = bytes(notification.event).decode()
    kept = {EVENT: raw} if len(raw) <= EVENT_CHARS else {}
    named = payload.broadcaster_user_login or payload.to_broadcaster_user_login
    return StreamEvent(
        id=notification.id,
        channel=(named or channel).lower(),
        ts=notification.ts,
        kind="other",
        user=login.lower(),
        name=_name(payload.user_name or "", login),
        amount=reward.cost,
        text=payload.user_input or payload.title or reward.title,
        tags={TYPE: notification.subscription.type, **kept},
    )


def _read_leniently(event: msgspec.Raw) -> _OtherPayload:
    """What can be read of an event of any shape."""
    try:
        return msgspec.json.decode(event, type=_OtherPayload)
    except msgspec.ValidationError:
        return _OtherPayload()


def _name(name: str, login: str) -> str:
    """The display name; empty when it says no more than the login."""
    return "" if name == login.lower() else name


_READERS: Final[dict[str, Callable[[Notification], ChatEvent]]] = {
    "channel.chat.message": _chat,
    "channel.chat.message_delete": _delete,
    "channel.chat.clear_user_messages": _clear_user,
    "channel.chat.clear": _clear,
    "channel.subscribe": _subscribe,
    "channel.subscription.message": _resub,
    "channel.subscription.gift": _gift,
    "channel.cheer": _cheer,
    "channel.follow": _follow,
    "channel.raid": _raid,
}
