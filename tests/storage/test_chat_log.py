"""The archive of chat, the channels and the roster, in SQLite and PostgreSQL."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from understudy.events import ChatMessage, Decision, Moderation, StreamEvent
from understudy.storage import chat_log
from understudy.storage.channels import Channels
from understudy.storage.chat_log import ArchivedMessage, ChatArchive, InvalidCursor, MessageDecision
from understudy.storage.engine import Database
from understudy.storage.rows import (
    ChatRow,
    DecisionRow,
    ExperienceRow,
    ModerationRow,
    StreamEventRow,
)

Log = Callable[..., Awaitable[None]]


def said(ts: int, *, id: str = "", channel: str = "ada", **fields: Any) -> ChatRow:
    values: dict[str, Any] = {"user": "kim", "text": f"at {ts}", **fields}
    return ChatRow(ChatMessage(id=id or f"{channel}{ts}", channel=channel, ts=ts, **values))


def acted(ts: int, kind: Any, *, channel: str = "ada", **fields: Any) -> ModerationRow:
    return ModerationRow(
        Moderation(id=f"act{kind}{ts}", channel=channel, ts=ts, kind=kind, **fields)
    )


def ids(messages: list[ArchivedMessage]) -> list[str]:
    return [archived.message.id for archived in messages]


async def pages(
    archive: ChatArchive, channel: str | None, limit: int, newest: bool = False
) -> list[list[str]]:
    found: list[list[str]] = []
    after = None
    while page := await archive.messages(channel, after, limit, newest):
        found.append(ids(page))
        after = page[-1].cursor
    return found


async def test_a_message_comes_back_as_it_was_logged(any_database: Database, log: Log) -> None:
    row = said(
        5,
        name="Kim ☃",
        platform="web",
        role="moderator",
        reply_to="m0",
        reply_to_user="lee",
        first=True,
        tags={"badge": "x", "emotes": '"quoted"'},
    )
    await log(row)
    (archived,) = await ChatArchive(any_database).messages("ada", None, 10)
    assert archived.message == row.event
    assert archived.decision is None
    assert archived.deleted is False


async def test_pages_follow_without_gap_or_repeat(any_database: Database, log: Log) -> None:
    archive = ChatArchive(any_database)
    await log(*[said(ts // 3, id=f"m{ts}") for ts in range(7)], said(1, channel="bob"))
    assert await pages(archive, "ada", 3) == [["m0", "m1", "m2"], ["m3", "m4", "m5"], ["m6"]]
    assert await pages(archive, "ada", 4, newest=True) == [
        ["m6", "m5", "m4", "m3"],
        ["m2", "m1", "m0"],
    ]
    assert await pages(archive, "nobody", 4) == []
    assert await archive.messages("ada", None, 0) == []
    assert await archive.messages("ada", None, -1) == []


async def test_pages_over_all_channels_are_in_order_of_time(
    any_database: Database, log: Log
) -> None:
    archive = ChatArchive(any_database)
    rows = [said(ts, channel=name) for ts in (1, 2, 2, 3) for name in ("ada", "bob", "cyd")]
    await log(*rows, said(2, id="ada2b"), said(2, id="bob2b", channel="bob"))
    # Time 2 is there twice: the log stores the repeats once.
    whole = ids(await archive.messages(None, None, 20))
    assert len(whole) == len(set(whole)) == 11
    assert [name[3] for name in whole] == sorted(name[3] for name in whole)
    for limit in (1, 2, 3, 5, 20):
        forth = await pages(archive, None, limit)
        back = await pages(archive, None, limit, newest=True)
        assert [name for page in forth for name in page] == whole
        assert [name for page in back for name in page] == whole[::-1]


async def test_a_page_goes_on_with_what_came_meanwhile(any_database: Database, log: Log) -> None:
    archive = ChatArchive(any_database)
    await log(said(1))
    (first,) = await archive.messages("ada", None, 10)
    assert await archive.messages("ada", first.cursor, 10) == []
    await log(said(2))
    assert ids(await archive.messages("ada", first.cursor, 10)) == ["ada2"]


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "ü", "\ud800", "1", "bm9uc2Vuc2U="),
        base64.urlsafe_b64encode(b'[1,2,"m","more"]x').decode(),
        base64.urlsafe_b64encode(b'[-1,2,"m"]').decode(),
        base64.urlsafe_b64encode(b'[9223372036854775808,2,"m"]').decode(),
        base64.urlsafe_b64encode(b'["1",2,"m"]').decode(),
    ],
)
async def test_a_cursor_of_somebody_elses_making_is_refused(
    database: Database, cursor: str
) -> None:
    with pytest.raises(InvalidCursor, match="leave it out"):
        await ChatArchive(database).messages("ada", cursor, 10)


async def test_a_forged_place_finds_what_lies_after_it(any_database: Database, log: Log) -> None:
    await log(said(1), said(2))
    forged = base64.urlsafe_b64encode(rb'[1,9,"\u0000\u0027 OR 1=1 --"]').decode()
    assert ids(await ChatArchive(any_database).messages("ada", forged, 10)) == ["ada2"]


async def test_the_decision_is_joined_to_its_message_only(any_database: Database, log: Log) -> None:
    decision = Decision(
        id="d1",
        channel="ada",
        ts=9,
        message_id="same",
        message_ts=1,
        user="kim",
        action="answered",
        reason="mention",
        detail="It names the co-host.",
        turn="t1",
    )
    await log(said(1, id="same"), said(2, id="same"), said(1, id="same", channel="bob"))
    await log(DecisionRow(decision, message_ts=1))
    found = await ChatArchive(any_database).messages(None, None, 10)
    assert [(archived.message.channel, archived.decision) for archived in found] == [
        (
            "ada",
            MessageDecision(
                action="answered", reason="mention", detail="It names the co-host.", turn="t1"
            ),
        ),
        ("bob", None),
        ("ada", None),
    ]


@pytest.mark.parametrize(
    ("acts", "deleted"),
    [
        ([], []),
        ([acted(9, "delete", message_id="ada2")], ["ada2"]),
        ([acted(2, "timeout", user="kim")], ["ada1", "ada2"]),
        ([acted(1, "ban", user="kim"), acted(2, "timeout", user="kim")], ["ada1", "ada2"]),
        ([acted(9, "ban", user="lee")], ["ada4"]),
        ([acted(2, "clear")], ["ada1", "ada2"]),
        ([acted(9, "timeout", user="somebody")], []),
        ([acted(9, "delete", message_id="ada2", channel="bob")], []),
        ([acted(9, "ban", user="kim", channel="bob")], []),
        ([acted(9, "clear", channel="bob")], []),
    ],
)
async def test_moderators_acts_remove_what_was_said_before(
    any_database: Database, log: Log, acts: list[ModerationRow], deleted: list[str]
) -> None:
    await log(said(1), said(2), said(3), said(4, user="lee"), *acts)
    found = await ChatArchive(any_database).messages("ada", None, 10)
    assert ids([archived for archived in found if archived.deleted]) == deleted
    assert len(found) == 4


async def test_count(any_database: Database, log: Log) -> None:
    archive = ChatArchive(any_database)
    assert await archive.count() == 0
    await log(said(1), said(2), said(1, channel="bob"))
    assert await archive.count() == 3
    assert await archive.count("ada") == 2
    assert await archive.count("nobody") == 0


async def test_iteration_is_in_order_of_time_over_chunks_and_channels(
    any_database: Database, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_log, "CHUNK", 2)
    archive = ChatArchive(any_database)
    await log(*[said(ts) for ts in range(1, 8)], *[said(ts, channel="bob") for ts in (2, 3, 9)])
    every = [archived.message.ts async for archived in archive.iter_messages(None)]
    assert every == [1, 2, 2, 3, 3, 4, 5, 6, 7, 9]
    assert [a.message.ts async for a in archive.iter_messages("ada", since=6)] == [6, 7]
    assert [a.message.id async for a in archive.iter_messages("bob", since=3)] == ["bob3", "bob9"]
    assert [a async for a in archive.iter_messages("nobody")] == []


async def test_an_iteration_left_half_way_holds_nothing_up(
    any_database: Database, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_log, "CHUNK", 1)
    archive = ChatArchive(any_database)
    await log(*[said(ts) for ts in range(5)])
    left = [archive.iter_messages("ada") for _ in range(20)]
    for iteration in left:
        assert (await anext(iteration)).message.ts == 0
    await log(said(9))
    assert await archive.count() == 6


async def test_the_archive_iterates_experiences_too(any_database: Database, log: Log) -> None:
    row = ExperienceRow(
        id="e1",
        ts=1,
        channel="ada",
        session="s1",
        user="kim",
        persona="host",
        model="m",
        prompt_messages=[],
        prompt_text="hi",
        response="ho",
        status="complete",
    )
    await log(row)
    archive = ChatArchive(any_database)
    assert [found.id async for found in archive.iter_experiences("ada")] == ["e1"]
    assert [found.id async for found in archive.iter_experiences("bob")] == []


async def test_channels_are_made_once(any_database: Database, log: Log) -> None:
    channels = Channels(any_database)
    first = await channels.get_or_create("cyd")
    assert await channels.get_or_create("cyd") == first
    assert await channels.get_or_create("b\x00b") != first
    await log(said(1))
    assert await channels.names() == ["ada", "b\ufffdb", "cyd"]


async def test_the_roster_has_everyone_under_every_name(any_database: Database, log: Log) -> None:
    await log(
        said(1, user="kim", name="Kim"),
        said(2, user="kim", name="KIM!", reply_to_user="lee"),
        said(3, user="max"),
        said(4, user="lee", name="Lee", channel="bob"),
        StreamEventRow(
            StreamEvent(id="e1", channel="ada", ts=5, kind="raid", user="zoe", name="Zoë")
        ),
        acted(6, "ban", user="troll"),
        acted(7, "clear"),
    )
    archive = ChatArchive(any_database)
    ada = {("kim", "Kim"), ("kim", "KIM!"), ("max", "max"), ("zoe", "Zoë"), ("troll", "troll")}
    assert await archive.roster("ada") == ada | {("lee", "lee")}
    assert await archive.roster() == ada | {("lee", "Lee")}
    assert await archive.roster("nobody") == set()
