"""The events of a streamed message, from the bytes that Anthropic sends."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.anthropic_messages import MessageReader
from understudy.brains.base import BrainError, BrainEvent, Finish, Text, ToolCall, Usage
from understudy.brains.failures import Failures


def read(chunks: list[bytes]) -> list[BrainEvent]:
    failures = Failures("Claude", "m", "brain.anthropic_api_key", "http://host", local=False)
    reader = MessageReader(failures)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [*events, *reader.finish()]


def event(kind: str, **fields: Any) -> bytes:
    data = msgspec.json.encode({"type": kind, **fields})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def block(kind: str, **fields: Any) -> bytes:
    return event("content_block_start", index=0, content_block={"type": kind, **fields})


def delta(kind: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=0, delta={"type": kind, **fields})


STOP = event("content_block_stop", index=0)
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 4})
USAGE = {"input_tokens": 9, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3}
WHOLE = b"".join(
    [
        event("message_start", message={"id": "msg", "usage": {**USAGE, "output_tokens": 1}}),
        block("thinking", thinking=""),
        delta("thinking_delta", thinking="Hmm"),
        delta("signature_delta", signature="abc"),
        STOP,
        block("text", text=""),
        event("ping"),
        delta("text_delta", text="Grüße ☕"),
        delta("text_delta", text=" 👩‍🚀\n\n"),
        STOP,
        block("tool_use", id="toolu_a", name="roll", input={}),
        delta("input_json_delta", partial_json=""),
        delta("input_json_delta", partial_json='{"note": "für'),
        delta("input_json_delta", partial_json=' dich"}'),
        STOP,
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 31}),
        event("message_stop"),
    ]
)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=60))
def test_it_does_not_matter_how_the_bytes_were_split(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    chunks = [WHOLE[a:b] for a, b in pairwise(edges)]
    assert read(chunks) == [
        Text("Grüße ☕"),
        Text(" 👩‍🚀\n\n"),
        ToolCall("toolu_a", "roll", '{"note": "für dich"}'),
        Usage(input_tokens=32, output_tokens=31, cached_tokens=20, written_tokens=3),
        Finish("tool_calls"),
    ]


def test_a_block_may_hold_all_of_its_content_from_the_start() -> None:
    stream = [block("text", text="Hi"), STOP]
    stream += [block("tool_use", id="a", name="roll", input={"n": 1}), STOP]
    stream += [block("tool_use", id="b", name="clock"), STOP, END]
    assert read(stream)[:3] == [
        Text("Hi"),
        ToolCall("a", "roll", '{"n":1}'),
        ToolCall("b", "clock", "{}"),
    ]


def test_events_of_tomorrow_are_passed_over() -> None:
    stream = [event("telepathy", delta={"type": "thought"}), STOP, event("message_start"), END]
    stream += [event("content_block_delta"), event("content_block_start")]
    assert read(stream) == [Usage(output_tokens=4), Finish("stop")]


def test_later_counts_replace_earlier_ones() -> None:
    start = event("message_start", message={"usage": {"input_tokens": 5, "output_tokens": 1}})
    final = {"input_tokens": 7, "output_tokens": 4, "cache_read_input_tokens": None}
    stream = [start, event("message_delta", delta={"stop_reason": "end_turn"}, usage=final)]
    assert read(stream)[0] == Usage(input_tokens=7, output_tokens=4)


@pytest.mark.parametrize("stream", [b"data: {broken\n\n", b"data: []\n\n", b"data: \xff\xfe\n\n"])
def test_what_is_no_event_is_told(stream: bytes) -> None:
    with pytest.raises(BrainError, match="no answer") as caught:
        read([stream])
    assert caught.value.kind == "broken"


def test_a_stream_without_an_end_broke_off() -> None:
    with pytest.raises(BrainError, match="broke off") as caught:
        read([block("text", text="Hi"), event("message_stop")])
    assert caught.value.kind == "broken"


def test_bytes_without_lines_are_no_answer() -> None:
    with pytest.raises(BrainError, match="no answer"):
        read([b"x" * 5_000_000])
