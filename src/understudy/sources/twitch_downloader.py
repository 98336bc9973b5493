"""TwitchDownloader's chat JSON: one object with the stream's comments.

Owns the parts of that format that are used, and what they mean in recorded lines. Does not own
opening the file (`recordings`) or checking the lines (`recorded`).

The file is one JSON object, so its bytes are held whole; the comments are decoded one at a time,
so that a bad one spoils no other. Emotes and badges embedded in the file are skipped.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from understudy.sources.recorded import LineError, RecordedLine, parse_time, role_of

_NOTICES: Final = {
    "sub": "sub",
    "resub": "resub",
    "subgift": "gift",
    "submysterygift": "gift",
    "raid": "raid",
}
_AMOUNTS: Final = {
    "resub": re.compile(r"subscribed for ([\d,]+) months"),
    "subgift": re.compile(r"gifted ([\d,]+)"),
    "submysterygift": re.compile(r"gifting ([\d,]+)"),
    "raid": re.compile(r"([\d,]+) raiders"),
}
"""Where the notice's text says how many, since the file has no field for it."""


class _Commenter(msgspec.Struct):
    name: str
    display_name: str = ""


class _Badge(msgspec.Struct):
    name: str = msgspec.field(name="_id", default="")


class _Fragment(msgspec.Struct):
    text: str = ""


class _Notice(msgspec.Struct):
    kind: str | None = msgspec.field(name="msg-id", default=None)


class _Message(msgspec.Struct):
    body: str | None = None
    fragments: list[_Fragment] | None = None
    bits_spent: int = 0
    user_badges: list[_Badge] | None = None
    user_color: str | None = None
    user_notice_params: _Notice | None = None


class _Comment(msgspec.Struct):
    message: _Message
    commenter: _Commenter | None = None
    id: str = msgspec.field(name="_id", default="")
    created_at: str | None = None
    content_offset_seconds: float = 0.0


class _Streamer(msgspec.Struct):
    name: str = ""
    login: str | None = None


class _Video(msgspec.Struct):
    created_at: str | None = None


class _ChatFile(msgspec.Struct):
    comments: list[msgspec.Raw]
    streamer: _Streamer | None = None
    video: _Video | None = None


def read_chat_file(data: bytes) -> Iterator[Callable[[], RecordedLine]]:
    """The comments of a chat file, each to be called for its line.

    Raises `msgspec.DecodeError` or `RecursionError` when `data` is not such a file. A comment's
    call raises `LineError`, `msgspec.DecodeError` or `UnicodeDecodeError` when it is bad.
    """
    file = msgspec.json.decode(data, type=_ChatFile)
    streamer = file.streamer or _Streamer()
    channel = streamer.login or streamer.name
    start = file.video.created_at if file.video else None
    decode = msgspec.json.Decoder(_Comment).decode
    return (partial(_read, decode, raw, channel, start) for raw in file.comments)


def _read(
    decode: Callable[[msgspec.Raw], _Comment], raw: msgspec.Raw, channel: str, start: str | None
) -> RecordedLine:
    comment = decode(raw)
    if comment.commenter is None:
        raise LineError("the comment has no author")
    message = comment.message
    line = RecordedLine(
        ts=_time(comment, start),
        channel=channel,
        user=comment.commenter.name,
        name=comment.commenter.display_name,
        text=_text(message),
        id=comment.id,
    )
    notice = message.user_notice_params
    kind = notice.kind if notice and notice.kind else ""
    if kind in _NOTICES:
        line.event, line.amount = _NOTICES[kind], _amount(kind, line.text)
        line.tags = {"msg-id": kind}
    elif message.bits_spent > 0:
        line.event, line.amount = "cheer", message.bits_spent
    else:
        line.tags = _tags(message)
    return line


def _time(comment: _Comment, start: str | None) -> int | str:
    if comment.created_at:
        return comment.created_at
    if not start:
        raise LineError("the comment has no time")
    return parse_time(start) + round(comment.content_offset_seconds * 1000)


def _text(message: _Message) -> str:
    if message.body:
        return message.body
    return "".join(fragment.text for fragment in message.fragments or ())


def _amount(kind: str, text: str) -> int:
    pattern = _AMOUNTS.get(kind)
    match = pattern.search(text) if pattern else None
    if match is None:
        return 0 if kind == "raid" else 1
    return int(match[1].replace(",", ""))


def _tags(message: _Message) -> dict[str, str]:
    tags = {"role": role_of({badge.name for badge in message.user_badges or ()})}
    if message.user_color:
        tags["color"] = message.user_color
    return tags
