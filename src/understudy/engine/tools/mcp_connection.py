"""A connection to one MCP server, over standard input and output or over streamable HTTP.

Owns how it is opened with the official SDK, and how its owner learns that it has ended or that
there are other tools. Does not own when it is opened again (`mcp`). The SDK is loaded at the first
connection: it takes a second.
"""

import asyncio
import importlib
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import httpx2

from understudy import __version__
from understudy.config import ToolServer
from understudy.engine.tools.error_output import ErrorOutput

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client import Transport

MAX_PAGES = 10
"""Pages of a server's list of tools that are read."""
_HTTP_TIMEOUT = httpx2.Timeout(30.0, read=300.0)  # as the SDK itself has it

logger = logging.getLogger(__name__)


class Connection:
    """What is known of a connection by its owner, who waits for `news`, and by its tools."""

    def __init__(self) -> None:
        self.client: Client | None = None
        """None before it is open and once it has ended."""
        self.ended = False
        self.changed = False
        """The server has other tools now; for the owner to reset."""
        self._news = asyncio.Event()

    def end(self) -> None:
        """The connection is of no more use."""
        self.client = None
        self.ended = True
        self._news.set()

    def change(self) -> None:
        """The server has other tools now."""
        self.changed = True
        self._news.set()

    async def news(self) -> None:
        """Wait until it has ended or changed."""
        await self._news.wait()
        self._news.clear()


async def load_sdk() -> None:
    """Import the SDK without holding up others; raises `ImportError`."""
    await asyncio.to_thread(importlib.import_module, "mcp")


@asynccontextmanager
async def connect(
    server: ToolServer, connection: Connection, errors: ErrorOutput
) -> AsyncGenerator["Client"]:
    """An open client; raises what the SDK raises. To be entered and left in one task."""
    from mcp import Client, Implementation, types

    async def on_message(message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            connection.change()

    client = Client(
        _Watched(_transport(server, errors), connection),
        message_handler=on_message,
        client_info=Implementation(name="understudy", version=__version__),
        cache=None,
    )
    async with client:
        listening = asyncio.create_task(_listen(client, connection), name=f"listen {server.name}")
        try:
            yield client
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def list_tools(client: "Client") -> list[Any]:
    """The tools of the server, as the SDK describes them."""
    tools: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools


async def _listen(client: "Client", connection: Connection) -> None:
    """Newer servers tell of changes only to those who listen; losing them means they are gone."""
    from mcp import MCPError
    from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

    try:
        async with client.listen(tools_list_changed=True) as events:
            async for _ in events:
                connection.change()
    except ListenNotSupportedError:
        return  # an older server: it tells by itself
    except MCPError as error:
        logger.debug("a tool server does not tell of changes: %s", error)
    except SubscriptionLost:
        connection.end()


def _transport(server: ToolServer, errors: ErrorOutput) -> "Transport":
    if server.url:
        return _http(server)
    from mcp import StdioServerParameters, stdio_client

    # Programs get the variables named for them and the SDK's few harmless ones, none of our own.
    parameters = StdioServerParameters(
        command=server.command,
        args=server.args,
        env={name: value.get_secret_value() for name, value in server.env.items()},
    )
    return stdio_client(parameters, errlog=errors.file)


@asynccontextmanager
async def _http(server: ToolServer) -> AsyncGenerator[Any]:
    from mcp.client.streamable_http import streamable_http_client

    headers = {name: value.get_secret_value() for name, value in server.headers.items()}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=_HTTP_TIMEOUT) as http,
        streamable_http_client(server.url, http_client=http) as streams,
    ):
        yield streams


class _Watched:
    """A transport whose owner learns that it has ended, which the SDK tells only to callers."""

    def __init__(self, transport: AbstractAsyncContextManager[Any], connection: Connection) -> None:
        self._transport = transport
        self._connection = connection

    async def __aenter__(self) -> tuple[Any, Any]:
        read, write = await self._transport.__aenter__()
        return _WatchedStream(read, self._connection), write

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._transport.__aexit__(kind, error, traceback)


class _WatchedStream:
    """The messages of a server; passes everything on."""

    def __init__(self, stream: Any, connection: Connection) -> None:
        self._stream = stream
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> "_WatchedStream":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *of: Any) -> bool | None:
        return await self._stream.__aexit__(*of)

    def __aiter__(self) -> "_WatchedStream":
        return self

    async def __anext__(self) -> Any:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self._connection.end()
            raise

    async def receive(self) -> Any:
        return await self._stream.receive()

    async def aclose(self) -> None:
        await self._stream.aclose()
