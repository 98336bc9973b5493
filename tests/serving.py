"""A real server on a loopback port, in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from understudy.app import Application
from understudy.config import Settings, load_settings
from understudy.server.http import create_server
from understudy.server.process import GracefulServer


@dataclass
class Running:
    """A running server and a client for it."""

    url: str
    application: Application
    process: GracefulServer
    http: httpx2.AsyncClient
    serving: asyncio.Task[None]

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1)

    async def session(self, user: str = "ana", persona: str | None = None) -> str:
        """Start a session and return its id."""
        body = {"user_id": user, **({"persona": persona} if persona else {})}
        return (await self.http.post("/chat/start", json=body)).json()["session_id"]


def settings_for(folder: Path, **flags: Any) -> Settings:
    """Settings for a test; flags are named `section__key`."""
    values: dict[str, Any] = {"server.data_dir": folder, "brain.seed": 7}
    # A developer's own local model must not answer.
    values |= {"brain.words_per_second": 0, "brain.local_urls": []}
    values |= {name.replace("__", "."): value for name, value in flags.items()}
    return load_settings(env={}, env_file=None, flags=values)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """Serve `settings` until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with Application(settings) as application:
        process = GracefulServer(create_server(application.services), application.quiesce)
        # The test's own signal handlers stay; `should_exit` ends this server.
        serving = asyncio.create_task(process._serve([listener]), name="server")
        async with httpx2.AsyncClient(base_url=url, timeout=20) as http:
            await asyncio.wait_for(process.listening.wait(), 10)
            try:
                yield Running(url, application, process, http, serving)
            finally:
                process.should_exit = True
                await serving


def parse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The `(id, data)` of each event in a server-sent stream, comments left out."""
    events: list[tuple[str, dict[str, Any]]] = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.splitlines() if not line.startswith(":")
        )
        if fields:
            events.append((fields.get("id", ""), msgspec.json.decode(fields["data"])))
    return events
