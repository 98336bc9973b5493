"""`GET /api/v1/statistics`: how busy each channel's chat is, who writes, what they write.

Owns the route. Does not own what is counted (`engine.statistics`).
"""

import msgspec
from fastapi import APIRouter

from understudy.server.access import Moderator, ServicesDep

router = APIRouter(prefix="/api/v1", tags=["web app"])


@router.get("/statistics")
async def statistics(services: ServicesDep, _: Moderator, channel: str = "") -> dict[str, object]:
    """The statistics of `channel`, or of all channels since the server started.

    Rates are messages per second, times milliseconds since the epoch; `recent` is of the last five
    minutes. A channel in which nobody wrote is not there.
    """
    figures = services.statistics.figures(channel or None)
    return {"channels": [msgspec.to_builtins(each) for each in figures]}
