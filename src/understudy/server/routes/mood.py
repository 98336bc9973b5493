"""`GET /api/v1/mood`: the mood of a channel, now and as it was.

Owns the route. Does not own how a mood is read (`mood`) nor how long it is kept (`mood.history`).
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from understudy.events import MoodReading, decode
from understudy.mood.rollups import HOUR, MINUTE, SECOND
from understudy.server.access import Moderator, ServicesDep
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.storage.mood import MAX_ROWS, MoodRollup, MoodRollups

router = APIRouter(prefix="/api/v1", tags=["web app"])

Step = Literal["second", "minute", "hour"]
Time = Annotated[int, Query(ge=0, le=2**53)]

_SECONDS: dict[Step, int] = {"second": SECOND, "minute": MINUTE, "hour": HOUR}


@router.get("/mood")
async def mood(
    services: ServicesDep,
    _: Moderator,
    channel: Annotated[str, Query(min_length=1, max_length=200)],
    step: Step = "minute",
    since: Time = 0,
    until: Time = 2**53,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 1_000,
) -> dict[str, object]:
    """The newest reading of a channel, and its mood by second, minute or hour.

    `since` and `until` are milliseconds since the epoch; of more than `limit` steps the newest are
    given, in order of time. A step in which nothing happened is not there. `value` (-1 to 1) and
    `intensity` (0 to 1) are means of the mood, null where it was not read; `score` is that of the
    messages.
    """
    if since > until:
        raise Problem(422, "since is later than until: exchange them")
    rows = await MoodRollups(services.database).load(
        channel, _SECONDS[step], since=since, until=until, limit=limit
    )
    return {
        "channel": channel,
        "now": _newest(services, channel),
        "step": step,
        "points": [_describe(row) for row in rows],
    }


def _newest(services: Services, channel: str) -> dict[str, object] | None:
    known = services.feed.moods.get(channel)
    reading = decode(known[1].data) if known else None
    if not isinstance(reading, MoodReading):
        return None
    return {
        "ts": reading.ts,
        "value": reading.value,
        "label": reading.label,
        "intensity": reading.intensity,
        "count": reading.count,
    }


def _describe(row: MoodRollup) -> dict[str, object]:
    return {
        "ts": row.ts,
        "value": None if row.mood is None else round(row.mood, 4),
        "intensity": round(row.intensity / row.readings, 4) if row.readings else None,
        "messages": row.messages,
        "negative": row.negative,
        "positive": row.positive,
        "score": round(row.score / row.messages, 4) if row.messages > 0 else None,
    }
