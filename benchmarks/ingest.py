"""Chat from the socket into the store: against tmi.js and the seed's loop, in one table.

- Parsing: lines a CPU second that become events, ours and tmi.js's whole client (`handleMessage`
  with one listener), on the same lines, taking turns. Goal: 1.8 times tmi.js.
- Storing: a fake Twitch on one core, what is measured on the other, until every message is durable
  (SQLite, synchronous=FULL): the reader, bus, archive and log alone, and the whole application,
  which also filters, decides, answers, counts and reads the mood. Beside it the seed's loop:
  tmi.js, a log line and two inserts a message that nobody awaits, into a stand-in for MongoDB that
  acknowledges at once and keeps nothing, so its figure is an upper bound. Goals: 15,000 a CPU
  second into the store and 10 times the loop; p99 from receipt to disk below 200 ms at 5,000 a
  second; below 5 % of a core at 300 a second. An empty event loop that wakes up 300 times a second
  is measured beside the last: on some machines that alone takes as much.
- Faults: 10,000 lines at 1,000 a second with closes, reconnects, fragments inside characters, bad
  lines and duplicates. Goal: everything stored once, in order, with the fields that were sent.

    python -m benchmarks.ingest [--quick] [--tmijs DIR]

DIR has tmi.js 1.8.5 and mongodb in its node_modules; without it they are installed into a
temporary folder.
"""

import argparse
import asyncio
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.ingest_corpus import Said, corpus
from tests.fakes.twitch_irc import Fault, Script, TwitchIrcServer
from understudy.safety.text import clean

PEER = Path(__file__).with_name("ingest_peer.cjs")
PACKAGES = ("tmi.js@1.8.5", "mongodb@7")


class Sizes(NamedTuple):
    """How much is measured: lines, and seconds at a fixed rate."""

    parsed: int
    rounds: int
    stored: int
    warm: int
    seed: int
    seconds: float
    faulty: int


FULL = Sizes(20_000, 5, 80_000, 10_000, 20_000, 15.0, 10_000)
QUICK = Sizes(20_000, 2, 25_000, 5_000, 8_000, 5.0, 5_000)


class Row(NamedTuple):
    """A line of the table."""

    what: str
    figure: str
    against: str = ""
    goal: str = ""
    reached: bool | None = None


class Cores:
    """Runs programs on two cores: what is measured on the first, what feeds it on the other."""

    def __init__(self) -> None:
        cores = sorted(os.sched_getaffinity(0))
        self.shared = len(cores) < 2
        self._measured, self._feeding = cores[0], cores[-1]

    def measure(self, *command: str) -> str:
        """The last line that `command` prints, run alone on the core for what is measured."""
        pin = partial(os.sched_setaffinity, 0, {self._measured})
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=pin
        )
        return done.stdout.strip().splitlines()[-1]

    @contextmanager
    def feed(self, *command: str) -> Iterator[int]:
        """The port that `command` prints when it listens; it is ended afterwards."""
        pin = partial(os.sched_setaffinity, 0, {self._feeding})
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, preexec_fn=pin
        ) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline())
            finally:
                process.kill()

    @contextmanager
    def twitch(self, lines: list[Said], folder: Path, rate: float = 0.0) -> Iterator[int]:
        """A fake Twitch that says `lines`; yields its port."""
        file = folder / "lines.txt"
        file.write_text("\n".join(said.line for said in lines), encoding="utf-8")
        fake = (sys.executable, "-m", "tests.fakes.twitch_irc")
        with self.feed(*fake, "--lines", str(file), "--rate", str(rate)) as port:
            yield port


def parsing(cores: Cores, modules: Path, folder: Path, sizes: Sizes) -> Row:
    file = folder / "parsed.txt"
    lines = "\n".join(said.line for said in corpus(sizes.parsed))
    file.write_text(lines, encoding="utf-8")
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(sizes.rounds):
        command = (sys.executable, "-m", "benchmarks.ingest_reader", "--parse", str(file))
        ours.append(float(cores.measure(*command)))
        theirs.append(float(cores.measure("node", str(PEER), str(modules), "parse", str(file))))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return Row(
        "parse to events, lines / CPU s",
        f"{statistics.median(ours):,.0f}",
        f"tmi.js {statistics.median(theirs):,.0f}, x {ratio:.2f}",
        ">= x 1.8",
        ratio >= 1.8,
    )


