"""Puts routes, errors, limits and pages together to one ASGI application."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from understudy import __version__
from understudy.server.guard import Guard
from understudy.server.problems import PROBLEM_RESPONSES, install_problem_handlers
from understudy.server.routes import (
    api,
    approvals,
    chat,
    feedback,
    feeds,
    health,
    intake,
    models,
    mood,
    openai,
    personas,
    rehearsals,
    sockets,
    statistics,
    twitch,
)
from understudy.server.routes.pages import install_pages
from understudy.server.services import Services

_ROUTERS = (
    chat.router,
    personas.router,
    openai.router,
    health.router,
    approvals.router,  # before api, whose /actions/{action} would take its action
    api.router,
    feedback.router,
    models.router,
    rehearsals.router,
    intake.router,
    statistics.router,
    mood.router,
    twitch.router,
    sockets.router,
    feeds.router,
)


def create_server(services: Services) -> FastAPI:
    """The ASGI application for `services`. It starts and stops nothing: its owner does."""
    app = FastAPI(
        title="Understudy",
        version=__version__,
        description="A self-hosted AI co-host for live streams.",
        docs_url="/docs",
        redoc_url=None,
        responses=PROBLEM_RESPONSES,
    )
    app.state.services = services
    install_problem_handlers(app)
    for router in _ROUTERS:
        app.include_router(router)
    install_pages(app)
    settings = services.settings
    app.add_middleware(
        Guard, settings=settings, addresses=services.limits.address, metrics=services.metrics
    )
    if settings.server.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.server.cors_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            # Clients made for OpenAI's API bring headers of their own.
            allow_headers=["*"],
            expose_headers=["X-Run-Id", "Retry-After"],
        )
    return app
