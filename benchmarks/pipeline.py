"""Chat messages per second through the whole rehearsal path of one server process.

The path: parse the recording, clean and filter, decide, answer what is chosen, store messages and
decisions durably, publish to 10 overlay sockets that count what they get. The limit beside it, in
the same run and on the same disk: parse the same lines and insert the messages alone, a thousand
to a transaction, with `synchronous=FULL`.

    python benchmarks/pipeline.py [--messages 60000] [--rounds 3]
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from understudy.sources.recordings import read_recording
from understudy.sources.rehearsal import sample_path

OVERLAYS = 10
GOAL = 6_000
STORED = "SELECT count(*) FROM chat_message JOIN decision USING (channel_id, ts, msg_id)"
PIECE = 512 * 1024
START = 1_763_150_400_000
"""Stream time of the first message; 50 messages arrive in each second of the recording."""


def write_recording(path: Path, count: int) -> None:
    """`count` messages with the texts of the sample stream, from 2,000 viewers."""
    texts = [event.text for event in read_recording(sample_path()) if hasattr(event, "role")]
    rng = random.Random(1)
    with path.open("wb") as file:
        for number in range(count):
            line = {
                "ts": START + number * 20,
                "channel": "bench",
                "user": f"viewer_{rng.randrange(2000)}",
                "text": rng.choice(texts),
                "tags": {"id": f"{number:08x}-5a51-4f0e-9a3e-1f1d3c0b7a99"},
            }
            file.write(msgspec.json.encode(line) + b"\n")


def limit_rate(recording: Path, folder: Path) -> float:
    """Messages per second of parsing and inserting alone."""
    connection = sqlite3.connect(folder / "limit.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE message (ts INT, id TEXT, user TEXT, text TEXT, UNIQUE (ts, id))"
    )
    started = time.perf_counter()
    count = 0
    batch: list[tuple[int, str, str, str]] = []
    with recording.open("rb") as file:
        for line in file:
            fields = msgspec.json.decode(line)
            batch.append((fields["ts"], fields["tags"]["id"], fields["user"], fields["text"]))
            if len(batch) == 1000:
                count += _insert(connection, batch)
    count += _insert(connection, batch)
    connection.close()
    return count / (time.perf_counter() - started)


def _insert(connection: sqlite3.Connection, batch: list[tuple[int, str, str, str]]) -> int:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO message VALUES (?, ?, ?, ?)", batch)
    connection.execute("COMMIT")
    count = len(batch)
    batch.clear()
    return count


async def count_chat(
    socket_: ClientConnection, counts: list[int], index: int, expected: int
) -> None:
    """Count the chat messages an overlay gets, up to `expected`; a gap makes it fall short."""
    needle = b'"type":"chat"'
    async for frame in socket_:
        data = frame.encode() if isinstance(frame, str) else frame
        counts[index] += data.count(needle)
        if counts[index] >= expected:
            return


def stored_messages(folder: Path) -> int:
    """Messages with a decision, as the database has them after the server has ended."""
    connection = sqlite3.connect(folder / "data" / "understudy.db")
    try:
        return int(connection.execute(STORED).fetchone()[0])
    finally:
        connection.close()


async def pipeline_rate(recording: Path, folder: Path, count: int) -> tuple[float, int, float]:
    """(messages/s, fewest seen by an overlay, CPU seconds of the server)."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    env = {**os.environ, "UNDERSTUDY_LIMITS__PER_ADDRESS": "1000000"}
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "understudy",
        "serve",
        "--port",
        str(port),
        "--data",
        str(folder / "data"),
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
            await _until_ready(http)
            return await _play(http, server.pid, recording, count, port)
    finally:
        server.send_signal(signal.SIGTERM)
        await server.wait()


async def _play(
    http: httpx2.AsyncClient, pid: int, recording: Path, count: int, port: int
) -> tuple[float, int, float]:
    counts = [0] * OVERLAYS
    async with contextlib.AsyncExitStack() as stack:
        readers: list[asyncio.Task[None]] = []
        for index in range(OVERLAYS):
            overlay = await stack.enter_async_context(
                connect(f"ws://127.0.0.1:{port}/ws/overlay/chat", compression=None, max_size=None)
            )
            readers.append(asyncio.create_task(count_chat(overlay, counts, index, count)))
        body = {"speed": "max", "seed": 1, "channel": "bench"}
        rehearsal = (await http.post("/api/v1/rehearsals", json=body)).json()["id"]
        with recording.open("rb") as file:
            while piece := file.read(PIECE):
                await http.post(f"/api/v1/rehearsals/{rehearsal}/lines", content=piece)
        cpu = _cpu_seconds(pid)
        started = time.perf_counter()
        await http.post(f"/api/v1/rehearsals/{rehearsal}/start")
        state = "running"
        while state == "running":
            await asyncio.sleep(0.1)
            state = (await http.get(f"/api/v1/rehearsals/{rehearsal}")).json()["state"]
        elapsed = time.perf_counter() - started
        cpu = _cpu_seconds(pid) - cpu
        # The overlays may be a few frames behind the log.
        await asyncio.wait(readers, timeout=10)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return count / elapsed, min(counts), cpu


async def _until_ready(http: httpx2.AsyncClient) -> None:
    deadline = time.perf_counter() + 20
    while time.perf_counter() < deadline:
        with contextlib.suppress(httpx2.HTTPError):
            if (await http.get("/readyz")).status_code == 200:
                return
        await asyncio.sleep(0.05)
    raise RuntimeError("the server did not get ready within 20 s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows: list[tuple[float, float, int, int, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        recording = Path(temporary) / "chat.jsonl"
        write_recording(recording, options.messages)
        for round_number in range(options.rounds):
            folder = Path(temporary) / str(round_number)
            folder.mkdir()
            limit = limit_rate(recording, folder)
            rate, seen, cpu = asyncio.run(pipeline_rate(recording, folder, options.messages))
            stored = stored_messages(folder)
            rows.append((rate, limit, stored, seen, cpu))
            print(
                f"round {round_number + 1}: {rate:,.0f} messages/s, limit {limit:,.0f}, "
                f"{stored:,} stored with their decisions, every overlay saw {seen:,} of "
                f"{options.messages:,}, "
                f"server CPU {cpu * 1e6 / options.messages:.0f} us a message"
            )
    median = statistics.median(row[0] for row in rows)
    share = statistics.median(row[0] / row[1] for row in rows)
    lost = max(options.messages - min(row[2], row[3]) for row in rows)
    print(
        f"\nmedian {median:,.0f} messages/s (goal {GOAL:,}), {share:.2f} of the limit, "
        f"lost by the database or the worst overlay {lost:,}"
    )


if __name__ == "__main__":
    main()
