"""Rehearsals through the real application: speeds, repeatability, stops, and what goes wrong."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.serving import settings_for
from understudy.app import Application
from understudy.server.services import Services
from understudy.sources import rehearsal as module
from understudy.sources.rehearsal import (
    KEPT_REHEARSALS,
    Rehearsal,
    RehearsalBusy,
    RehearsalOptions,
    sample_path,
)

START = 1_700_000_000


def line(second: float, text: str, user: str = "", **fields: Any) -> dict[str, Any]:
    user = user or f"u{second}"
    return {"ts": START + second, "channel": "harbor", "user": user, "text": text} | fields


SMALL = [
    line(0, "good evening"),
    line(1, "undy, tell me a joke?"),
    line(2, "undy, do you like tea?", "ben"),
    line(3, "", "cap", event="raid", amount=12),
    line(60, "undy, still here?", "ana"),
    line(61, "undy, and me?", "cleo"),
]


def record(folder: Path, *lines: object) -> Path:
    path = folder / "recording.jsonl"
    path.write_bytes(
        b"".join(
            item if isinstance(item, bytes) else msgspec.json.encode(item) + b"\n" for item in lines
        )
    )
    return path


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with Application(settings_for(tmp_path / "data")) as application:
        yield application.services


@pytest.fixture
async def patient(tmp_path: Path) -> AsyncIterator[Services]:
    """Lets nothing grow too old: at a thousand times its speed, time is too short to rely on."""
    settings = settings_for(tmp_path / "data", director__max_age=1e6, director__quiet_after=0)
    async with Application(settings) as application:
        yield application.services


async def play(services: Services, path: Path, **options: Any) -> Rehearsal:
    rehearsal = services.rehearsals.create(RehearsalOptions(**options))
    async with asyncio.timeout(20):
        await rehearsal.play(path)
    return rehearsal


def report_of(rehearsal: Rehearsal) -> dict[str, Any]:
    report = rehearsal.report()
    assert report is not None
    return report


def reasons(rehearsal: Rehearsal) -> list[str]:
    return [fate["reason"] for fate in report_of(rehearsal)["fates"]]


# --- playing


async def test_every_message_of_a_recording_has_a_fate_and_is_archived(
    services: Services, tmp_path: Path
) -> None:
    rehearsal = await play(services, record(tmp_path, *SMALL), seed=1)
    report = report_of(rehearsal)
    assert rehearsal.describe() == {
        "id": rehearsal.id,
        "state": "finished",
        "error": "",
        "played": 6,
        "total": 6,
        "channel": "harbor",
    }
    assert report["events"] == {"ChatMessage": 5, "StreamEvent": 1}
    assert report["stream_seconds"] == 61
    assert report["channels"] == ["harbor"]
    assert len({fate["id"] for fate in report["fates"]}) == 6
    assert sorted(reasons(rehearsal)) == ["mention"] * 4 + ["not_addressed", "stream_event"]
    assert [reply["user"] for reply in report["replies"]][:2] == ["u1", "cap"], "thanks come first"
    assert all(reply["status"] == "complete" and reply["text"] for reply in report["replies"])
    assert all(fate["detail"].endswith(".") for fate in report["fates"])
    archived = await services.archive.messages("harbor", None, 100)
    assert len(archived) == 5
    assert services.channels.names() == []


async def test_the_same_seed_gives_the_same_report_and_stores_nothing_twice(
    services: Services, tmp_path: Path
) -> None:
    path = record(tmp_path, *sample_path().read_bytes().splitlines(keepends=True)[:150])
    reports = [report_of(await play(services, path, seed=seed)) for seed in (1, 1, 2)]
    assert reports[0] == reports[1]
    assert reports[0]["replies"] != reports[2]["replies"]
    assert await services.archive.count("pixelharbor") == reports[0]["events"]["ChatMessage"]


async def test_the_sample_is_answered_as_a_viewer_would_want(services: Services) -> None:
    """What the director is for, on a whole stream rather than on two messages."""
    report = report_of(await play(services, sample_path(), seed=1))
    fates = {fate["id"]: fate for fate in report["fates"]}
    lines = [msgspec.json.decode(line) for line in sample_path().read_bytes().splitlines()]
    messages = [line for line in lines if "event" not in line]
    for message in messages:
        fate = fates[message["tags"]["id"]]
        text = message["text"].casefold()
        named = any(name in text for name in ("understudy", "undy", "co-host", "cohost"))
        if "@" in text and not named:
            assert fate["action"] != "answered", message
        if fate["reason"] == "mention":
            assert named
        if message["user"] == "nightbot":
            assert fate["reason"] == "bot"
    paid = {"sub", "resub", "gift", "raid", "cheer"}
    for event in lines:
        if event.get("event") in paid:
            assert fates[event["tags"]["id"]]["action"] == "answered", event
    answered = [reply["user"] for reply in report["replies"]]
    assert len(set(answered)) >= 45
    assert max(map(answered.count, answered)) <= len(answered) / 8, "nobody takes it all"
    addressed = [fate["reason"] for fate in report["fates"]]
    assert addressed.count("mention") > 5 * (addressed.count("expired"))


@pytest.mark.parametrize("speed", [1_000.0, 250.0])
async def test_paced_time_decides_as_simulated_time_does(
    patient: Services, tmp_path: Path, speed: float
) -> None:
    lines = [SMALL[0], SMALL[1], SMALL[4]]
    path = record(tmp_path, *lines)
    fast = await play(patient, path, seed=1)
    paced = await play(patient, path, seed=1, speed=speed)
    assert paced.state == "finished"
    assert reasons(paced) == reasons(fast) == ["not_addressed", "mention", "mention"]
    assert report_of(paced)["speed"] == speed
    assert report_of(fast)["speed"] == "max"


async def test_what_waits_at_the_end_is_still_answered_at_any_speed(
    patient: Services, tmp_path: Path
) -> None:
    path = record(tmp_path, line(0, "undy, one"), line(0, "undy, two", "ben"))
    for speed in (None, 1_000.0):
        assert reasons(await play(patient, path, speed=speed)) == ["mention", "mention"]


async def test_two_channels_keep_their_own_time(services: Services, tmp_path: Path) -> None:
    """What falls due in one channel does not wait for that channel's next line."""
    busy = [line(second, "hello", "zed", channel="tavern") for second in range(1, 100)]
    lines = [line(0, "undy, one"), line(0.5, "undy, two", "ben"), *busy, line(100, "bye")]
    both = await play(services, record(tmp_path, *lines), seed=1)
    assert report_of(both)["channels"] == ["harbor", "tavern"]
    harbor = [lines[0], lines[1], lines[-1]]
    alone = await play(services, record(tmp_path, *harbor), seed=1)
    assert [fate for fate in report_of(both)["fates"] if fate["reason"] == "mention"] == [
        fate for fate in report_of(alone)["fates"] if fate["reason"] == "mention"
    ]
    assert reasons(alone).count("mention") == 2