def ingest(cores: Cores, port: int, events: int, *options: str) -> dict[str, Any]:
    """Run the application until `events` are durable."""
    command = (sys.executable, "-m", "benchmarks.ingest_reader", f"ws://127.0.0.1:{port}")
    return msgspec.json.decode(cores.measure(*command, str(events), *options))


def seed_rate(cores: Cores, modules: Path, folder: Path, count: int) -> float:
    """Messages a CPU second that the seed's loop has acknowledged."""
    lines = list(corpus(count))
    messages = sum(said.kind == "message" for said in lines)
    node = ("node", str(PEER), str(modules))
    with cores.feed(*node, "mongo") as mongo, cores.twitch(lines, folder) as port:
        printed = cores.measure(*node, "seed", str(port), str(mongo), str(messages))
    return messages / msgspec.json.decode(printed)["cpu"]


def storing(cores: Cores, modules: Path, folder: Path, sizes: Sizes) -> Iterator[Row]:
    seed = seed_rate(cores, modules, folder, sizes.seed)
    lines = list(corpus(sizes.stored))
    events = sum(bool(said.kind) for said in lines)
    for what, options in (("reader, archive, log", ["--archive"]), ("whole application", [])):
        with cores.twitch(lines, folder) as port:
            got = ingest(cores, port, events, "--warm", str(sizes.warm), *options)
        rate = got["stored"] / got["cpu"]
        held = rate >= 15_000 and rate >= 10 * seed if options else None
        yield Row(
            f"socket to disk ({what}), messages / CPU s",
            f"{rate:,.0f}, {got['stored'] / got['wall']:,.0f}/s, {got['rss_mb']:.0f} MB",
            f"seed's loop {seed:,.0f}, x {rate / seed:.1f}",
            ">= 15,000, >= x 10" if options else "",
            held,
        )


def pacing(cores: Cores, folder: Path, sizes: Sizes) -> Iterator[Row]:
    wake_ups = (sys.executable, "-m", "benchmarks.ingest_reader", "--wake-ups", "300")
    idle = float(cores.measure(*wake_ups))
    for rate in (5_000, 300):
        lines = list(corpus(int((sizes.seconds + 2) * rate)))
        events = sum(bool(said.kind) for said in lines)
        for what, options in (("reader, archive, log", ["--archive"]), ("whole application", [])):
            with cores.twitch(lines, folder, rate) as port:
                got = ingest(cores, port, events, "--warm", str(2 * rate), *options)
            share, p99 = got["cpu"] / got["wall"], got["p99"]
            fast = rate == 5_000
            stored = f"{got['stored'] / got['wall']:,.0f}/s stored"
            yield Row(
                f"at {rate:,}/s ({what})",
                f"p99 {p99:.0f} ms, {share:.1%} of a core",
                stored if fast else f"{stored}, empty loop {idle:.1%}",
                "p99 < 200 ms" if fast else "< 5 % of a core",
                p99 < 200 if fast else share < 0.05,
            )


async def faults(folder: Path, sizes: Sizes) -> Row:
    """Everything at once, and what the database has of it."""
    lines = list(corpus(sizes.faulty, seed=11))
    events = sum(bool(said.kind) for said in lines)
    tenth = sizes.faulty // 10
    struck: dict[int, Fault] = {
        2 * tenth: "reconnect",
        4 * tenth: "close",
        6 * tenth: "reconnect_close",
        8 * tenth: "close",
    }
    script = Script(
        [said.line for said in lines], 1_000, struck, fragment=0.5, malformed=0.05, twice=0.02
    )
    async with TwitchIrcServer(script) as server:
        reader = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.ingest_reader", server.ws_url, str(events)),
            *("--data", str(folder)),
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await reader.wait() == 0
        connections = server.connections
    stored, sent = stored_fields(folder), sent_fields(lines)
    wrong = sum(stored[kind] != sent[kind] for kind in sent)
    count = sum(map(len, stored.values()))
    return Row(
        f"{sizes.faulty:,} lines at 1,000/s with faults",
        f"{count:,} of {events:,} stored",
        f"{connections} connections",
        "once, in order, equal",
        wrong == 0,
    )


