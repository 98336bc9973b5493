"""Server-sent events out of bytes, however the network cuts them.

Owns the part of https://html.spec.whatwg.org/multipage/server-sent-events.html that the server
uses: `id` and `data` fields, comments, and lines that end in LF or CRLF.
"""

from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event: its id, empty when it has none, and its data."""

    id: str
    data: bytes


class EventParser:
    """The events of one connection. What is cut off at its end is no event."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that `chunk` completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events: list[ServerEvent] = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if line:
                self._take(line)
            elif self._data:
                events.append(ServerEvent(self._id, b"\n".join(self._data)))
                self._data = []
        return events

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id":
            self._id = value.decode("utf-8", "replace")
