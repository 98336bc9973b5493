"""A relay between a client and a server that breaks connections where a test wants it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

NEVER = 10**9


class CuttingProxy:
    """Passes bytes on; `cuts` says for each connection how many of the answer get through.

    Connections beyond the list are not cut.
    """

    def __init__(self, target: str, cuts: list[int]) -> None:
        parts = urlsplit(target)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._cuts = iter(cuts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[bytes] = []
        self.url = ""

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server, forth = await asyncio.open_connection(self._host, self._port)
        forwarding = asyncio.create_task(self._forward(client, forth))
        try:
            await self._return(server, back, next(self._cuts, NEVER))
        finally:
            forwarding.cancel()
            back.close()
            forth.close()
            self._tasks.discard(task)

    async def _return(
        self, server: asyncio.StreamReader, back: asyncio.StreamWriter, left: int
    ) -> None:
        with suppress(ConnectionError):
            while left > 0 and (data := await server.read(min(left, 65_536))):
                back.write(data)
                await back.drain()
                left -= len(data)

    async def _forward(self, client: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await client.read(65_536):
                self.requests.append(data)
                forth.write(data)
                await forth.drain()

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def cutting(target: str, cuts: list[int]) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of `target` for the length of the block."""
    proxy = CuttingProxy(target, cuts)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
