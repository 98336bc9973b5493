"""How well reactions tell good replies from bad ones: `make bench BENCH=rewards`.

Six hours of simulated chat in rooms of three sizes. The rate of messages drifts by itself, and
people talk in bursts: every message draws 0.6 others. Hype events (three in four of them are known:
raids, subs, follows) multiply the rate and its laughs for some seconds. The co-host answers where
people write, so more in bursts. Every reply, whatever it is worth, draws up to three messages. Half
of all replies, drawn by a coin that nobody sees, are good: they draw one to four reactions more,
within 14 s, of which one in four is neither a laugh nor said to the co-host. One chance in ten is
left out on purpose.

The chat goes through the code that judges replies live (`learning.reactions`),
which learns what to expect as it comes. The areas under the ROC curve tell how often a good reply
is ranked above a bad one. The peer is the usual measure, the lift of the rate of messages.

    python benchmarks/rewards.py [--seeds 6] [--hours 6]
"""

import argparse
import math
import random
import statistics
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from understudy.engine.addressing import AddressReader
from understudy.events import ChatMessage, Decision, Event, Reply, StreamEvent
from understudy.learning.reactions.laughter import LaughReader
from understudy.learning.reactions.meter import ReactionMeter
from understudy.learning.reactions.rewards import Rewards
from understudy.learning.reactions.room import Room
from understudy.mood.lexicon import Lexicon

START = 1_763_150_400_000
SIZES = {"small": 0.05, "medium": 0.5, "huge": 5.0}
"""Messages per second."""
GOAL = 0.72
PEER = 0.56
SILENT = 0.1
REACTIONS = (1, 4)
ANSWERS = (0, 3)
DRAWS = 0.6
DRAWS_WITHIN_S = 8.0
CHANCES_S = 40.0
HYPE_EVERY_S = 300.0
HYPE_KNOWN = 0.75
HYPE_S = 15.0
LAUGHS = ("haha", "LUL", "KEKW", "lol", "hahaha nice")
TALK = (
    *("that jump was so close", "what a nice run", "I was afk", "this map is hard", "gg"),
    *("he did it again", "back from dinner", "the music is good", "no way", "hm ok"),
)
TO_COHOST = (
    "@understudy good one",
    "undy stop it",
    "@understudy that is so true",
    "understudy wow",
)


class Stream(msgspec.Struct):
    """A simulated stream: its events in order, and which replies (by turn) are good."""

    events: list[Event]
    good: dict[str, bool]
    known: list[int]


class Simulation:
    """Makes one stream."""

    def __init__(self, seed: int, rate: float, hours: float) -> None:
        self._rng = random.Random(seed)
        self._rate = rate
        self._seconds = hours * 3600
        self._viewers = max(12, int(rate * 300))
        self._events: list[Event] = []
        self._good: dict[str, bool] = {}
        self._hypes = self._times(HYPE_EVERY_S)
        self._known = [at for at in self._hypes if self._rng.random() < HYPE_KNOWN]
        self._drift = self._make_drift()
        self._said = 0
        self._talked: list[float] = []

    def run(self) -> Stream:
        for at in self._known:
            kind = self._rng.choice(("raid", "sub", "follow"))
            self._add(StreamEvent(id=f"e{at}", channel="c", ts=ms(at), kind=kind, user="x"))
        self._chat()
        self._answer()
        self._events.sort(key=lambda event: event.ts)
        return Stream(self._events, self._good, [ms(at) for at in self._known])

    def _times(self, every: float) -> list[float]:
        times: list[float] = []
        at = 0.0
        while (at := at + self._rng.expovariate(1 / every)) < self._seconds:
            times.append(at)
        return times

    def _make_drift(self) -> list[float]:
        """The logarithm of the rate's slow change, by minute."""
        drift = [0.0]
        for _ in range(int(self._seconds / 60) + 1):
            drift.append(0.97 * drift[-1] + self._rng.gauss(0, 0.15))
        return drift

    def _hype(self, at: float) -> float:
        """How much the chat is beside itself, from 0 on."""
        last = bisect_right(self._hypes, at)
        return sum(3.0 * math.exp(-(at - hype) / HYPE_S) for hype in self._hypes[last - 3 : last])

    def _rate_at(self, at: float) -> float:
        return self._rate * math.exp(self._drift[int(at / 60)]) * (1 + self._hype(at))

    def _chat(self) -> None:
        """Messages by thinning of a Poisson process, and those that they draw."""
        ceiling = self._rate * math.exp(max(self._drift)) * 8
        at = 0.0
        while (at := at + self._rng.expovariate(ceiling)) < self._seconds:
            if self._rng.random() * ceiling < self._rate_at(at) * (1 - DRAWS):
                self._talk(at)

    def _talk(self, at: float) -> None:
        if at >= self._seconds:
            return
        hype, what = min(self._hype(at), 3.0), self._rng.random()
        if what < 0.08 + 0.1 * hype:
            self._say(at, self._rng.choice(LAUGHS))
        elif what < 0.10 + 0.1 * hype:
            self._say(at, self._rng.choice(TO_COHOST))
        else:
            self._say(at, f"{self._rng.choice(TALK)} {self._rng.randrange(100)}")
        self._talked.append(at)
        if self._rng.random() < DRAWS:
            self._talk(at + self._rng.expovariate(1 / DRAWS_WITHIN_S))

    def _answer(self) -> None:
        """Messages are chances, at least ten seconds apart; most of them are taken."""
        share = min(1.0, self._seconds / CHANCES_S / len(self._talked))
        free, number = 60.0, 0
        for at in sorted(self._talked):
            if at < free or self._rng.random() > share:
                continue
            free, number = at + 10, number + 1
            if self._rng.random() < SILENT:
                self._leave_out(at + 1, number)
            else:
                self._reply(at + 1, number)

    def _leave_out(self, at: float, number: int) -> None:
        self._add(
            Decision(
                id=f"d{number}",
                channel="c",
                ts=ms(at),
                message_id=f"q{number}",
                message_ts=ms(at),
                user="x",
                action="skipped",
                reason="silent_control",
            )
        )

    def _reply(self, at: float, number: int) -> None:
        good = self._good[f"run_{number}"] = self._rng.random() < 0.5
        self._add(
            Reply(
                id=f"r{number}",
                channel="c",
                ts=ms(at),
                turn=f"run_{number}",
                session="s",
                user="x",
                text="A reply.",
                status="complete",
                model="m",
                persona="p",
            )
        )
        for _ in range(self._rng.randint(*ANSWERS)):
            words = self._rng.choices((LAUGHS, TO_COHOST, TALK), (1, 1, 3))[0]
            self._say(at + 2 + self._rng.random() * 12, self._rng.choice(words))
        for _ in range(self._rng.randint(*REACTIONS) if good else 0):
            words = self._rng.choices((LAUGHS, TO_COHOST, TALK), (2, 1, 1))[0]
            self._say(at + 2 + self._rng.random() * 12, self._rng.choice(words))

    def _say(self, at: float, text: str) -> None:
        self._said += 1
        user = f"viewer{self._rng.randrange(self._viewers)}"
        message = ChatMessage(id=f"m{self._said}", channel="c", ts=ms(at), user=user, text=text)
        self._add(message)

    def _add(self, event: Event) -> None:
        self._events.append(event)


