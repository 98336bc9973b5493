"""Reads recorded chat, lazily and line by line: JSON lines, CSV and TwitchDownloader's JSON.

Owns the formats, telling them apart, and how much of a file is held at a time. Does not own what
a line may hold (`recorded`) or when events are played (`rehearsal`).

A line that cannot be read is reported as `BadLine` and the next one is read. Only a file that is
no recording at all ends with `RecordingError`.
"""

import csv
import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from understudy.sources.recorded import BadLine, LineError, Reader, Recorded, RecordedLine
from understudy.sources.twitch_downloader import read_chat_file

Format = Literal["auto", "jsonl", "twitchdownloader", "csv"]
"""How a recording is written; `auto` looks at its content."""

LINE_BYTES: Final = 1024 * 1024
"""Longest line in bytes."""

WHOLE_BYTES: Final = 1024 * 1024 * 1024
"""Largest TwitchDownloader file in bytes. It is one JSON object and is held in memory whole."""

_CHUNK: Final = 256 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_CHAT_FILE: Final = re.compile(
    rb'\s*\{\s*"(?:FileInfo|streamer|clipper|video|comments|embeddedData)"\s*:'
)
_JSON_LINE: Final = re.compile(rb'^\s*\{.*"ts"\s*:', re.MULTILINE)
_REQUIRED: Final = ("ts", "user", "text")


class RecordingError(Exception):
    """A file is not a recording that can be read; the message is one sentence for people."""


def read_recording(
    source: Path | str | BinaryIO, *, format: Format = "auto", channel: str = ""
) -> Iterator[Recorded]:
    """Yield what `source` recorded, in its order; a `BadLine` for each line that cannot be read.

    `source` is a path or a binary stream, which stays open. `channel` replaces the recorded
    channel, and is needed when the recording names none. Messages without an id get one that is
    the same every time. Raises `RecordingError`, at the first item, when the file cannot be
    opened or is not a recording.
    """
    if isinstance(source, Path | str):
        with _open(source) as stream:
            yield from _read(stream, str(source), format, channel)
    else:
        yield from _read(source, "the recording", format, channel)


def count_hint(path: Path | str) -> int:
    """About how many messages `path` holds, for a progress bar: counted in its first MiB.

    Exact for smaller files, but for blank and bad lines and CSV's header. Raises `RecordingError`.
    """
    with _open(path) as stream:
        sample = stream.read(LINE_BYTES)
        size = stream.seek(0, os.SEEK_END)
    if _CHAT_FILE.match(sample.removeprefix(_BOM)):
        found = sample.count(b'"content_offset_seconds"')
    else:
        found = sample.count(b"\n") + (not sample.endswith(b"\n"))
    return round(found * size / len(sample)) if sample else 0


