"""What gets answered when a chat floods, beside what two simpler policies would answer.

One channel takes 1,000, then 100,000 messages a minute on the real clock, through the whole path:
clean, filter, decide, answer, publish, store. A reply takes 6 s and there is no pause between two.
Among the messages are 10 a minute by VIPs, one viewer who calls the co-host every second, and a
question that 30 people ask in their own spelling, spread over the whole time.

The other policies get the same messages at the same times: `fifo` answers all in their order,
`latest` whatever came last. They are simulated: they filter nothing, store nothing and give no
reasons. Of the growth of memory nearly all is SQLite's page cache, which has a limit of its own.

    python benchmarks/flood.py [--seconds 60] [--rates 1000,100000] [--reply-seconds 6]
"""

import argparse
import asyncio
import gc
import random
import resource
import statistics
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import NamedTuple

from understudy.brains.base import Brain, BrainEvent, BrainRequest, Text
from understudy.brains.router import Router
from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.archive import Archive
from understudy.engine.channel import Channel
from understudy.engine.personas import Personas
from understudy.engine.reply import ReplyStream
from understudy.engine.sessions import SessionManager
from understudy.engine.turns import Turns
from understudy.events import ChatMessage, Decision, Event, now_ms
from understudy.sources.recordings import read_recording
from understudy.sources.rehearsal import sample_path
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.sessions import Sessions

CHANNEL = "flood"
VIEWERS = 5_000
VIP_PER_MINUTE = 10
PLANTED_BY = 30
PLANTED = (
    "what keyboard do you use?",
    "WHAT KEYBOARD do you use",
    "yo what keyboard do you use??",
    "what keyboard do you use pls",
    "so what keyboard do you use on stream?",
)
SPAMMER = "loud_larry"
REPLY_WORDS = 12
STALL_MS = 100
OLDEST_S = 15.0
ORDINARY_SHARE = 0.4
VIEWER_SHARE = 0.2


class Planned(NamedTuple):
    """A message and when it is sent, in seconds from the start."""

    at: float
    id: str
    user: str
    text: str
    role: str
    planted: bool


class Answer(NamedTuple):
    """An answered message and its age when the answer began."""

    message: Planned
    age: float


class Stalls(NamedTuple):
    """How long each message kept the reader: on the clock, and on the processor, in ms.

    The first is more when other programs want the processor too.
    """

    clock: "array[float]"
    processor: "array[float]"


class Figures(NamedTuple):
    """What came of one policy."""

    policy: str
    answers: list[Answer]
    explained: int
    waiting: int


class Fates:
    """The decisions on all messages, counted in little memory."""

    def __init__(self, messages: list[Planned]) -> None:
        self._messages = messages
        self._explained = bytearray(len(messages))
        self._answers: list[Answer] = []

    def note(self, decision: Decision) -> None:
        """Count a decision."""
        number = int(decision.message_id.rpartition("-")[2])
        self._explained[number] += bool(decision.reason and decision.detail)
        if decision.action == "answered":
            age = (decision.ts - decision.message_ts) / 1000
            self._answers.append(Answer(self._messages[number], age))

    def figures(self, waiting: int) -> Figures:
        """What came of it; a message with two decisions does not count as explained."""
        return Figures("understudy", self._answers, self._explained.count(1), waiting)


class Run(NamedTuple):
    """What came of Understudy: stalls, growth of memory in MiB, CPU seconds, rows."""

    figures: Figures
    stalls: Stalls
    grown: float
    cpu: float
    stored: int


