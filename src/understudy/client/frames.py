"""The frames of the WebSockets: `/ws/live` and `/ws/chat`."""

from typing import Any

import msgspec

LiveEvent = dict[str, Any]
"""An event of a stream as the server writes it: `type`, `id`, `channel`, `ts` and its own fields.

Fields that hold their default are left out.
"""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """The first frame: who co-hosts and how, and the newest events."""

    id: str
    state: dict[str, Any]
    events: list[LiveEvent]


class Events(msgspec.Struct, frozen=True, tag="events"):
    """What has happened since the frame before."""

    id: str
    events: list[LiveEvent]


class Gap(msgspec.Struct, frozen=True, tag="gap"):
    """Events that are lost to this reader, because it was away or slow for too long."""

    missed: int


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Nothing has happened, and the feed is alive."""


LiveFrame = Snapshot | Events | Gap | Ping


class ChatToken(msgspec.Struct, frozen=True, tag="token"):
    """The next piece of an answer, when the message asked for a stream."""

    content: str


class ChatAnswer(msgspec.Struct, frozen=True, tag="message"):
    """A whole answer."""

    content: str


class CommandResponse(msgspec.Struct, frozen=True, tag="command_response"):
    """What a command came to."""

    command: str
    result: dict[str, Any]


class SystemNote(msgspec.Struct, frozen=True, tag="system"):
    """Something the server says of itself."""

    message: str


class ChatError(msgspec.Struct, frozen=True, tag="error"):
    """Why a message was not answered; the socket stays open."""

    message: str


ChatFrame = ChatToken | ChatAnswer | CommandResponse | SystemNote | ChatError

_live = msgspec.json.Decoder[LiveFrame](LiveFrame)
_chat = msgspec.json.Decoder[ChatFrame](ChatFrame)


def decode_live_frame(data: bytes | str) -> LiveFrame:
    """A frame of `/ws/live`; raises `msgspec.DecodeError` for anything else."""
    return _live.decode(data)


def decode_chat_frame(data: bytes | str) -> ChatFrame:
    """A frame of `/ws/chat`; raises `msgspec.DecodeError` for anything else."""
    return _chat.decode(data)
