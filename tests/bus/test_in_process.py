import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.bus import Bus, Subscription
from understudy.events import ChatMessage, Event, Moderation, StreamEvent


def chat(number: int, channel: str = "c") -> ChatMessage:
    return ChatMessage(id=str(number), channel=channel, ts=number, user="u", text=str(number))


def raid() -> StreamEvent:
    return StreamEvent(id="r", channel="c", ts=0, kind="raid", user="u")


def ids(events: list[Event]) -> list[str]:
    return [event.id for event in events]


async def settle() -> None:
    """Let every task that can run do so until it waits again."""
    for _ in range(3):
        await asyncio.sleep(0)


async def waiting(awaitable: "asyncio.Task[Any]") -> bool:
    await settle()
    return not awaitable.done()


@pytest.fixture
def bus() -> Bus:
    return Bus()


# --- who gets what


async def test_every_subscriber_gets_every_event_in_order(bus: Bus) -> None:
    one, two = bus.subscribe("one"), bus.subscribe("two")
    for number in range(5):
        await bus.publish(chat(number))
    assert ids(await one.batch()) == ["0", "1", "2", "3", "4"]
    assert ids(await two.batch(limit=2)) == ["0", "1"]
    assert ids(await two.batch()) == ["2", "3", "4"]


async def test_a_subscriber_gets_the_kinds_and_the_channel_it_asked_for(bus: Bus) -> None:
    chats = bus.subscribe("chats", ChatMessage, channel="c")
    both = bus.subscribe("both", ChatMessage, StreamEvent)
    moderation = bus.subscribe("moderation", Moderation)
    await bus.publish(chat(1))
    await bus.publish(chat(2, channel="other"))
    await bus.publish(raid())
    assert ids(await chats.batch()) == ["1"]
    assert ids(await both.batch()) == ["1", "2", "r"]
    assert len(moderation) == 0


async def test_a_subscription_can_be_iterated(bus: Bus) -> None:
    subscription = bus.subscribe("reader")
    for number in range(3):
        await bus.publish(chat(number))
    subscription.close()
    assert [event.id async for event in subscription] == ["0", "1", "2"]


async def test_a_waiting_reader_wakes_for_the_next_event(bus: Bus) -> None:
    subscription = bus.subscribe("reader")
    batch = asyncio.create_task(subscription.batch())
    await settle()
    assert not batch.done()
    await bus.publish(chat(1))
    assert ids(await batch) == ["1"]


async def test_a_cancelled_reader_loses_no_event(bus: Bus) -> None:
    subscription = bus.subscribe("reader")
    batch = asyncio.create_task(subscription.batch())
    await settle()
    batch.cancel()
    bus.publish_nowait(chat(1))
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert ids(await subscription.batch()) == ["1"]


# --- a full queue


async def test_a_stuck_subscriber_never_blocks_the_others(bus: Bus) -> None:
    stuck = bus.subscribe("stuck", capacity=3)
    reader = bus.subscribe("reader", capacity=100)
    for number in range(10):
        await bus.publish(chat(number))
    assert len(await reader.batch()) == 10
    assert (len(stuck), stuck.dropped, reader.dropped) == (3, 7, 0)
    assert ids(await stuck.batch()) == ["7", "8", "9"]


@given(
    capacity=st.integers(1, 5),
    steps=st.lists(st.integers(-3, 4), max_size=40),
)
async def test_every_event_is_delivered_in_order_or_counted_as_dropped(
    capacity: int, steps: list[int]
) -> None:
    bus = Bus()
    subscription = bus.subscribe("reader", capacity=capacity)
    published = 0
    read: list[int] = []
    for step in steps:
        for _ in range(max(0, step)):
            await bus.publish(chat(published))
            published += 1
        if step < 0 and len(subscription):
            read += [event.ts for event in await subscription.batch(limit=-step)]
        assert len(subscription) <= capacity
    subscription.close()
    read += [event.ts async for event in subscription]
    assert read == sorted(set(read))
    assert len(read) + subscription.dropped == published
    assert not published or read[-1] == published - 1