class SlowBrain(Brain):
    """Says twelve words over the time a reply takes."""

    name = "slow"
    model = "slow-1"

    def __init__(self, seconds: float) -> None:
        self._pause = seconds / REPLY_WORDS

    def describe(self) -> str:
        """One sentence for the UI and `doctor`."""
        return "takes its time"

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Yield the words at an even pace."""
        for number in range(REPLY_WORDS):
            await asyncio.sleep(self._pause)
            yield Text(f"word{number} ")


def plan(rate: int, seconds: float) -> list[Planned]:
    """The messages of one flood, in order of time."""
    rng = random.Random(rate)
    texts = [e.text for e in read_recording(sample_path()) if isinstance(e, ChatMessage)]
    count = int(rate * seconds / 60)
    drafts = [
        (
            rng.uniform(0, seconds),
            f"viewer_{rng.randrange(VIEWERS)}",
            _some_text(rng, texts, number),
            "",
            0,
        )
        for number in range(count)
    ]
    vips = max(1, int(VIP_PER_MINUTE * seconds / 60))
    for number in range(vips):
        at = (number + rng.random()) * seconds / vips
        drafts.append((at, f"vip_{number % 4}", _addressed(rng, number), "vip", 0))
    for second in range(int(seconds)):
        drafts.append((second + 0.5, SPAMMER, _addressed(rng, second), "", 0))
    for number in range(PLANTED_BY):
        at = (number + rng.random()) * seconds / PLANTED_BY
        drafts.append((at, f"asker_{number}", rng.choice(PLANTED), "", 1))
    drafts.sort()
    return [
        Planned(at, f"{rate}-{number}", user, text, role or "viewer", bool(planted))
        for number, (at, user, text, role, planted) in enumerate(drafts)
    ]


def _some_text(rng: random.Random, texts: list[str], number: int) -> str:
    """Mostly talk of the sample stream, some of it to the co-host; no two messages are the same."""
    return _addressed(rng, number) if rng.random() < 0.05 else f"{rng.choice(texts)} {number}"


def _addressed(rng: random.Random, number: int) -> str:
    thing = rng.choice(["map", "boss", "song", "outfit", "score", "hat", "plan", "build"])
    return f"undy, what about {thing} {number}?"


async def understudy(messages: list[Planned], reply_seconds: float, folder: Path) -> Run:
    """Send `messages` into a channel on the real clock."""
    fates = Fates(messages)
    settings = Settings()
    director = settings.director.model_copy(update={"cooldown": 0.0})
    settings = settings.model_copy(update={"director": director})
    database = await Database.open(f"sqlite+aiosqlite:///{folder / 'flood.db'}")
    log, bus = LogWriter(database), Bus()
    await log.start()
    archive = Archive(bus, log)
    archive.start()

    async def publish(event: Event) -> None:
        if isinstance(event, Decision):
            fates.note(event)
        await bus.publish(event)

    turns = Turns(
        settings,
        Router(SlowBrain(reply_seconds), why="a benchmark chose it"),
        sessions := SessionManager(Sessions(database)),
        Personas(None),
        log,
        publish,
        reply_stream=lambda emotions: ReplyStream(None, emotions),
    )
    channel = Channel(CHANNEL, settings, turns, publish)
    await sessions.get_or_create(channel.session, "chat", "default", channel=CHANNEL)
    # As `understudy serve` does: what is there from the start is not looked at again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    try:
        stalls, grown, cpu = await _send(messages, channel)
        waiting = channel.director.waiting
        channel.skip()
        await channel.close()
        await bus.drained()
        await archive.close()
        await log.flushed()
        stored = await ChatArchive(database).count(CHANNEL)
    finally:
        await turns.close()
        await log.close()
        await database.close()
    return Run(fates.figures(waiting), stalls, grown, cpu, stored)


async def _send(messages: list[Planned], channel: Channel) -> tuple[Stalls, float, float]:
    """Hand in each message at its time; how long the reader was kept each time."""
    stalls = Stalls(array("d"), array("d"))
    half = messages[len(messages) // 2].id
    memory = 0.0
    cpu = time.process_time()
    started = time.perf_counter()
    for message in messages:
        delay = started + message.at - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        if message.id == half:
            memory = _peak_mib()
        before, busy = time.perf_counter(), time.thread_time()
        await channel.receive(_event(message))
        stalls.clock.append((time.perf_counter() - before) * 1000)
        stalls.processor.append((time.thread_time() - busy) * 1000)
    return stalls, _peak_mib() - memory, time.process_time() - cpu


def _event(message: Planned) -> ChatMessage:
    return ChatMessage(
        id=message.id,
        channel=CHANNEL,
        ts=now_ms(),
        user=message.user,
        text=message.text,
        role="vip" if message.role == "vip" else "viewer",
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def simulate(policy: str, messages: list[Planned], reply_seconds: float, end: float) -> Figures:
    """What `fifo` or `latest` would have answered by `end`."""
    answers: list[Answer] = []
    free_at, taken = 0.0, 0
    while taken < len(messages):
        if policy == "latest":
            came = [n for n in range(taken, len(messages)) if messages[n].at <= free_at]
            taken = came[-1] if came else taken
        message = messages[taken]
        begin = max(free_at, message.at)
        if begin > end:
            break
        answers.append(Answer(message, begin - message.at))
        free_at, taken = begin + reply_seconds, taken + 1
    waiting = len(messages) - taken if policy == "fifo" else 0
    return Figures(policy, answers, len(answers), waiting)


def describe(figures: Figures, total: int) -> list[str]:
    """The cells of one policy."""
    answers = figures.answers
    users = Counter(answer.message.user for answer in answers)
    ordinary = sum(answer.message.role == "viewer" for answer in answers)
    return [
        f"{len(answers)}",
        f"{max((answer.age for answer in answers), default=0):.1f} s",
        f"{ordinary / max(1, len(answers)):.0%}",
        f"{max(users.values(), default=0) / max(1, len(answers)):.0%}",
        "yes" if any(answer.message.planted for answer in answers) else "no",
        f"{total - figures.explained:,}",
        f"{figures.waiting:,}",
    ]


ROWS = (
    "answered",
    f"oldest when answered (< {OLDEST_S:g} s)",
    f"to ordinary viewers (>= {ORDINARY_SHARE:.0%})",
    f"to one viewer at most (<= {VIEWER_SHARE:.0%})",
    "the question of 30 (yes)",
    "without a reason (0)",
    "still waiting at the end",
)


def table(rate: int, columns: Iterable[Figures], total: int) -> None:
    """Print the policies beside each other."""
    columns = list(columns)
    cells = [describe(figures, total) for figures in columns]
    print(f"\n{rate:,} messages a minute, {total:,} in all")
    print(f"{'':36}" + "".join(f"{figures.policy:>14}" for figures in columns))
    for row, name in enumerate(ROWS):
        print(f"{name:36}" + "".join(f"{column[row]:>14}" for column in cells))


def measure(rate: int, seconds: float, reply_seconds: float) -> None:
    """One flood under all three policies."""
    messages = plan(rate, seconds)
    with tempfile.TemporaryDirectory() as folder:
        run = asyncio.run(understudy(messages, reply_seconds, Path(folder)))
    others = [simulate(policy, messages, reply_seconds, seconds) for policy in ("fifo", "latest")]
    table(rate, [run.figures, *others], len(messages))
    clock = sorted(run.stalls.clock)
    print(
        f"reader kept: longest {clock[-1]:.1f} ms (< {STALL_MS}), of the processor "
        f"{max(run.stalls.processor):.1f} ms, "
        f"p99 {clock[int(0.99 * (len(clock) - 1))]:.2f} ms, "
        f"median {statistics.median(clock):.3f} ms\n"
        f"peak memory grew by {run.grown:.1f} MiB in the second half; "
        f"{run.cpu / seconds:.0%} of a core; {run.stored:,} stored"
    )


def main() -> None:
    """Read the options and print one table per rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--reply-seconds", type=float, default=6.0)
    parser.add_argument("--rates", default="1000,100000")
    options = parser.parse_args()
    for rate in options.rates.split(","):
        measure(int(rate), options.seconds, options.reply_seconds)


if __name__ == "__main__":
    main()
