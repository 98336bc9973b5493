"""Learning is queued once in every window."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.nightly.schedule import Schedule, Timetable, dedupe_key, window_at
from understudy.storage.engine import Database
from understudy.storage.jobs import Jobs

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTLY = Timetable(every="night", hour=4, hours=3)
WEEKLY = Timetable(every="week", hour=23, weekday=6, hours=4)


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def name_at(timetable: Timetable, text: str) -> str:
    window = window_at(timetable, at(text), BERLIN)
    return window.name if window else ""


@pytest.mark.parametrize(
    ("time", "name"),
    [
        ("2026-11-21T03:59:59", ""),
        ("2026-11-21T04:00:00", "2026-11-21"),
        ("2026-11-21T06:59:59", "2026-11-21"),
        ("2026-11-21T07:00:00", ""),
    ],
)
def test_a_night_has_one_window(time: str, name: str) -> None:
    assert name_at(NIGHTLY, time) == name


@pytest.mark.parametrize(
    ("time", "name"),
    [
        ("2026-11-22T22:59:59", ""),
        ("2026-11-22T23:00:00", "2026-W47"),
        # Past midnight it is still last week's.
        ("2026-11-23T02:59:59", "2026-W47"),
        ("2026-11-23T03:00:00", ""),
        ("2026-11-21T23:30:00", ""),
    ],
)
def test_a_week_has_one_window(time: str, name: str) -> None:
    assert name_at(WEEKLY, time) == name


def test_switched_off_there_is_none() -> None:
    assert window_at(Timetable(), at("2026-11-21T04:30:00"), BERLIN) is None


@given(
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
    st.integers(0, 23),
    st.floats(0.1, 23),
    st.sampled_from(["night", "week"]),
)
def test_a_window_holds_the_time_it_is_open_at(
    moment: datetime, hour: int, hours: float, every: str
) -> None:
    timetable = Timetable(every=every, hour=hour, weekday=2, hours=hours)  # type: ignore[arg-type]
    now = int(moment.replace(tzinfo=UTC).timestamp() * 1000)
    window = window_at(timetable, now, BERLIN)
    if window is not None:
        assert window.opens <= now < window.closes
        opened = datetime.fromtimestamp(window.opens / 1000, BERLIN)
        # In the hour that summer time leaves out it opens an hour later.
        assert opened.hour in {hour, hour + 1}
        assert every == "night" or opened.weekday() == 2
        end = window_at(timetable, window.closes - 1, BERLIN)
        assert end == window


@given(st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))
def test_two_nights_have_two_names(moment: datetime) -> None:
    names = {
        window.name
        for days in range(7)
        if (
            window := window_at(
                Timetable(every="night", hours=24),
                int((moment + timedelta(days=days)).replace(tzinfo=UTC).timestamp() * 1000),
                BERLIN,
            )
        )
    }
    assert len(names) >= 6


async def test_a_window_is_queued_once_by_however_many(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    jobs = Jobs(database)
    channels = ["ada", "bob"]
    one, two = (Schedule(jobs, NIGHTLY, BERLIN, channels=lambda: channels) for _ in range(2))
    assert await one.look(at("2026-11-21T12:00:00")) == []
    queued = await one.look(at("2026-11-21T04:10:00"))
    assert await two.look(at("2026-11-21T05:10:00")) == queued
    assert [(job.kind, job.args["channel"]) for job in queued] == [
        ("learn", "ada"),
        ("learn", "bob"),
    ]
    window = window_at(NIGHTLY, at("2026-11-21T04:10:00"), BERLIN)
    assert window is not None
    assert [job.dedupe_key for job in queued] == [dedupe_key(c, window) for c in channels]
    assert queued[0].dedupe_key == "learn:ada:2026-11-21"
    assert len(await two.look(at("2026-11-22T04:10:00"))) == 2
    assert len(await jobs.recent()) == 4
    await database.close()


async def test_it_keeps_looking(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite+aiosqlite:///{tmp_path}/understudy.db")
    always = Timetable(every="night", hour=0, hours=24)
    schedule = Schedule(Jobs(database), always, UTC, poll_seconds=0.01)
    schedule.start()
    queued: list[object] = []

    async def look() -> None:
        queued.extend(await Jobs(database).recent())

    while not queued:
        await look()
    await schedule.close()
    await database.close()
