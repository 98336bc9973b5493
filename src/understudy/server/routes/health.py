"""`/healthz`, `/readyz`, `/metrics`: for supervisors and scrapers."""

import msgspec
from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from understudy import __version__
from understudy.server.access import ServicesDep, Viewer

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz", responses={503: {"content": {"application/json": {}}}})
async def readyz(services: ServicesDep) -> Response:
    """Every dependency works (200), or which does not (503)."""
    checks = await services.ready()
    ready = all(state == "ok" for state in checks.values())
    body = msgspec.json.encode({"status": "ok" if ready else "unavailable", "checks": checks})
    return Response(body, 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: ServicesDep, _: Viewer) -> Response:
    """The figures of this server in Prometheus' text format."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)