async def test_a_lossless_subscriber_holds_back_its_publisher_only(bus: Bus) -> None:
    archive = bus.subscribe("archive", ChatMessage, capacity=1, lossless=True)
    await bus.publish(chat(1))
    publisher = asyncio.create_task(bus.publish(chat(2)))
    assert await waiting(publisher)
    # What the archive does not want passes it.
    other = bus.subscribe("other", StreamEvent)
    await bus.publish(raid())
    assert ids(await other.batch()) == ["r"]
    assert await waiting(publisher)
    assert ids(await archive.batch()) == ["1"]
    await publisher
    assert ids(await archive.batch()) == ["2"]
    assert archive.dropped == 0


async def test_an_event_reaches_the_others_while_a_lossless_subscriber_is_full(bus: Bus) -> None:
    archive = bus.subscribe("archive", capacity=1, lossless=True)
    other = bus.subscribe("other")
    await bus.publish(chat(1))
    publisher = asyncio.create_task(bus.publish(chat(2)))
    assert await waiting(publisher)
    assert ids(await other.batch()) == ["1", "2"]
    assert ids(await archive.batch()) == ["1"]
    await publisher
    assert ids(await archive.batch()) == ["2"]
    assert len(other) == 0, "it did not get the event twice"


async def test_a_lossless_subscriber_loses_nothing_to_several_publishers(bus: Bus) -> None:
    archive = bus.subscribe("archive", capacity=2, lossless=True)

    async def publish(first: int) -> None:
        for number in range(first, first + 20):
            await bus.publish(chat(number))

    publishers = [asyncio.create_task(publish(first)) for first in (0, 100, 200)]
    got: list[int] = []
    while len(got) < 60:
        got += [event.ts for event in await archive.batch(limit=1)]
    await asyncio.gather(*publishers)
    assert archive.dropped == 0
    for first in (0, 100, 200):
        assert [number for number in got if first <= number < first + 20] == list(
            range(first, first + 20)
        )


async def test_a_held_back_publisher_is_freed_when_the_reader_leaves(bus: Bus) -> None:
    archive = bus.subscribe("archive", capacity=1, lossless=True)
    await bus.publish(chat(1))
    publisher = asyncio.create_task(bus.publish(chat(2)))
    assert await waiting(publisher)
    bus.unsubscribe(archive)
    await publisher
    assert ids(await archive.batch()) == ["1"]
    assert await archive.batch() == []


async def test_publishing_without_waiting_refuses_to_lose_an_event(bus: Bus) -> None:
    bus.subscribe("archive", ChatMessage, capacity=1, lossless=True)
    bus.publish_nowait(chat(1))
    with pytest.raises(RuntimeError, match="archive is full and must not lose events"):
        bus.publish_nowait(chat(2))
    bus.publish_nowait(raid())


# --- the end


async def test_a_closed_subscription_gives_what_it_has_and_ends(bus: Bus) -> None:
    subscription = bus.subscribe("reader")
    await bus.publish(chat(1))
    bus.unsubscribe(subscription)
    bus.unsubscribe(subscription)
    assert subscription.closed
    await bus.publish(chat(2))
    assert subscription.offer(chat(3)), "an event for a closed reader is not held back"
    assert ids(await subscription.batch()) == ["1"]
    assert await subscription.batch() == []


async def test_closing_wakes_a_waiting_reader(bus: Bus) -> None:
    subscription = bus.subscribe("reader")
    batch = asyncio.create_task(subscription.batch())
    await settle()
    bus.close()
    assert await batch == []
    assert bus.subscriptions == ()


