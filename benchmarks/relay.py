"""What Understudy adds between a viewer and the model, beside LiteLLM's proxy and a naive relay.

All stand in front of the same fake of OpenAI's API (20 tokens at 20 a second) and are asked by raw
sockets over loopback. Understudy takes its whole path: token, limits, session, history, filters,
storage, a log that can be resumed; once through its lean brain for OpenAI-compatible servers, once
through OpenAI's SDK. LiteLLM has its key and no database; the naive relay is FastAPI and the SDK.

    python benchmarks/relay.py [--litellm VENV] [--rounds 3] [--viewers 1 10 50 500]
    python benchmarks/relay.py --behaviour [--litellm VENV]

"First token" is what a relay adds to it: the way of the question to the model plus the way of the
first text back. Understudy's filter shows a word when the next one shows that it is whole; "own"
leaves out that wait for the model (one token, 50 ms here), "seen" is with it. CPU and memory are of
the relay's process and its children, CPU without their start. Ratios are within one run: each round
measures every relay, and the median of the rounds counts.
"""

import argparse
import itertools
import os
import resource
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import relay_behaviour
import uvloop
from relay_client import Answer, run_load
from relay_servers import Launcher, Relay, install_litellm, upstream, version_of

LEAN, SDK, LITELLM, NAIVE = "understudy, lean", "understudy, SDK", "litellm", "naive"
RELAYS = ("direct", LEAN, SDK, NAIVE, LITELLM)
TOKENS, PACE, THINK = 20, 0.05, 0.05
FAIR, MANY = 10, 500
WARM_VIEWERS, WARM_SECONDS = 5, 2.0
LONGER = {1: 12.0, 500: 15.0}
SECONDS = 8.0

CPU_GOALS = {LEAN: 0.20, SDK: 0.28}
DELAY_GOALS = {LEAN: 0.15, SDK: 0.25}
RATE_GOALS = {LEAN: 10.0, SDK: 4.0}


@dataclass
class Sample:
    """One relay under one load; times in ms."""

    own: list[float]
    seen: list[float]
    cpu_ms: float
    cpu_per_1000: float
    rate: float
    memory: float
    failed: int


Samples = dict[tuple[str, int], list[Sample]]


async def measure(
    http: aiohttp.ClientSession,
    log_url: str,
    relay: Relay,
    viewers: int,
    seconds: float,
    numbers: "itertools.count[int]",
) -> Sample:
    """Load `relay` with `viewers` and take everything down."""
    await relay.open_sessions(http, viewers)
    cpu = relay.cpu_seconds()
    load = await run_load(relay.port, viewers, seconds, numbers, relay.writer())
    cpu = relay.cpu_seconds() - cpu
    memory = relay.memory()
    async with http.get(log_url) as response:
        asked = {entry["number"]: entry for entry in await response.json()}
    good = [answer for answer in load.answers if answer.ok and answer.tokens == TOKENS]
    held = 1 if relay.is_understudy else 0
    return Sample(
        own=[_added_ms(answer, asked[answer.number], held) for answer in good],
        seen=[_added_ms(answer, asked[answer.number], 0) for answer in good],
        cpu_ms=1000 * cpu / max(1, len(load.answers)),
        cpu_per_1000=1000 * cpu / max(1, load.tokens),
        rate=load.rate,
        memory=memory,
        failed=len(load.answers) - len(good),
    )


def _added_ms(answer: Answer, asked: dict[str, Any], token: int) -> float:
    """The question's way there and the first text's way back, which `token` set off."""
    there = asked["came"] - answer.asked
    back = answer.first - asked["sent"][token]
    return (there + back) / 1e6


async def measure_all(options: argparse.Namespace, litellm: Path) -> Samples:
    samples: Samples = {}
    numbers = itertools.count(1)
    async with upstream() as (port, pid), aiohttp.ClientSession() as http:
        launcher = Launcher(port, pid, litellm, grace=10.0)
        log_url = f"http://127.0.0.1:{port}/bench/log"
        for number in range(1, options.rounds + 1):
            for name in options.relays:
                async with launcher.started(name) as relay:
                    idle = f"{relay.memory():.0f} MiB"
                    say(f"round {number}, {name}: {idle} when started, load {os.getloadavg()[0]}")
                    await measure(http, log_url, relay, WARM_VIEWERS, WARM_SECONDS, numbers)
                    for viewers in options.viewers:
                        seconds = options.seconds or LONGER.get(viewers, SECONDS)
                        sample = await measure(http, log_url, relay, viewers, seconds, numbers)
                        samples.setdefault((name, viewers), []).append(sample)
                        say(
                            f"  {viewers} viewers: {sample.cpu_ms:.1f} ms CPU a stream, "
                            f"{sample.rate:.0f} tokens/s, {len(sample.own)} answers"
                        )
    return samples


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- what is printed


