"""`/api/v1/rehearsals…`: play the bundled sample or an uploaded recording."""

from fastapi import APIRouter, Request, Response

from understudy.server.access import Moderator, ServicesDep
from understudy.server.bodies import RehearsalBody
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.sources.rehearsal import Rehearsal, RehearsalBusy, RehearsalOptions

router = APIRouter(prefix="/api/v1/rehearsals", tags=["rehearsals"])


@router.post("", status_code=201)
async def create(body: RehearsalBody, services: ServicesDep, _: Moderator) -> dict[str, object]:
    """Start rehearsing the sample, or open an upload: send its lines, then `start` it."""
    speed = None if body.speed == "max" else float(body.speed)
    options = RehearsalOptions(
        speed=speed, seed=body.seed, channel=body.channel or ("rehearsal" if body.sample else "")
    )
    try:
        rehearsal = services.rehearsals.create(options, upload=not body.sample)
        if body.sample:
            services.rehearsals.start_sample(rehearsal)
    except RehearsalBusy as error:
        raise Problem(409, str(error)) from None
    return rehearsal.describe()


@router.get("")
async def index(services: ServicesDep, _: Moderator) -> dict[str, object]:
    """The rehearsals that are kept, the newest last."""
    return {"rehearsals": [rehearsal.describe() for rehearsal in services.rehearsals.all()]}


@router.post("/{rehearsal_id}/lines")
async def upload(
    rehearsal_id: str, request: Request, services: ServicesDep, _: Moderator
) -> dict[str, object]:
    """Add a piece of the recording, in order; pieces may be cut anywhere."""
    rehearsal = _find(services, rehearsal_id)
    if rehearsal.state != "uploading":
        raise Problem(409, "the rehearsal was started or stopped: it takes no more lines")
    rehearsal.add_piece(await request.body())
    return rehearsal.describe()


@router.post("/{rehearsal_id}/start")
async def start(rehearsal_id: str, services: ServicesDep, _: Moderator) -> dict[str, object]:
    """Play the uploaded recording."""
    rehearsal = _find(services, rehearsal_id)
    try:
        services.rehearsals.start_upload(rehearsal)
    except RehearsalBusy as error:
        raise Problem(409, str(error)) from None
    return rehearsal.describe()


@router.get("/{rehearsal_id}")
async def show(rehearsal_id: str, services: ServicesDep, _: Moderator) -> dict[str, object]:
    """How far it is; with the report once it has ended."""
    rehearsal = _find(services, rehearsal_id)
    return {**rehearsal.describe(), "report": rehearsal.report()}


@router.delete("/{rehearsal_id}", status_code=204)
async def stop(rehearsal_id: str, services: ServicesDep, _: Moderator) -> Response:
    """Stop it."""
    _find(services, rehearsal_id).stop()
    return Response(status_code=204)


def _find(services: Services, rehearsal_id: str) -> Rehearsal:
    rehearsal = services.rehearsals.get(rehearsal_id)
    if rehearsal is None:
        raise Problem(404, f"there is no rehearsal {rehearsal_id!r}")
    return rehearsal