async def test_a_channel_given_replaces_the_recorded_ones(
    services: Services, tmp_path: Path
) -> None:
    path = record(tmp_path, line(0, "hi"), line(1, "hi", channel="tavern"))
    assert report_of(await play(services, path, channel="stage"))["channels"] == ["stage"]


# --- the mood

FEELINGS = ["PogChamp", "love this so much", "amazing", "so good", "hype", "insane PogChamp"]
CHEERFUL = [line(n, FEELINGS[n % len(FEELINGS)], f"fan{n}") for n in range(30)]


async def test_a_report_tells_how_the_mood_went(services: Services, tmp_path: Path) -> None:
    late = line(600, "so boring", "grump", channel="tavern")
    report = report_of(await play(services, record(tmp_path, *CHEERFUL, late), seed=1))
    assert list(report["mood_curve"]) == ["harbor", "tavern"]
    harbor = report["mood_curve"]["harbor"]
    assert harbor["step"] == 1
    seconds = [point["at"] for point in harbor["points"]]
    assert seconds == sorted(set(seconds))
    assert seconds[0] == 0
    assert 20 < seconds[-1] < 30
    assert set(harbor["points"][0]) == {"at", "value", "intensity", "label"}
    assert (harbor["points"][0]["label"], harbor["points"][-1]["label"]) == ("neutral", "positive")
    assert [point["at"] for point in report["mood_curve"]["tavern"]["points"]] == [600]


async def test_pace_does_not_change_the_mood(services: Services, tmp_path: Path) -> None:
    path = record(tmp_path, *CHEERFUL)
    curves = [
        report_of(await play(services, path, speed=speed))["mood_curve"]
        for speed in (None, 1_000.0)
    ]
    assert curves[0] == curves[1]


async def test_the_words_of_a_channel_count_in_its_mood(services: Services, tmp_path: Path) -> None:
    path = record(tmp_path, *[line(n, "glorp", f"fan{n}") for n in range(10)])

    async def newest() -> float:
        report = report_of(await play(services, path))
        return report["mood_curve"]["harbor"]["points"][-1]["value"]

    assert await newest() == 0
    folder = services.settings.data_dir / "mood"
    folder.mkdir(exist_ok=True)
    (folder / "harbor.yaml").write_text("words: {glorp: 1}")
    assert await newest() > 0.3


async def test_where_no_mood_is_read_the_report_has_none(tmp_path: Path) -> None:
    async with Application(settings_for(tmp_path / "data", mood__enabled=False)) as application:
        rehearsal = await play(application.services, record(tmp_path, *CHEERFUL))
    assert report_of(rehearsal)["mood_curve"] == {}


# --- trouble


async def test_bad_lines_are_counted_and_the_first_ones_named(
    services: Services, tmp_path: Path
) -> None:
    path = record(tmp_path, SMALL[0], *[b"nonsense\n"] * 150, SMALL[1])
    report = report_of(await play(services, path))
    assert report["bad_line_count"] == 150
    assert len(report["bad_lines"]) == 100
    assert report["bad_lines"][0]["line"] == 2
    assert report["events"] == {"ChatMessage": 2}


