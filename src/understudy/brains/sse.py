"""Server-sent events, as providers stream them.

Owns cutting bytes into the data of events. Does not own what the data means
(`chat_completions`, `anthropic_messages`).
"""

LONGEST_LINE = 4_194_304
"""Bytes; a provider that sends more without a line break sends no events."""


class NotAnEventStream(Exception):
    """The bytes cannot be server-sent events."""


class EventStream:
    """Cuts a stream of bytes into the data of its events, however the bytes were split.

    After the WHATWG specification of server-sent events, less what no provider uses: a carriage
    return alone ends no line. Lines of a field `error` count as data, because llama.cpp sends its
    errors so.
    """

    def __init__(self) -> None:
        self._open_line = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that are complete with `chunk`; raises `NotAnEventStream`."""
        *lines, self._open_line = (self._open_line + chunk).split(b"\n")
        if len(self._open_line) > LONGEST_LINE:
            raise NotAnEventStream
        events: list[bytes] = []
        for line in lines:
            line = line.removesuffix(b"\r")
            if not line:
                self._dispatch(events)
            elif line.startswith((b"data:", b"error:")):
                self._data.append(line.partition(b":")[2].removeprefix(b" "))
        return events

    def finish(self) -> list[bytes]:
        """The data of an event whose closing empty line never came."""
        events = self.feed(b"\n")
        self._dispatch(events)
        return events

    def _dispatch(self, events: list[bytes]) -> None:
        if self._data:
            events.append(b"\n".join(self._data))
            self._data = []
