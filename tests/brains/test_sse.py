from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains import sse
from understudy.brains.sse import EventStream, NotAnEventStream

STREAM = (
    ": a comment\r\n\r\nevent: start\r\nid: 7\r\ndata: {}\r\n\r\n"
    "data:ohne Leerzeichen\n\ndata: zwei\ndata: Zeilen ☕\n\n\n\nretry: 5\n\n"
    "error: {'code': 500}\n\nunknown\ndata: the end"
).encode()
EVENTS = ["{}", "ohne Leerzeichen", "zwei\nZeilen ☕", "{'code': 500}", "the end"]


def read(chunks: list[bytes]) -> list[str]:
    stream = EventStream()
    events = [event for chunk in chunks for event in stream.feed(chunk)]
    return [event.decode() for event in [*events, *stream.finish()]]


def test_the_data_of_events_is_cut_out() -> None:
    assert read([STREAM]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=60))
def test_it_does_not_matter_how_the_bytes_were_split(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[a:b] for a, b in pairwise(edges)]
    assert read(chunks) == EVENTS


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_any_bytes_can_be_read(chunks: list[bytes]) -> None:
    stream = EventStream()
    for chunk in chunks:
        stream.feed(chunk)
    stream.finish()


def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST_LINE", 100)
    stream = EventStream()
    stream.feed(b"data: " + b"x" * 90)
    with pytest.raises(NotAnEventStream):
        stream.feed(b"x" * 90)