def ms(seconds: float) -> int:
    return START + int(seconds * 1000)


class Judged(msgspec.Struct):
    """The replies of one stream: whether each is good, its reward if it has one, and its lift."""

    rewards: list[tuple[float, bool]]
    lifts: list[tuple[float, bool]]
    labels: list[tuple[float, bool]]
    controls: int


def judge(stream: Stream, lexicon: Lexicon) -> Judged:
    room = Room(
        AddressReader(["understudy", "undy"], ["streamer"]),
        score=lexicon.score,
        laughs=LaughReader(lexicon.lists),
    )
    meter, rewards = ReactionMeter("c", room), Rewards()
    messages = [event.ts for event in stream.events if isinstance(event, ChatMessage)]
    judged = Judged([], [], [], 0)
    for event in stream.events:
        moments = meter.advance(event.ts)
        meter.receive(event)
        for moment in moments:
            row = rewards.judge(moment)
            judged.controls += moment.kind == "control" and not row.masked_by
            if moment.kind != "reply":
                continue
            good = stream.good[moment.id]
            judged.lifts.append((lift(messages, moment.ts), good))
            if row.reward is not None:
                judged.rewards.append((row.reward, good))
            if (label := rewards.label(row)) is not None:
                judged.labels.append((label.value, good))
    return judged


def lift(times: Sequence[int], at: int) -> float:
    """The logarithm of the rate of messages after a reply by that before it."""

    def count(begin: int, end: int) -> float:
        return bisect_right(times, at + end) - bisect_left(times, at + begin)

    return math.log((count(2_000, 17_000) + 0.5) / (count(-30_000, -1) / 2 + 0.5))


def area(scored: Sequence[tuple[float, bool]]) -> float:
    """How often a good one is above a bad one; ties count half."""
    bad = sorted(score for score, good in scored if not good)
    won = sum(
        (bisect_left(bad, score) + bisect_right(bad, score)) / 2 for score, good in scored if good
    )
    goods = len(scored) - len(bad)
    return won / (len(bad) * goods) if bad and goods else math.nan


def precision(labels: Sequence[tuple[float, bool]], value: float) -> float:
    chosen = [good == (value > 0) for label, good in labels if label == value]
    return sum(chosen) / len(chosen) if chosen else math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=6, help="streams of each size")
    parser.add_argument("--hours", type=float, default=6, help="length of a stream")
    options = parser.parse_args()
    lexicon = Lexicon()
    table = Table(title="Understudy: rewards from the room (mean over streams)")
    names = ("room", "msg/s", "replies", "judged", "controls", "AUC lift", "AUC reward")
    for name in (*names, "top fifth right", "bottom fifth right"):
        table.add_column(name, justify="left" if name == "room" else "right")
    areas: list[float] = []
    for size, rate in SIZES.items():
        found = [
            judge(Simulation(seed, rate, options.hours).run(), lexicon)
            for seed in track(range(options.seeds), description=size, transient=True)
        ]
        rewards = [area(each.rewards) for each in found]
        areas += rewards
        labels = [label for each in found for label in each.labels]
        table.add_row(
            size,
            f"{rate:g}",
            f"{statistics.mean(len(each.lifts) for each in found):.0f}",
            f"{statistics.mean(len(each.rewards) for each in found):.0f}",
            f"{statistics.mean(each.controls for each in found):.0f}",
            f"{statistics.mean(area(each.lifts) for each in found):.3f}",
            f"{statistics.mean(rewards):.3f}",
            f"{precision(labels, 1):.0%}",
            f"{precision(labels, -1):.0%}",
        )
    console = Console(width=120)
    console.print(table)
    mean = statistics.mean(areas)
    console.print(f"AUC of the reward over all rooms {mean:.3f} (goal >= {GOAL}, lift ~{PEER})")
    sys.exit(mean < GOAL)


if __name__ == "__main__":
    main()
