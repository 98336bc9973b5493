"""Calls that wait for a moderator: shown as they are, decided once, and forgotten in time."""

import asyncio

import msgspec
import pytest

from tests.engine.tools.conftest import STREAMER, VIEWER, Bench, Deed, asked, call, tape
from tests.waiting import until
from understudy.engine.tools.approvals import Approval, Approvals, Verdict


def question(text: str = "please") -> dict[str, object]:
    return {
        "tool": "scene",
        "description": "Changes the scene.",
        "arguments": '{"to": "break"}',
        "caller": VIEWER,
        "text": text,
        "why": "This tool is confirmed always.",
    }


def bench(*tapes_, **settings) -> tuple[Bench, Deed]:
    tool = Deed("scene", confirm="always")
    return Bench(tool, tapes=tapes_, **settings), tool


async def waiting(approvals: Approvals, number: int = 1) -> list[Approval]:
    await until(lambda: len(approvals.waiting()) == number)
    return approvals.waiting()


async def test_a_call_waits_and_is_carried_out_as_it_was_shown() -> None:
    stage, tool = bench(tape(call("scene", '{ "to":"break" }')), tape("Done."))
    reading = asyncio.create_task(stage.text(VIEWER, asked("go to the break scene")))
    (approval,) = await waiting(stage.approvals)
    assert (approval.tool, approval.caller) == ("scene", VIEWER)
    assert approval.description == "Does scene."
    assert approval.text == "go to the break scene"
    assert approval.arguments == '{"to": "break"}'
    assert approval.expires_at - approval.asked_at == 60_000
    assert not tool.calls
    assert stage.approvals.decide(approval.id, True, "mo") == approval
    assert await reading == "Done."
    assert tool.calls == [({"to": "break"}, VIEWER)]
    assert stage.approvals.waiting() == []
    assert stage.records[0].approved_by == "mo"


@pytest.mark.parametrize("caller", [VIEWER, STREAMER])
async def test_confirmation_is_asked_for_whoever_wants_it(caller) -> None:
    stage, tool = bench(tape(call("scene")), tape("No."), approval_seconds=0.01)
    assert await stage.text(caller) == "No."
    assert not tool.calls


async def test_a_declined_call_is_told_to_the_model() -> None:
    stage, tool = bench(tape(call("scene")), tape("Sorry."))
    reading = asyncio.create_task(stage.text())
    (approval,) = await waiting(stage.approvals)
    stage.approvals.decide(approval.id, False, "mo")
    assert await reading == "Sorry."
    assert not tool.calls
    assert "error: a moderator declined the call" in stage.result()
    assert (stage.outcomes, stage.records[0].approved_by) == (["declined"], "mo")


async def test_a_call_that_nobody_confirms_is_let_go() -> None:
    stage, tool = bench(tape(call("scene")), tape("Sorry."), approval_seconds=0.01)
    assert await stage.text() == "Sorry."
    assert not tool.calls
    assert stage.approvals.waiting() == []
    assert "error: no moderator confirmed the call in time" in stage.result()
    assert stage.outcomes == ["expired"]


async def test_a_reply_that_is_stopped_withdraws_its_call() -> None:
    stage, tool = bench(tape(call("scene")))
    reading = asyncio.create_task(stage.text())
    (approval,) = await waiting(stage.approvals)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert stage.approvals.waiting() == []
    assert stage.approvals.decide(approval.id, True, "mo") is None
    assert not tool.calls
    assert stage.outcomes == ["cancelled"]


async def test_a_call_that_may_not_be_made_is_never_shown() -> None:
    tool = Deed("scene", confirm="always", role="moderator")
    stage = Bench(tool, Deed("clock"), tapes=(tape(call("scene")), tape("Sorry.")))
    await stage.text(VIEWER)
    assert stage.outcomes == ["forbidden"]


async def test_the_tools_deadline_starts_when_it_is_confirmed() -> None:
    stage, tool = bench(tape(call("scene")), tape("Done."), seconds=0.02)
    reading = asyncio.create_task(stage.text())
    (approval,) = await waiting(stage.approvals)
    await asyncio.sleep(0.05)
    stage.approvals.decide(approval.id, True, "mo")
    assert await reading == "Done."
    assert tool.calls


async def test_what_is_shown_cannot_deceive() -> None:
    """Characters that reorder what follows are in neither the shown nor the used arguments."""
    arguments = '{"path": "\\u202egnp.exe", "also": "\u202eraw", "name": "Zoë ☕"}'
    stage, tool = bench(tape(call("scene", arguments)), tape("Done."))
    reading = asyncio.create_task(stage.text())
    (approval,) = await waiting(stage.approvals)
    assert "\u202e" not in approval.arguments
    assert "Zoë ☕" in approval.arguments
    stage.approvals.approve_oldest("mo")
    await reading
    assert tool.calls[0][0] == {"path": "gnp.exe", "also": "raw", "name": "Zoë ☕"}
    assert tool.calls[0][0] == msgspec.json.decode(approval.arguments)


async def test_an_approval_cannot_be_changed() -> None:
    approvals = Approvals(5)
    asking = asyncio.create_task(approvals.ask(**question()))
    (approval,) = await waiting(approvals)
    with pytest.raises(AttributeError):
        approval.arguments = "{}"
    approvals.approve_oldest("mo")
    assert await asking == Verdict("approved", "mo")


async def test_a_call_is_decided_once() -> None:
    approvals = Approvals(5)
    asking = asyncio.create_task(approvals.ask(**question()))
    (approval,) = await waiting(approvals)
    assert approvals.decide(approval.id, False, "mo") is not None
    assert approvals.decide(approval.id, True, "eve") is None
    assert approvals.approve_oldest("eve") is None
    assert await asking == Verdict("declined", "mo")


async def test_the_oldest_is_approved_first() -> None:
    approvals = Approvals(5)
    asking = []
    for number, text in enumerate(("first", "second"), 1):
        asking.append(asyncio.create_task(approvals.ask(**question(text))))
        await waiting(approvals, number)
    assert [approval.text for approval in approvals.waiting()] == ["first", "second"]
    oldest = approvals.approve_oldest("mo")
    assert oldest is not None
    assert oldest.text == "first"
    assert (await asking[0]).answer == "approved"
    assert not asking[1].done()
    approvals.approve_oldest("mo")
    await asking[1]
    assert approvals.approve_oldest("mo") is None


async def test_the_list_is_bounded() -> None:
    approvals = Approvals(5, limit=1)
    first = asyncio.create_task(approvals.ask(**question()))
    await waiting(approvals)
    assert await approvals.ask(**question()) == Verdict("crowded")
    approvals.approve_oldest("mo")
    await first


async def test_a_crowd_of_calls_is_told_to_the_model() -> None:
    stage, tool = bench(tape(call("scene")), tape("Sorry."))
    stage.approvals._limit = 0
    assert await stage.text() == "Sorry."
    assert "too many calls wait for a moderator" in stage.result()
    assert stage.outcomes == ["crowded"]
    assert not tool.calls


def test_nobody_can_decide_what_does_not_wait() -> None:
    assert Approvals(5).decide("approval_none", True, "mo") is None
