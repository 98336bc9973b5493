"""What a line of Twitch's IRC says, as one of our events.

Owns the meaning of PRIVMSG, USERNOTICE, CLEARCHAT and CLEARMSG and of their tags
(dev.twitch.tv/docs/chat/irc). Does not own the grammar (`irc_message`), the connection
(`irc_session`) nor what a viewer's text may do: here it is only ever text.

The text is kept as it was sent. A reply begins with `@name`, as Twitch's own clients show it and
EventSub hands it out, and the places of emotes count from there.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from understudy.events import ChatMessage, Moderation, Role, StreamEvent
from understudy.sources.recorded import StreamKind, role_of
from understudy.sources.twitch.irc_message import IrcMessage, MalformedLine

ChatEvent = ChatMessage | StreamEvent | Moderation
"""What a line of chat can be."""

ACTION: Final = "action"
"""Tag of our own: `1` on a message written with `/me`."""
EMOTES: Final = "emotes"
"""Tag with the places of emotes, by code point: `25:0-4,12-16/1902:6-10`."""
ROOM: Final = "room-id"
"""Tag with the number of the channel a message was read in."""
SOURCE_ROOM: Final = "source-room-id"
"""Tag with the number of the channel a message was written in; only during a shared chat."""

_KEPT_ELSEWHERE = frozenset(
    {"id", "display-name", "tmi-sent-ts", "first-msg"}
    | {"reply-parent-msg-id", "reply-parent-user-login", "login"}
)
_SAID_BY_BADGES = frozenset({"mod", "subscriber", "turbo", "user-type", "vip"})
_LEFT_OUT = _KEPT_ELSEWHERE | _SAID_BY_BADGES | {"client-nonce"}
_MOST_TS_DIGITS = 15
_MOST_PLACE_DIGITS = 5

_KINDS: Final[dict[str, StreamKind]] = {
    "sub": "sub",
    "resub": "resub",
    "subgift": "gift",
    "submysterygift": "gift",
    "raid": "raid",
}
_AMOUNTS = {
    "sub": "msg-param-cumulative-months",
    "resub": "msg-param-cumulative-months",
    "submysterygift": "msg-param-mass-gift-count",
    "raid": "msg-param-viewerCount",
}


def event_of(message: IrcMessage, received: int) -> ChatEvent | None:
    """The event that `message` is, or None when it is none of those known here.

    `received` (ms) is its time when the line names none. Raises `MalformedLine` when a part is
    missing that such an event cannot do without.
    """
    read = _READERS.get(message.command)
    return None if read is None else read(message, received)


def is_shared(message: ChatMessage | StreamEvent) -> bool:
    """Whether it was written in another channel of a shared chat: it must not command this one."""
    source = message.tags.get(SOURCE_ROOM, "")
    return source != "" and source != message.tags.get(ROOM)


def emotes_of(message: ChatMessage | StreamEvent) -> list[str]:
    """The names of Twitch's emotes in the message, in order; places outside of it are ignored."""
    tag = message.tags.get(EMOTES)
    if not tag:
        return []
    names = (message.text[first : last + 1] for first, last in sorted(_places(tag)))
    return [name for name in names if name]


def _places(tag: str) -> Iterator[tuple[int, int]]:
    for emote in tag.split("/"):
        for place in emote.partition(":")[2].split(","):
            first, _, last = place.partition("-")
            if _is_number(first, _MOST_PLACE_DIGITS) and _is_number(last, _MOST_PLACE_DIGITS):
                yield int(first), int(last)


def _privmsg(message: IrcMessage, received: int) -> ChatMessage | StreamEvent | None:
    channel, text = _channel_and_text(message)
    user = message.nick
    if user == "jtv":
        # The server of old, telling who hosts whom.
        return None
    tags = message.tags
    get = tags.get
    extras = _extras(tags)
    if text.startswith("\x01ACTION "):
        text = text[8:].removesuffix("\x01")
        extras[ACTION] = "1"
    ts = _ts(tags, received)
    # Every line has an id unless the server ignored our wish for tags.
    message_id = get("id") or f"{user}-{ts}"
    name = _name(tags, user)
    if "bits" in tags:
        return StreamEvent(
            id=message_id,
            channel=channel,
            ts=ts,
            kind="cheer",
            user=user,
            name=name,
            amount=_count(tags["bits"]),
            text=text,
            tags=extras,
        )
    badges = get("badges")
    return ChatMessage(
        id=message_id,
        channel=channel,
        ts=ts,
        user=user,
        text=text,
        name=name,
        role=_role(badges) if badges else "viewer",
        reply_to=get("reply-parent-msg-id", ""),
        reply_to_user=get("reply-parent-user-login", ""),
        first=get("first-msg") == "1",
        tags=extras,
    )


