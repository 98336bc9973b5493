"""What the local model costs beside plain transformers: `make bench BENCH=local_model`.

In one process and with the same weights: tokens per second of one and of eight replies through the
brain, against `model.generate` for one prompt and for a padded batch of eight; how soon a closed
reply frees its row; and the proof that two replies on two LoRA versions, written at the same time,
are to the character what each is alone, also when a third version is loaded in the middle.

Options: `--model FOLDER_OR_ID` (default: a random model built on the spot), `--hidden N` and
`--layers N` of the built one, `--dtype`, `--device`, `--tokens N` per reply, `--rounds N`. Exits
with 1 when the proof fails. Without `--model` nothing is downloaded.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from tests.tiny_model import build_adapter, build_model
from understudy.brains.base import BrainMessage, BrainRequest, Text, Usage
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, LocalModel, load_model
from understudy.brains.huggingface.prompt import build_prompt

QUESTIONS = [f"What was the best moment of level {number}? " * (number + 1) for number in range(8)]
REPEATS = 3
LONG_REPLY = 100_000


def request(text: str, tokens: int) -> BrainRequest:
    return BrainRequest(
        messages=[BrainMessage("user", text)], max_tokens=tokens, temperature=0.0, top_p=1.0
    )


async def written(
    brain: HuggingFaceBrain, text: str, tokens: int, version: str = ""
) -> tuple[str, int]:
    """The text of a reply and how many tokens it has."""
    said, count = "", 0
    async for event in brain.stream(request(text, tokens), version):
        if isinstance(event, Text):
            said += event.text
        elif isinstance(event, Usage):
            count = event.output_tokens
    return said, count


async def speed(write: Callable[[], Awaitable[int]]) -> float:
    """Tokens per second, the best of a few: the machine may be busy with something else."""
    await write()
    best = 0.0
    for _ in range(REPEATS):
        began = time.perf_counter()
        tokens = await write()
        best = max(best, tokens / (time.perf_counter() - began))
    return best


def generate(local: LocalModel, texts: list[str], tokens: int) -> int:
    """Plain `model.generate` of a left-padded batch; returns the tokens it wrote."""
    import torch

    prompts = [build_prompt(local.tokenizer, request(text, tokens)).tokens for text in texts]
    longest = max(map(len, prompts))
    pad = [longest - len(prompt) for prompt in prompts]
    rows = [[0] * gap + prompt for gap, prompt in zip(pad, prompts, strict=True)]
    mask = [[0] * gap + [1] * len(p) for gap, p in zip(pad, prompts, strict=True)]
    with torch.inference_mode():
        output = local.model.generate(
            input_ids=torch.tensor(rows, device=local.device),
            attention_mask=torch.tensor(mask, device=local.device),
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
    return output[:, longest:].numel()


async def measure_speed(brain: HuggingFaceBrain, local: LocalModel, tokens: int) -> list[list[str]]:
    async def ours(texts: list[str]) -> int:
        replies = await asyncio.gather(*[written(brain, text, tokens) for text in texts])
        return sum(count for _, count in replies)

    async def theirs(texts: list[str]) -> int:
        return await asyncio.to_thread(generate, local, texts, tokens)

    rows: list[list[str]] = []
    for texts in (QUESTIONS[:1], QUESTIONS):
        mine = await speed(partial(ours, texts))
        plain = await speed(partial(theirs, texts))
        name = f"{len(texts)} {'reply' if len(texts) == 1 else 'replies at once'}"
        rows.append([name, f"{mine:.0f}", f"{plain:.0f}", f"{mine / plain:.2f}"])
    return rows


def seconds_until_free(engine: Engine, began: float) -> float:
    while engine.rows:
        time.sleep(0.0002)
    return time.perf_counter() - began


async def measure_cancel(brain: HuggingFaceBrain, engine: Engine) -> float:
    """Median seconds from closing a reply to its row being free."""
    times: list[float] = []
    for _ in range(20):
        async with aclosing(brain.stream(request(QUESTIONS[0], LONG_REPLY))) as events:
            await anext(events)
            began = time.perf_counter()
        times.append(await asyncio.to_thread(seconds_until_free, engine, began))
    return statistics.median(times)


async def prove_versions(brain: HuggingFaceBrain, folder: Path, rounds: int, tokens: int) -> int:
    """How many of `rounds` x 2 parallel replies differ from the same reply alone."""
    await brain.load("one", folder / "one")
    await brain.load("two", folder / "two")
    pairs = [(QUESTIONS[0], "one"), (QUESTIONS[0], "two")]
    alone = [await written(brain, text, tokens, version) for text, version in pairs]
    if alone[0] == alone[1]:
        sys.exit("the two versions write the same: the proof would prove nothing")
    wrong = 0
    for number in range(rounds):
        asked = [written(brain, text, tokens, version) for text, version in pairs]
        together = asyncio.gather(*asked)
        if number % 10 == 5:
            await brain.load(f"new{number}", folder / "three")
            await brain.unload(f"new{number}")
        wrong += sum(a != b for a, b in zip(alone, await together, strict=True))
    return wrong


async def measure(arguments: argparse.Namespace, folder: Path) -> bool:
    model = arguments.model
    if model is None:
        print("building a model …", file=sys.stderr)
        model = build_model(
            folder / "base",
            window=4096,
            hidden=arguments.hidden,
            layers=arguments.layers,
        )
    # PEFT asks a model for something that transformers has renamed.
    warnings.filterwarnings("ignore", category=FutureWarning)
    for seed, name in enumerate(("one", "two", "three")):
        build_adapter(model, folder / name, seed=seed)
    options = LoadOptions(model=str(model), device=arguments.device, dtype=arguments.dtype)
    engine = Engine(partial(load_model, options))
    brain = HuggingFaceBrain(options, engine)
    # Its own copy: while a thread owns the brain's model, nobody else may run it.
    plain = load_model(options)
    parameters = sum(weight.numel() for weight in plain.model.parameters()) / 1e6
    rows = await measure_speed(brain, plain, arguments.tokens)
    cancel = await measure_cancel(brain, engine)
    wrong = await prove_versions(brain, folder, arguments.rounds, arguments.proof_tokens)
    table = Table("tokens per second, greedy", "Understudy", "model.generate", "ratio")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(f"{parameters:.1f} M parameters. {brain.describe()}")
    console.print(f"rows of one forward pass: {engine.width}")
    console.print(table)
    console.print(f"closing a reply frees its row in {cancel * 1000:.1f} ms (median)")
    replies = arguments.rounds * 2
    console.print(f"two LoRA versions at once: {replies - wrong} of {replies} replies as alone")
    await brain.aclose()
    return wrong == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--proof-tokens", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if asyncio.run(measure(arguments, Path(folder))) else 1)


if __name__ == "__main__":
    main()