def _open(path: Path | str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from None


def _read(stream: BinaryIO, name: str, format: Format, channel: str) -> Iterator[Recorded]:
    head = _head(stream).removeprefix(_BOM)
    reader = _reader(channel)
    if format == "auto":
        format = _detect(head, name)
    if format == "twitchdownloader":
        data = head + stream.read(max(0, WHOLE_BYTES + 1 - len(head)))
        if len(data) > WHOLE_BYTES:
            raise RecordingError(f"{name} is larger than 1 GiB: convert it to JSON lines")
        yield from _chat_file(data, name, reader)
        return
    chunks = chain([head], iter(lambda: stream.read(_CHUNK), b""))
    lines = _numbered_lines(chunks)
    yield from (_csv if format == "csv" else _json_lines)(lines, name, reader)


def _reader(channel: str) -> Reader:
    try:
        return Reader(channel)
    except LineError as error:
        raise RecordingError(f"{error}: give the channel's login") from None


def _head(stream: BinaryIO) -> bytes:
    """The first chunk, filled up: a raw stream may give less than it was asked for."""
    parts = list[bytes]()
    missing = _CHUNK
    while missing > 0 and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _detect(head: bytes, name: str) -> Format:
    if not head.strip():
        raise RecordingError(f"{name} is empty: there is nothing to read")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RecordingError(f"{name} is UTF-16 text: save it as UTF-8")
    if head.startswith((b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd")):
        raise RecordingError(f"{name} is compressed: unpack it first")
    if _CHAT_FILE.match(head):
        return "twitchdownloader"
    if _JSON_LINE.search(head):
        return "jsonl"
    if set(_REQUIRED) <= set(_header(head.lstrip().partition(b"\n")[0])):
        return "csv"
    raise RecordingError(
        f"{name} is not recorded chat: JSON lines with ts, channel, user and text, CSV with these"
        " columns, or TwitchDownloader's chat JSON can be read"
    )


def _numbered_lines(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, which start at 1.

    What comes of a line longer than `LINE_BYTES` is longer too, but may lack a part: memory stays
    bounded, and the reader refuses it.
    """
    number = 0
    pending = b""
    for chunk in chunks:
        *lines, rest = (pending + chunk).split(b"\n")
        for line in lines:
            number += 1
            yield number, line
        pending = rest[: LINE_BYTES + 1]
    if pending:
        yield number + 1, pending


def _json_lines(
    lines: Iterable[tuple[int, bytes]], name: str, reader: Reader
) -> Iterator[Recorded]:
    decode = msgspec.json.Decoder(RecordedLine).decode
    event = reader.event
    for number, line in lines:
        if not line or line.isspace():
            continue
        recorded: Recorded
        try:
            if len(line) > LINE_BYTES:
                raise LineError("the line is longer than 1 MiB")
            recorded = event(decode(line))
        except (LineError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            recorded = BadLine(number, _reason(error))
        yield recorded


def _chat_file(data: bytes, name: str, reader: Reader) -> Iterator[Recorded]:
    try:
        comments = read_chat_file(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordingError(
            f"{name} is not a TwitchDownloader chat file: {_reason(error)}"
        ) from None
    for number, comment in enumerate(comments, 1):
        recorded: Recorded
        try:
            recorded = reader.event(comment())
        except (LineError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            recorded = BadLine(number, _reason(error))
        yield recorded


def _csv(lines: Iterable[tuple[int, bytes]], name: str, reader: Reader) -> Iterator[Recorded]:
    # Bytes that are not UTF-8 become surrogates here, and the row that holds them a `BadLine`.
    rows = csv.reader(line.decode("utf-8", "surrogateescape") + "\n" for _, line in lines)
    header: list[str] = []
    number = 1
    while True:
        recorded: Recorded | None = None
        try:
            row = next(rows, None)
            if row is None:
                return
            if not header:
                header = _columns(row, name)
            elif row:
                recorded = reader.event(_csv_line(header, row))
        except (LineError, csv.Error) as error:
            recorded = BadLine(number, str(error))
        if recorded is not None:
            yield recorded
        number = rows.line_num + 1


def _columns(row: list[str], name: str) -> list[str]:
    header = [column.strip().lower() for column in row]
    missing = [column for column in _REQUIRED if column not in header]
    if missing:
        raise RecordingError(
            f"{name} has no column {missing[0]}: its first line must name ts, channel, user, text"
        )
    return header


def _csv_line(header: list[str], row: list[str]) -> RecordedLine:
    if len(row) != len(header):
        raise LineError(f"the line has {len(row)} columns, not {len(header)}")
    get = dict(zip(header, row, strict=True)).get
    return RecordedLine(
        ts=get("ts", ""),
        channel=get("channel", ""),
        user=get("user", ""),
        text=get("text", ""),
        id=get("id", ""),
        name=get("name", ""),
    )


def _header(line: bytes) -> list[str]:
    text = line.decode("utf-8", "replace")
    return [column.strip(' "\r').lower() for column in text.split(",")]


def _reason(error: Exception) -> str:
    match error:
        case msgspec.ValidationError():
            return f"wrong content: {error}"
        case msgspec.DecodeError():
            return f"not valid JSON: {error}"
        case UnicodeDecodeError():
            return "not valid UTF-8"
        case RecursionError():
            return "nested too deeply"
        case _:
            return str(error)