@lru_cache(maxsize=1_024)
def _role(badges: str) -> Role:
    return role_of({badge.partition("/")[0] for badge in badges.split(",")})


def _usernotice(message: IrcMessage, received: int) -> StreamEvent:
    tags = message.tags
    notice = tags.get("msg-id", "")
    kind: StreamKind = _KINDS.get(notice, "other")
    if tags.get("msg-param-community-gift-id") and notice == "subgift":
        # One of many given at once, which a notice of its own has told already.
        kind = "other"
    user = tags.get("login", "").lower() or message.nick
    ts = _ts(tags, received)
    amount = 1 if notice == "subgift" else _count(tags.get(_AMOUNTS.get(notice, ""), ""))
    return StreamEvent(
        id=tags.get("id") or f"{user}-{ts}",
        channel=_channel(message),
        ts=ts,
        kind=kind,
        user=user,
        name=_name(tags, user),
        amount=amount,
        text=message.params[1] if len(message.params) > 1 else "",
        tags=_extras(tags),
    )


def _clearchat(message: IrcMessage, received: int) -> Moderation:
    channel = _channel(message)
    ts = _ts(message.tags, received)
    # Twitch gives acts no id: one made of what they say is the same whenever it is read.
    if len(message.params) == 1:
        return Moderation(id=f"clear-{ts}", channel=channel, ts=ts, kind="clear")
    user = message.params[1].lower()
    if not user:
        raise MalformedLine("the line does not say whose messages are removed")
    kind = "timeout" if "ban-duration" in message.tags else "ban"
    return Moderation(id=f"{kind}-{user}-{ts}", channel=channel, ts=ts, kind=kind, user=user)


def _clearmsg(message: IrcMessage, received: int) -> Moderation:
    target = message.tags.get("target-msg-id", "")
    if not target:
        raise MalformedLine("the line does not say which message is removed")
    return Moderation(
        id=f"delete-{target}",
        channel=_channel(message),
        ts=_ts(message.tags, received),
        kind="delete",
        message_id=target,
        user=message.tags.get("login", "").lower(),
    )


_READERS: Final[dict[str, Callable[[IrcMessage, int], ChatEvent | None]]] = {
    "PRIVMSG": _privmsg,
    "USERNOTICE": _usernotice,
    "CLEARCHAT": _clearchat,
    "CLEARMSG": _clearmsg,
}


def _channel(message: IrcMessage) -> str:
    if not message.params or not message.params[0].startswith("#"):
        raise MalformedLine("the line names no channel")
    return message.params[0][1:].lower()


def _channel_and_text(message: IrcMessage) -> tuple[str, str]:
    if len(message.params) < 2 or not message.source:
        raise MalformedLine("the line has no author or no text")
    return _channel(message), message.params[1]


def _extras(tags: dict[str, str]) -> dict[str, str]:
    """What no field of an event holds; an empty tag says no more than a missing one."""
    return {name: value for name, value in tags.items() if value and name not in _LEFT_OUT}


def _name(tags: dict[str, str], user: str) -> str:
    name = tags.get("display-name", "").strip()
    return "" if name == user else name


def _ts(tags: dict[str, str], received: int) -> int:
    sent = tags.get("tmi-sent-ts", "")
    return int(sent) if _is_number(sent, _MOST_TS_DIGITS) else received


def _count(value: str) -> int:
    return int(value) if _is_number(value, _MOST_TS_DIGITS) else 0


def _is_number(value: str, digits: int) -> bool:
    return value.isdecimal() and len(value) <= digits