Fields = dict[str, list[tuple[str, ...]]]


def sent_fields(lines: list[Said]) -> Fields:
    """What was said, by kind and in order."""
    found: Fields = {"message": [], "cheer": [], "notice": [], "moderation": []}
    for said in lines:
        if said.kind in {"message", "cheer"}:
            *head, text, action, emotes, body, bits, badges = said.fields
            rest = (clean(text) if said.kind == "message" else text, action, emotes, body, bits)
            found[said.kind].append((*head, *rest, badges))
        elif said.kind:
            found[said.kind].append(said.fields)
    return found


def stored_fields(folder: Path) -> Fields:
    """What the database has, by kind and in order of storing."""
    tags = "action", "emotes", "reply-parent-msg-body", "bits", "badges"
    values = ", ".join(f"coalesce(tags ->> '$.\"{tag}\"', '')" for tag in tags)
    viewer = "JOIN viewer ON viewer.id = viewer_id"
    words = f"msg_id, CAST(ts AS TEXT), login, {{table}}.name, text, {values}"
    queries = {
        "message": f"SELECT {words} FROM chat_message {viewer} ORDER BY chat_message.id".replace(
            "{table}", "chat_message"
        ),
        "cheer": (
            f"SELECT {words} FROM stream_event {viewer} WHERE kind = 'cheer' "
            "ORDER BY stream_event.id"
        ).replace("{table}", "stream_event"),
        "notice": f"SELECT msg_id, CAST(ts AS TEXT), login FROM stream_event {viewer} "
        "WHERE kind != 'cheer' ORDER BY stream_event.id",
        "moderation": "SELECT CAST(ts AS TEXT), kind, login FROM moderation ORDER BY id",
    }
    with closing(sqlite3.connect(folder / "understudy.db")) as connection:
        return {kind: connection.execute(query).fetchall() for kind, query in queries.items()}


def show(rows: list[Row], shared: bool) -> None:
    note = ", all on one core" if shared else ""
    table = Table(title=f"Chat from the socket into the store{note}")
    for heading in ("", "ours", "beside it", "goal", "reached"):
        table.add_column(heading)
    for row in rows:
        reached = "" if row.reached is None else "yes" if row.reached else "NO"
        table.add_row(row.what, row.figure, row.against, row.goal, reached)
    Console(width=150).print(table)


def install(folder: Path) -> Path:
    """Node's packages in `folder`."""
    (folder / "package.json").write_text("{}")
    npm = shutil.which("npm") or "npm"
    quiet = ("--no-audit", "--no-fund", "--silent", "--ignore-scripts")
    subprocess.run([npm, "install", *quiet, *PACKAGES], cwd=folder, check=True)
    return folder


def measure(cores: Cores, modules: Path, folder: Path, sizes: Sizes) -> Iterator[Row]:
    yield parsing(cores, modules, folder, sizes)
    yield from storing(cores, modules, folder, sizes)
    yield from pacing(cores, folder, sizes)
    yield asyncio.run(faults(folder / "faults", sizes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, less trustworthy")
    parser.add_argument("--tmijs", type=Path, help="folder whose node_modules has the peers")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    cores = Cores()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        modules = options.tmijs or install(folder)
        rows: list[Row] = []
        for row in measure(cores, modules, folder, sizes):
            print(f"{row.what}: {row.figure}", flush=True)
            rows.append(row)
    show(rows, cores.shared)


if __name__ == "__main__":
    main()
