"""The dialect of chat completions and its deviations, from the bytes that servers send."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.brains.base import BrainError, BrainEvent, Finish, Text, ToolCall, Usage
from understudy.brains.chat_completions import CompletionReader
from understudy.brains.failures import Failures


def read(chunks: list[bytes]) -> list[BrainEvent]:
    failures = Failures("the server", "m", "brain.api_key", "http://host", local=True)
    reader = CompletionReader(failures)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return [*events, *reader.finish()]


def lines(*events: Any, done: bool = True) -> bytes:
    data = [b"data: %b\n\n" % msgspec.json.encode(event) for event in events]
    return b"".join([*data, b"data: [DONE]\n\n" if done else b""])


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index: int | None, call_id: str | None, arguments: Any, name: str | None = None) -> Any:
    function = {"name": name, "arguments": arguments}
    return delta(tool_calls=[{"index": index, "id": call_id, "function": function}])


WHOLE = lines(
    delta(role="assistant", content=""),
    delta(content="Grüße ☕"),
    delta(content=" 👩‍🚀\n\n"),
    call(0, "call_a", "", "roll"),
    call(0, None, '{"note": "für'),
    call(0, None, ' dich"}'),
    delta("tool_calls"),
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}},
)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=60))
def test_it_does_not_matter_how_the_bytes_were_split(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    chunks = [WHOLE[a:b] for a, b in pairwise(edges)]
    assert read(chunks) == [
        Text("Grüße ☕"),
        Text(" 👩‍🚀\n\n"),
        ToolCall("call_a", "roll", '{"note": "für dich"}'),
        Usage(input_tokens=9, output_tokens=4),
        Finish("tool_calls"),
    ]


def test_a_refusal_is_said_and_marked() -> None:
    stream = lines(delta(refusal="I would rather not."), delta("stop"))
    assert read([stream]) == [Text("I would rather not."), Finish("refusal")]


def test_an_end_mark_is_enough_of_an_end() -> None:
    assert read([lines(delta(content="Hi"))]) == [Text("Hi"), Finish("stop")]


def test_a_finish_is_enough_of_an_end() -> None:
    stream = lines(delta(content="Hi"), delta("length"), done=False)
    assert read([stream]) == [Text("Hi"), Finish("length")]


def test_the_last_event_may_lack_its_empty_line() -> None:
    assert read([lines(delta(content="Hi")).rstrip()]) == [Text("Hi"), Finish("stop")]


def test_what_comes_after_the_end_mark_is_not_read() -> None:
    assert read([lines(delta("stop")) + b"data: {broken\n\n"]) == [Finish("stop")]


def test_usage_in_every_chunk_counts_once() -> None:
    usage = [{"prompt_tokens": 5, "completion_tokens": n} for n in (1, 2)]
    details = {"prompt_tokens_details": {"cached_tokens": None}, "completion_tokens": None}
    stream = lines({**delta(content="a"), "usage": usage[0]}, {**delta("stop"), "usage": usage[1]})
    assert read([stream])[1] == Usage(input_tokens=5, output_tokens=2)
    assert read([lines({**delta("stop"), "usage": details})])[0] == Usage()


@pytest.mark.parametrize("index", [0, None])
def test_calls_that_share_an_index_are_told_apart_by_their_ids(index: int | None) -> None:
    stream = lines(
        call(index, "a", '{"n": 1}', "roll"), call(index, "b", '{"n": 2}', "roll"), delta("stop")
    )
    assert read([stream]) == [
        ToolCall("a", "roll", '{"n": 1}'),
        ToolCall("b", "roll", '{"n": 2}'),
        Finish("tool_calls"),
    ]


def test_arguments_may_come_as_an_object_and_a_call_without_id_or_arguments() -> None:
    stream = lines(
        call(0, "a", {"n": 1}, "roll"),
        call(1, None, None, "clock"),
        delta(tool_calls=[{"index": 2}]),
        delta("tool_calls"),
    )
    assert read([stream])[:2] == [
        ToolCall("a", "roll", '{"n":1}'),
        ToolCall("call_2", "clock", "{}"),
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (b'data: {"error": {"message": "Slow down", "type": "rate_limit_error"}}', "overloaded"),
        (b'data: {"object": "error", "message": "boom", "code": 500}', "broken"),
        (b'data: {"error": "the request exceeds the available context size"}', "context_too_long"),
        (b'error: {"code": 500, "message": "boom", "type": "server_error"}', "broken"),
        (b'data: {"choices": 5, "message": "model \'x\' not found"}', "unknown_model"),
        (b"data: <html>", "broken"),
        (b"data: \xff\xfe", "broken"),
        (b'data: {"choices": 5}', "broken"),
    ],
)
def test_errors_in_the_stream_are_told(error: bytes, kind: str) -> None:
    with pytest.raises(BrainError) as caught:
        read([lines(delta(content="Hi"), done=False), error + b"\n\n"])
    assert caught.value.kind == kind


@pytest.mark.parametrize("stream", [b"", b": nothing\n\n", lines(delta(content="Hi"), done=False)])
def test_a_stream_without_an_end_broke_off(stream: bytes) -> None:
    with pytest.raises(BrainError, match="broke off") as caught:
        read([stream])
    assert caught.value.kind == "broken"


def test_bytes_without_lines_are_no_answer() -> None:
    with pytest.raises(BrainError, match="no answer") as caught:
        read([b"x" * 5_000_000])
    assert caught.value.kind == "broken"


def test_a_choice_without_a_delta_is_passed_over() -> None:
    assert read([lines({"choices": [{"index": 0}]}, {"choices": None}, delta("stop"))]) == [
        Finish("stop")
    ]
