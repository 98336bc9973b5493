"""The web app, the overlays, and `/try`, the raw test client."""

from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from understudy.server.problems import Problem
from understudy.web import dist_folder, try_page

router = APIRouter(include_in_schema=False)

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Understudy</title>
<body style="font:16px/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em">
<h1>Understudy is running</h1><p>The web app is not built. Install Node 20.19 or newer and start
with <code>make run</code>. The API works, and so does the <a href="try">test client</a>.</p>"""
_PAGE_HEADERS = {"Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}
_APP_PAGES = ("/", "/overlays", "/channels")
_OVERLAYS = ("chat", "mood")


@router.get("/try")
async def try_client() -> Response:
    """The raw test client, a plain page."""
    return FileResponse(try_page(), headers=_PAGE_HEADERS)


@router.get("/overlay/{name}")
async def overlay(name: str) -> Response:
    """An OBS browser source."""
    page = dist_folder() / "overlay" / f"{name}.html"
    if name not in _OVERLAYS or not page.is_file():
        raise Problem(404, f"there is no overlay {name!r}: the overlays are {_list(_OVERLAYS)}")
    return FileResponse(page, headers=_PAGE_HEADERS)


async def app_page() -> Response:
    """The web app; its pages are told apart in the browser."""
    page = dist_folder() / "index.html"
    if not page.is_file():
        return HTMLResponse(_NOT_BUILT, headers=_PAGE_HEADERS)
    return FileResponse(page, headers=_PAGE_HEADERS)


def install_pages(app: FastAPI) -> None:
    """Serve the pages and the built files."""
    app.include_router(router)
    for path in _APP_PAGES:
        app.add_api_route(path, app_page, include_in_schema=False)
    assets: Path = dist_folder() / "assets"
    # `check_dir=False`: an editable install without Node has no built files.
    app.mount("/assets", StaticFiles(directory=assets, check_dir=False), name="assets")


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names)
