"""The MCP servers named in the settings: started, watched, and started again.

Owns one task per server, from its first connection to the end of the program: the SDK's scopes
must be entered and left in one task. Does not own what a connection is (`mcp_connection`) nor how
its tools are offered (`mcp_tools`).

A server that cannot be reached is a problem to tell people, never a reason to stop.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import cast

import httpx2

from understudy.config import ToolServer
from understudy.engine.tools.base import Tool
from understudy.engine.tools.error_output import ErrorOutput
from understudy.engine.tools.mcp_connection import Connection, connect, list_tools, load_sdk
from understudy.engine.tools.mcp_tools import Offer, make_offer, one_sentence

CONNECT_SECONDS = 60.0
"""Longest time for a server to start and name its tools; some are downloaded first."""
STEADY_SECONDS = 60.0
"""A connection that held as long is no part of a series of failures."""
LONGEST_WAIT = 60.0
MIN_SECRET = 6
"""Shorter values of the environment are no secrets, and stand in every other sentence."""

logger = logging.getLogger(__name__)


def backoff(failures: int) -> float:
    """Seconds to wait after that many failures in a row: doubled each time, with jitter."""
    return random.uniform(0.5, 1.0) * min(LONGEST_WAIT, 2.0 ** min(failures, 10))


class McpServers:
    """All servers of the settings; use `start` and `close`, both in any task."""

    def __init__(
        self, servers: Sequence[ToolServer], *, backoff: Callable[[int], float] = backoff
    ) -> None:
        self.servers = [McpServer(server, backoff=backoff) for server in servers]

    def start(self) -> None:
        """Begin to connect; returns at once."""
        for server in self.servers:
            server.start()

    def tools(self) -> list[Tool]:
        """The tools of all servers that are connected now."""
        return [tool for server in self.servers for tool in server.tools]

    def problems(self) -> list[str]:
        """What a person should look at, one sentence each."""
        return [problem for server in self.servers for problem in server.problems()]

    async def settled(self) -> None:
        """Wait until each server has connected, or failed to, for the first time."""
        await asyncio.gather(*(server.settled.wait() for server in self.servers))

    async def close(self) -> None:
        """End all connections and programs; takes a few seconds when a program does not end."""
        await asyncio.gather(*(server.close() for server in self.servers))


class McpServer:
    """One server and its present connection."""

    def __init__(
        self,
        settings: ToolServer,
        *,
        backoff: Callable[[int], float] = backoff,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self.settings = settings
        self.settled = asyncio.Event()
        """Set once it has connected or failed to."""
        self._backoff = backoff
        self._connect_seconds = connect_seconds
        self._offer = Offer()
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    @property
    def tools(self) -> tuple[Tool, ...]:
        """Its tools; none while it is not connected."""
        return self._offer.tools

    def problems(self) -> list[str]:
        """What a person should look at, one sentence each."""
        return [self._problem] if self._problem else list(self._offer.problems)

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._task = asyncio.create_task(self._run(), name=f"tool server {self.settings.name}")

    async def close(self) -> None:
        """End the connection, and the program behind it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        """Connect until told to stop; every failure waits longer than the one before."""
        loop = asyncio.get_running_loop()
        failures = 0
        while True:
            began = loop.time()
            reason = await self._attempt()
            if reason is None:
                return
            failures = 0 if loop.time() - began >= STEADY_SECONDS else failures
            self._tell(f"{reason}; it is tried again")
            await asyncio.sleep(self._backoff(failures))
            failures += 1

    async def _attempt(self) -> str | None:
        """Connect and stay; why it ended, None when there is no use in trying again."""
        errors = ErrorOutput(self.settings.name, self._without_secrets)
        connection = Connection()
        try:
            await load_sdk()
            await self._serve(connection, errors)
            reason = "it has ended"
        except ImportError:
            self._tell("the mcp extra is missing: pip install 'understudy[mcp]'")
            return None
        except Exception as error:
            logger.debug("tool server %s", self.settings.name, exc_info=error)
            reason = self._without_secrets(_reason(error, self.settings))
        finally:
            self._offer = Offer()
            connection.end()
            await errors.close()
        return f"{reason} ({errors.last})" if errors.last else reason

    async def _serve(self, connection: Connection, errors: ErrorOutput) -> None:
        """Connect, offer the tools, and follow their changes until the connection ends."""
        async with AsyncExitStack() as stack:
            async with asyncio.timeout(self._connect_seconds):
                opening = connect(self.settings, connection, errors)
                client = await stack.enter_async_context(opening)
                listed = await list_tools(client)
            connection.client = client
            self._offer = make_offer(self.settings, listed, connection)
            self._problem = ""
            self.settled.set()
            logger.info("tool server %s: %d tools", self.settings.name, len(self.tools))
            while not connection.ended:
                await connection.news()
                if connection.changed and not connection.ended:
                    connection.changed = False
                    listed = await list_tools(client)
                    self._offer = make_offer(self.settings, listed, connection)

    def _tell(self, problem: str) -> None:
        self._problem = f"the tool server {self.settings.name} does not work: {problem}"
        logger.warning("%s", self._problem)
        self.settled.set()

    def _without_secrets(self, text: str) -> str:
        """`text` without the values that the settings keep secret."""
        secrets = (*self.settings.env.values(), *self.settings.headers.values())
        for value in (secret.get_secret_value() for secret in secrets):
            if len(value) >= MIN_SECRET:
                text = text.replace(value, "***")
        return text


def _reason(error: BaseException, settings: ToolServer) -> str:
    """Why a connection failed, in a few words."""
    from mcp import MCPError, types

    match _innermost(error):
        case MCPError(code=types.CONNECTION_CLOSED):
            return "it has ended"
        case FileNotFoundError():
            return f"there is no program {settings.command}"
        case PermissionError():
            return f"the program {settings.command} may not be started"
        case TimeoutError():
            return "it does not answer"
        case httpx2.ConnectError():
            return "nothing answers at its url"
        case innermost:
            return one_sentence(str(innermost)) or type(innermost).__name__


def _innermost(error: BaseException) -> BaseException:
    """The first error of a group, which the SDK's task groups make of every error."""
    if isinstance(error, BaseExceptionGroup):
        group = cast(BaseExceptionGroup[BaseException], error)
        return _innermost(group.exceptions[0])
    return error