async def test_subscriptions_are_listed_while_they_are_open(bus: Bus) -> None:
    one, two = bus.subscribe("one"), bus.subscribe("two")
    assert [subscription.name for subscription in bus.subscriptions] == ["one", "two"]
    bus.unsubscribe(one)
    assert bus.subscriptions == (two,)


async def test_drained_waits_until_the_last_event_was_dealt_with(bus: Bus) -> None:
    archive = bus.subscribe("archive", capacity=10, lossless=True)
    bus.subscribe("stuck")
    dealt: list[str] = []
    proceed = asyncio.Event()

    async def read(subscription: Subscription) -> None:
        async for event in subscription:
            await proceed.wait()
            dealt.append(event.id)

    reader = asyncio.create_task(read(archive))
    await bus.drained()
    await bus.publish(chat(1))
    await bus.publish(chat(2))
    drained = asyncio.create_task(bus.drained())
    assert await waiting(drained), "both events are still being dealt with"
    proceed.set()
    await drained
    assert dealt == ["1", "2"]
    bus.close()
    await reader


async def test_a_closed_reader_is_drained_only_once_it_has_dealt_with_its_last_batch(
    bus: Bus,
) -> None:
    archive = bus.subscribe("archive", lossless=True)
    await bus.publish(chat(1))
    assert len(await archive.batch()) == 1
    archive.close()
    drained = asyncio.create_task(archive.drained())
    assert await waiting(drained), "the batch is still being dealt with"
    assert await archive.batch() == []
    await drained


async def test_a_reader_that_stops_iterating_is_drained(bus: Bus) -> None:
    archive = bus.subscribe("archive", lossless=True)
    await bus.publish(chat(1))
    events = aiter(archive)
    assert (await anext(events)).id == "1"
    drained = asyncio.create_task(archive.drained())
    assert await waiting(drained)
    await events.aclose()  # pyright: ignore[reportAttributeAccessIssue]
    await drained


async def test_a_subscription_nobody_wrote_to_is_drained(bus: Bus) -> None:
    archive = bus.subscribe("archive", lossless=True)
    await bus.drained()
    archive.close()
    await archive.drained()


# --- a reader that is in no hurry


FOR_EVER = 3_600.0


async def test_a_reader_that_lingers_takes_what_comes_meanwhile(bus: Bus) -> None:
    slow = bus.subscribe("slow")
    taking = asyncio.create_task(slow.batch(linger=0.05))
    for number in range(3):
        await bus.publish(chat(number))
        await settle()
    assert ids(await taking) == ["0", "1", "2"]


async def test_a_lingering_reader_goes_on_when_there_is_enough(bus: Bus) -> None:
    slow = bus.subscribe("slow")
    taking = asyncio.create_task(slow.batch(limit=8, linger=FOR_EVER))
    await bus.publish(chat(0))
    assert await waiting(taking)
    await bus.publish(chat(1))
    assert ids(await asyncio.wait_for(taking, 5)) == ["0", "1"]


async def test_nobody_waits_for_a_lingering_reader(bus: Bus) -> None:
    slow = bus.subscribe("slow", lossless=True)

    async def read() -> list[list[str]]:
        batches: list[list[str]] = []
        while events := await slow.batch(linger=FOR_EVER):
            batches.append(ids(events))
        return batches

    reading = asyncio.create_task(read())
    await bus.publish(chat(0))
    await settle()
    await asyncio.wait_for(bus.drained(), 5)
    await bus.publish(chat(1))
    await settle()
    bus.unsubscribe(slow)
    assert await asyncio.wait_for(reading, 5) == [["0"], ["1"]]


async def test_a_backlog_gives_others_their_turn(bus: Bus) -> None:
    slow = bus.subscribe("slow")
    for number in range(4):
        await bus.publish(chat(number))
    turns: list[str] = []

    async def other() -> None:
        turns.append("other")

    task = asyncio.create_task(other())
    for _ in range(4):
        turns += ids(await slow.batch(limit=1))
    await task
    assert turns.index("other") < len(turns) - 1
