"""The mood over HTTP: now, and as it was; and what a rehearsal leaves of it."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.test_api import rehearse
from tests.server.wire import PATIENT, SECRET, assert_problem, bearer
from tests.serving import Running, running, settings_for
from tests.waiting import until
from understudy.events import MoodReading
from understudy.storage.mood import MoodRollup, MoodRollups

MOOD = "/api/v1/mood"
MINUTE = 60_000
START = 1_795_284_000_000


def row(ts: int, step: int = 60, **sums: Any) -> MoodRollup:
    return MoodRollup(step=step, channel="ada", ts=ts, **sums)


async def store(server: Running, *rows: MoodRollup) -> None:
    await MoodRollups(server.application.services.database).add(rows)


async def ask(server: Running, **params: Any) -> dict[str, Any]:
    response = await server.http.get(MOOD, params={"channel": "ada"} | params)
    assert response.status_code == 200, response.text
    return response.json()


async def times(server: Running, **params: Any) -> list[int]:
    """Which minutes are told, counted from the first."""
    points = (await ask(server, **params))["points"]
    return [(point["ts"] - START) // MINUTE for point in points]


async def test_the_mood_is_told_step_by_step(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        assert await ask(server) == {"channel": "ada", "now": None, "step": "minute", "points": []}
        sums = {"messages": 4, "negative": 1, "positive": 3, "score": 1.0}
        await store(
            server,
            row(START, **sums, readings=2, value=0.5, intensity=1.0),
            # Taken back: nothing is left of it.
            row(START + MINUTE, messages=0, readings=0),
            row(START, step=3_600, **sums),
        )
        assert (await ask(server))["points"] == [
            {
                "ts": START,
                "value": 0.25,
                "intensity": 0.5,
                "messages": 4,
                "negative": 1,
                "positive": 3,
                "score": 0.25,
            },
            {
                "ts": START + MINUTE,
                "value": None,
                "intensity": None,
                "messages": 0,
                "negative": 0,
                "positive": 0,
                "score": None,
            },
        ]
        (hour,) = (await ask(server, step="hour"))["points"]
        assert (hour["messages"], hour["value"]) == (4, None)
        assert (await ask(server, step="second"))["points"] == []
        assert (await ask(server, channel="nobody"))["points"] == []


async def test_a_time_and_a_number_of_steps_can_be_asked_for(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path)) as server:
        await store(server, *(row(START + n * MINUTE, messages=1) for n in range(10)))
        assert await times(server) == list(range(10))
        assert await times(server, limit=3) == [7, 8, 9]
        assert await times(server, since=START + 2 * MINUTE, until=START + 4 * MINUTE) == [2, 3]
        assert await times(server, until=START + 4 * MINUTE, limit=2) == [2, 3]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "channel"),
        ("?channel=", "channel"),
        ("?channel=ada&step=day", "step"),
        ("?channel=ada&since=yesterday", "since"),
        ("?channel=ada&since=-1", "since"),
        ("?channel=ada&until=99999999999999999999", "until"),
        ("?channel=ada&limit=0", "limit"),
        ("?channel=ada&since=2&until=1", "since is later than until"),
    ],
)
async def test_a_wrong_question_is_a_problem(tmp_path: Path, query: str, named: str) -> None:
    async with running(settings_for(tmp_path)) as server:
        response = await server.http.get(f"{MOOD}{query}")
        assert_problem(response, 422)
        assert named in response.json()["detail"]


async def test_only_moderators_may_ask(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET)
    async with running(settings) as server:
        url = f"{MOOD}?channel=ada"
        assert_problem(await server.http.get(url), 401)
        assert_problem(await server.http.get(url, headers=bearer()), 403)
        assert (await server.http.get(url, headers=bearer(role="moderator"))).status_code == 200


async def test_the_newest_reading_is_told(tmp_path: Path) -> None:
    async with running(settings_for(tmp_path, mood__enabled=False)) as server:
        services = server.application.services
        for number in (1, 2):
            reading = MoodReading(
                id=f"r{number}",
                channel="ada",
                ts=number,
                value=number / 10,
                label="positive",
                intensity=0.5,
                count=number,
            )
            await services.bus.publish(reading)
        await until(lambda: services.feed.log.last_seq == 2)
        assert (await ask(server))["now"] == {
            "ts": 2,
            "value": 0.2,
            "label": "positive",
            "intensity": 0.5,
            "count": 2,
        }
        assert (await ask(server, channel="bob"))["now"] is None


async def test_a_rehearsal_shows_its_mood_while_it_plays(tmp_path: Path) -> None:
    """The monitor and the overlays read what is on the bus, as they do live."""
    async with running(settings_for(tmp_path, **PATIENT)) as server:
        report = (await rehearse(server))["report"]
        moods = server.application.services.feed.moods
        await until(lambda: "rehearsal" in moods)
        assert (await ask(server, channel="rehearsal"))["now"] is not None
        assert report["mood_curve"]["rehearsal"]["points"]
