"""What relays do in trouble: Understudy and LiteLLM in front of the same fake model server."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from relay_servers import Launcher, Relay, upstream
from relay_words import word

GRACE_SECONDS = 2.0
WATCH_SECONDS = 8.0
STALLED, STALLED_SECONDS = 20, 20.0
STALLED_TOKENS, STALLED_SIZE, STALLED_PACE = 5_000, 400, 0.02
CASE_SECONDS = 60.0
CASES = (
    "viewer leaves in mid-answer",
    "viewer leaves before the first token",
    "refresh in mid-answer",
    "upstream breaks after 5 of 50",
    "stop from a second connection",
    f"{STALLED} readers stop",
)


@dataclass
class Event:
    """A server-sent event."""

    id: str
    data: str

    @property
    def text(self) -> str:
        """The text of a token, in Understudy's form or OpenAI's; empty for anything else."""
        if self.data == "[DONE]":
            return ""
        body = json.loads(self.data)
        if body.get("choices"):
            return body["choices"][0]["delta"].get("content") or ""
        return body.get("token", "")


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Event]:
    """The events of an answer."""
    event = Event("", "")
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").rstrip("\r").partition(": ")
        if name == "id":
            event.id = value
        elif name == "data":
            event.data = value
        elif not name and event.data:
            yield event
            event = Event("", "")


class Trial:
    """One relay in trouble."""

    def __init__(self, relay: Relay, upstream_url: str, http: aiohttp.ClientSession) -> None:
        self._relay = relay
        self._upstream = upstream_url
        self._http = http
        self._numbers = itertools.count(1)
        self._sessions = itertools.count()
        self._log: dict[int, dict[str, Any]] = {}

    async def run(self) -> AsyncIterator[str]:
        """A sentence for each of the `CASES`."""
        for case in (self.leaves, self.leaves_early, self.refresh, self.breaks, self.stop):
            yield await within(case())
        yield await within(self.stalls())

    async def leaves(self) -> str:
        """The viewer leaves after the fifth token."""
        await self._say(tokens=400)
        async with self._ask() as (response, number):
            await self._read(response, 5)
            response.close()
        return await self._cancelled(number, time.monotonic_ns())

    async def leaves_early(self) -> str:
        """The viewer leaves while the model still thinks."""
        await self._say(think=60)
        number = next(self._numbers)
        index = await self._session()
        asking = asyncio.create_task(self._post(index, number).__aenter__())
        while number not in await self._look():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
        if asking.done():
            asking.result().close()
        else:
            asking.cancel()
        return await self._cancelled(number, time.monotonic_ns())

    async def _cancelled(self, number: int, since: int) -> str:
        gone = await self._departure(number)
        return f"upstream cancelled after {(gone - since) / 1e9:.2f} s" if gone else "NOT cancelled"

    async def refresh(self) -> str:
        """The connection is lost after each of the first 45 tokens, in an answer each."""
        await self._say(tokens=50)
        if not self._relay.is_understudy:
            return "no way to resume: the question must be asked and paid again"
        whole = "".join(map(word, range(50))).strip()
        count = 45
        await self._relay.open_sessions(self._http, count)
        texts = await asyncio.gather(*(self._resumed(after) for after in range(1, count + 1)))
        same = sum(text.strip() == whole for text in texts)
        return f"{same} of {count} answers whole after resuming, nothing lost or doubled"

    async def _resumed(self, after: int) -> str:
        async with self._ask() as (response, _):
            run = response.headers["X-Run-Id"]
            text, last = await self._read(response, after)
            response.close()
        url = f"{self._relay.url}/chat/runs/{run}"
        headers = {**self._relay.headers, "Last-Event-ID": last}
        async with self._http.get(url, headers=headers) as response:
            rest, _ = await self._read(response, None)
        return text + rest

    async def breaks(self) -> str:
        """The connection to the model is reset after five tokens."""
        await self._say(tokens=50, breaks_after=5)
        words, last, ending = 0, "", "clean end"
        async with self._ask() as (response, _):
            try:
                async for event in events(response):
                    words += event.text.count("word")
                    last = event.data
            except aiohttp.ClientError as error:
                ending = type(error).__name__
        return f"{words} tokens, {ending}, last event {last[:110]}"

    async def stop(self) -> str:
        """Another connection stops the answer."""
        if not self._relay.is_understudy:
            return "no such route: only the connection that asked can end it, by leaving"
        await self._say(tokens=400)
        async with self._ask() as (response, number):
            run = response.headers["X-Run-Id"]
            await self._read(response, 5)
            begun = time.monotonic_ns()
            stop = f"{self._relay.url}/chat/runs/{run}/stop"
            async with self._http.post(stop, headers=self._relay.headers) as stopped:
                stopped.raise_for_status()
            last = [event.data async for event in events(response)][-1]
        gone = await self._departure(number)
        took = f"{(gone - begun) / 1e6:.0f} ms" if gone else "NOT"
        return f"upstream cancelled after {took}, the reader got {last[:110]}"

    async def stalls(self) -> str:
        """Readers that stop reading, and one that does not."""
        await self._say(tokens=STALLED_TOKENS, size=STALLED_SIZE, pace=STALLED_PACE)
        await self._relay.open_sessions(self._http, STALLED + 1)
        before = peak = self._relay.memory()
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(STALLED):
                await stack.enter_async_context(self._ask())
            end = time.monotonic() + STALLED_SECONDS
            while time.monotonic() < end:
                await asyncio.sleep(0.5)
                peak = max(peak, self._relay.memory())
            await self._say(tokens=20)
            begun = time.monotonic()
            async with self._ask() as (response, number):
                text, _ = await self._read(response, None)
            took = time.monotonic() - begun
            log = await self._look()
            sent = sum(entry["taken"] for entry in log.values() if entry["number"] != number)
        told = sent * STALLED_SIZE / 1e6
        words = text.count("word")
        return (
            f"memory +{peak - before:.0f} MiB while the model told {told:.0f} MB; "
            f"another viewer: {words} of 20 tokens in {took:.1f} s (1.0 alone)"
        )

    async def _session(self) -> int:
        index = next(self._sessions)
        await self._relay.open_sessions(self._http, index + 1)
        return index

    def _post(self, index: int, number: int) -> Any:
        relay = self._relay
        return self._http.post(
            relay.url + relay.path, json=relay.question(index, number), headers=relay.headers
        )

    @contextlib.asynccontextmanager
    async def _ask(self) -> AsyncIterator[tuple[aiohttp.ClientResponse, int]]:
        number = next(self._numbers)
        async with self._post(await self._session(), number) as response:
            response.raise_for_status()
            yield response, number
            if not response.content.at_eof():
                response.close()

    async def _read(self, response: aiohttp.ClientResponse, tokens: int | None) -> tuple[str, str]:
        """Read `tokens` of an answer, or all: its text, and the last event's id."""
        text, last = "", ""
        async for event in events(response):
            text += event.text
            last = event.id
            if tokens is not None and text.count("word") >= tokens:
                break
        return text, last

    async def _say(self, **what: Any) -> None:
        async with self._http.post(f"{self._upstream}/bench/reply", json=what) as response:
            response.raise_for_status()
        await self._look()
        self._log.clear()

    async def _look(self) -> dict[int, dict[str, Any]]:
        """The model server's log since the last `_say`."""
        async with self._http.get(f"{self._upstream}/bench/log") as response:
            for entry in await response.json():
                self._log[entry["number"]] = entry
        return self._log

    async def _departure(self, number: int) -> int:
        """When the relay left the model, 0 if it stays."""
        end = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < end:
            await asyncio.sleep(0.2)
            if left := (await self._look()).get(number, {}).get("left"):
                return left
        return 0


async def within(case: Awaitable[str]) -> str:
    """What a case came to, if it came to anything."""
    try:
        async with asyncio.timeout(CASE_SECONDS):
            return await case
    except TimeoutError:
        return f"no end within {CASE_SECONDS:.0f} s"


async def compare(litellm: Path) -> None:
    """Print what each relay does in each case."""
    async with upstream() as (port, pid), aiohttp.ClientSession(read_bufsize=4096) as http:
        launcher = Launcher(port, pid, litellm, grace=GRACE_SECONDS)
        for name in ("understudy, lean", "litellm"):
            print(name)
            async with launcher.started(name) as relay:
                trial = Trial(relay, f"http://127.0.0.1:{port}", http)
                cases = iter(CASES)
                async for sentence in trial.run():
                    print(f"    {next(cases):38}{sentence}", flush=True)
    print(
        f"\nserver.stream_grace was {GRACE_SECONDS} s: for so long Understudy waits for a viewer "
        "who may come back"
    )