def middle(samples: Sequence[Sample], name: str) -> float:
    """The median over the rounds of a field; of lists, the median of their medians."""
    values = [getattr(sample, name) for sample in samples]
    if values and isinstance(values[0], list):
        values = [statistics.median(value) for value in values if value]
    return statistics.median(values) if values else float("nan")


def worst(samples: Sequence[Sample], name: str) -> float:
    """The 99th percentile of a field of lists, all rounds together."""
    values = sorted(itertools.chain.from_iterable(getattr(s, name) for s in samples))
    return values[min(len(values) - 1, int(len(values) * 0.99))] if values else float("nan")


def print_table(samples: Samples) -> None:
    print(
        f"{'':>27}{'first token +ms: own':>22}{'seen':>16}{'CPU ms':>10}{'CPU s per':>11}"
        f"{'':>10}{'memory':>9}{'CPU vs':>9}"
    )
    print(
        f"{'viewers':>7}  {'relay':18}{'p50':>11}{'p99':>11}{'p50':>8}{'p99':>8}{'a stream':>10}"
        f"{'1,000 tok':>11}{'tokens/s':>10}{'MiB':>9}{'LiteLLM':>9}{'failed':>8}"
    )
    for viewers in sorted({count for _, count in samples}):
        for name in RELAYS:
            if taken := samples.get((name, viewers)):
                cpu = middle(taken, "cpu_ms")
                share = cpu / middle(samples.get((LITELLM, viewers), []), "cpu_ms")
                print(
                    f"{viewers:>7}  {name:18}{middle(taken, 'own'):>11.1f}"
                    f"{worst(taken, 'own'):>11.0f}{middle(taken, 'seen'):>8.1f}"
                    f"{worst(taken, 'seen'):>8.0f}{cpu:>10.1f}"
                    f"{middle(taken, 'cpu_per_1000'):>11.2f}{middle(taken, 'rate'):>10.0f}"
                    f"{middle(taken, 'memory'):>9.0f}{share:>8.2f}x"
                    f"{sum(sample.failed for sample in taken):>8}"
                )
        print()
    print("direct: without a relay, CPU and memory are the model server's own\n")


def print_goals(samples: Samples) -> None:
    """The ratios that were promised, and whether they are reached."""

    def ratio(name: str, other: str, viewers: int, of: str) -> float:
        return middle(samples[name, viewers], of) / middle(samples[other, viewers], of)

    def line(what: str, value: float, goal: float, *, reached: bool) -> None:
        sign = ">=" if "tokens/s" in what else "<="
        print(f"{what:66}{value:>7.2f}x{f'{sign} {goal:.2f}x':>11}  {'yes' if reached else 'NO'}")

    for name in (LEAN, SDK):
        if {(name, FAIR), (LITELLM, FAIR)} <= samples.keys():
            for of, label, goals in (
                ("cpu_ms", "CPU a stream", CPU_GOALS),
                ("own", "added to the first token, own", DELAY_GOALS),
                ("seen", "added to the first token, seen", DELAY_GOALS),
            ):
                value, goal = ratio(name, LITELLM, FAIR, of), goals[name]
                what = f"{name}, {FAIR} viewers: {label} / LiteLLM"
                line(what, value, goal, reached=value <= goal)
        if {(name, FAIR), (NAIVE, FAIR)} <= samples.keys():
            for of, label in (("cpu_ms", "CPU a stream"), ("own", "added to the first token, own")):
                value = ratio(name, NAIVE, FAIR, of)
                what = f"{name}, {FAIR} viewers: {label} / naive relay"
                line(what, value, 1.0, reached=value <= 1)
        if {(name, MANY), (LITELLM, MANY)} <= samples.keys():
            value, goal = ratio(name, LITELLM, MANY, "rate"), RATE_GOALS[name]
            what = f"{name}, {MANY} viewers: tokens/s / LiteLLM"
            line(what, value, goal, reached=value >= goal)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--litellm", type=Path, help="a venv with litellm[proxy]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viewers", type=int, nargs="+", default=[1, FAIR, 50, MANY])
    parser.add_argument("--seconds", type=float, default=0.0, help="of each load; 0 = as it needs")
    parser.add_argument("--relays", nargs="+", default=list(RELAYS), choices=RELAYS)
    parser.add_argument("--behaviour", action="store_true", help="what happens in trouble")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        litellm = (options.litellm or install_litellm(Path(folder))).absolute()
        print(f"LiteLLM {version_of(litellm)}, load of this machine {os.getloadavg()[0]:.1f}\n")
        if options.behaviour:
            uvloop.run(relay_behaviour.compare(litellm))
            return
        samples = uvloop.run(measure_all(options, litellm))
    print_table(samples)
    print_goals(samples)


if __name__ == "__main__":
    main()