async def test_what_is_no_recording_fails_with_a_sentence(
    services: Services, tmp_path: Path
) -> None:
    rehearsal = await play(services, record(tmp_path, b"<html>"))
    assert rehearsal.state == "failed"
    assert "recording" in rehearsal.error
    assert report_of(rehearsal)["fates"] == []
    missing = await play(services, tmp_path / "missing.jsonl")
    assert missing.state == "failed"
    assert "missing.jsonl" in missing.error


async def test_a_channel_that_is_open_already_is_refused(
    services: Services, tmp_path: Path
) -> None:
    path = record(tmp_path, SMALL[0], line(3_600, "much later"))
    first = services.rehearsals.create(RehearsalOptions(speed=1.0))
    playing = asyncio.create_task(first.play(path))
    async with asyncio.timeout(10):
        while True:
            if first.played:
                break
            await asyncio.sleep(0.005)
    second = await play(services, path)
    assert second.state == "failed"
    assert "open already" in second.error
    with pytest.raises(RehearsalBusy, match="harbor is being played"):
        services.rehearsals.create(RehearsalOptions(channel="harbor"))
    assert first.report() is None
    first.stop()
    await playing
    assert (first.state, first.played) == ("stopped", 1)
    assert (await play(services, record(tmp_path, SMALL[0]))).state == "finished"


async def test_an_ended_session_fails_with_a_sentence(services: Services, tmp_path: Path) -> None:
    path = record(tmp_path, SMALL[0])
    await play(services, path, seed=5)
    await services.sessions.end("rehearsal_5_harbor_harbor")
    rehearsal = await play(services, path, seed=5)
    assert rehearsal.state == "failed"
    assert "has ended" in rehearsal.error
    assert services.channels.names() == []


async def test_a_breakdown_keeps_its_inside_to_itself(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(module, "Channel", broken)
    rehearsal = await play(services, record(tmp_path, SMALL[0]))
    assert rehearsal.state == "failed"
    assert "secret" not in rehearsal.error


async def test_a_cancelled_rehearsal_lets_go_of_its_channel(
    services: Services, tmp_path: Path
) -> None:
    path = record(tmp_path, SMALL[0], line(3_600, "much later"))
    rehearsal = services.rehearsals.create(RehearsalOptions(speed=1.0))
    playing = asyncio.create_task(rehearsal.play(path))
    async with asyncio.timeout(10):
        while True:
            if rehearsal.played:
                break
            await asyncio.sleep(0.005)
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    assert rehearsal.state == "stopped"
    assert services.channels.names() == []


# --- uploads


async def test_an_upload_is_played_once_and_leaves_nothing(
    services: Services, tmp_path: Path
) -> None:
    rehearsal = services.rehearsals.create(RehearsalOptions(seed=1), upload=True)
    data = record(tmp_path, *SMALL).read_bytes()
    for start in range(0, len(data), 100):
        rehearsal.add_piece(data[start : start + 100])
    spool = rehearsal.spool
    assert spool is not None
    assert spool.stat().st_mode & 0o777 == 0o600
    services.rehearsals.start_upload(rehearsal)
    for late in (
        lambda: rehearsal.add_piece(b"x"),
        lambda: services.rehearsals.start_upload(rehearsal),
        lambda: services.rehearsals.start_sample(rehearsal),
    ):
        with pytest.raises(RehearsalBusy):
            late()
    assert rehearsal.task is not None
    await rehearsal.task
    assert rehearsal.state == "finished"
    assert rehearsal.played == 6
    assert not spool.exists()
    with pytest.raises(RehearsalBusy):
        rehearsal.add_piece(b"x")


@pytest.mark.parametrize("started", [False, True])
async def test_a_stop_before_the_first_line_throws_the_upload_away(
    services: Services, started: bool
) -> None:
    rehearsal = services.rehearsals.create(RehearsalOptions(), upload=True)
    rehearsal.add_piece(b"{}")
    spool = rehearsal.spool
    assert spool is not None
    if started:
        services.rehearsals.start_upload(rehearsal)
    rehearsal.stop()
    if rehearsal.task is not None:
        await rehearsal.task
    assert rehearsal.state == "stopped"
    assert not spool.exists()
    with pytest.raises(RehearsalBusy):
        services.rehearsals.start_upload(rehearsal)
    with pytest.raises(RehearsalBusy):
        rehearsal.add_piece(b"{}")


async def test_uploads_that_a_crash_left_behind_are_removed(
    services: Services, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "rehearsals"
    folder.mkdir(parents=True)
    old, new = folder / "old.recording", folder / "new.recording"
    for spool in (old, new):
        spool.touch()
    os.utime(old, (0, time.time() - 2 * module.SPOOL_SECONDS))
    services.rehearsals.create(RehearsalOptions(), upload=True)
    assert not old.exists()
    assert new.exists()


async def test_only_the_newest_rehearsals_are_kept(services: Services) -> None:
    first = services.rehearsals.create(RehearsalOptions(), upload=True)
    spool = first.spool
    for _ in range(KEPT_REHEARSALS):
        services.rehearsals.create(RehearsalOptions())
    assert services.rehearsals.get(first.id) is None
    assert len(services.rehearsals.all()) == KEPT_REHEARSALS
    assert spool is not None
    assert not spool.exists()
