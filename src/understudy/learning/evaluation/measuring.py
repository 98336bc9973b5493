"""What a version does with rows and prompts: losses and answers, measured for the gates.

Owns the model while it measures, one at a time. Does not own what the figures mean (`gates`) nor
which rows and prompts there are (`evaluator`).

Losses are computed as in training and answers are written as when served, by the same code: the
first needs the bare model and the second the thread that owns it, so the base is loaded for each.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from understudy.brains.base import BrainMessage, BrainRequest, Finish, Text
from understudy.brains.huggingface import HuggingFaceBrain
from understudy.brains.huggingface.adapters import Adapters
from understudy.brains.huggingface.loading import LoadOptions, LocalModel
from understudy.learning.training.encoding import Encoder, Example, Unfit
from understudy.learning.training.job import Options
from understudy.learning.training.losses import Losses, RowLoss
from understudy.learning.training.machine import load_base
from understudy.learning.training.packing import Shape
from understudy.learning.training.rows import Row
from understudy.storage.rows import BASE

ANSWER_TOKENS = 120
"""Longest answer to a prompt of the gates: chat is short, and a model without an end is not."""
_TOKENS_OF_A_PASS = {"cpu": 2_048}
_TOKENS_OF_A_PASS_ELSEWHERE = 8_192
_AT_ONCE = 8


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation to answer; greedily when `temperature` is 0."""

    messages: Sequence[Mapping[str, str]]
    temperature: float = 0.0


class Spoken(msgspec.Struct, frozen=True):
    """An answer; `cut` when it did not come to an end by itself."""

    text: str
    cut: bool


class Measured(Protocol):
    """Measures versions of one base; each is named, `base` being the base itself."""

    async def losses(
        self, versions: Sequence[str], rows: Sequence[Row]
    ) -> list[list[RowLoss | None]]:
        """The losses of each version on `rows`; None for rows that fit no model of this base.

        Raises `BrainError` and `TrainingError`.
        """
        ...

    async def answers(
        self, versions: Sequence[str], questions: Sequence[Question]
    ) -> list[list[Spoken]]:
        """What each version says to `questions`; raises `BrainError`."""
        ...


class MeasuredLocally:
    """Measures a base in this process, with `adapters` by the names of their versions."""

    def __init__(
        self,
        base: str,
        adapters: Mapping[str, Path],
        *,
        device: str = "auto",
        quantization: Literal["none", "4bit"] = "none",
    ) -> None:
        """`base` is a folder or a model's id; it is loaded when something is measured."""
        self._base = base
        self._adapters = adapters
        self._options = Options(device=device, quantization=quantization)

    async def losses(
        self, versions: Sequence[str], rows: Sequence[Row]
    ) -> list[list[RowLoss | None]]:
        """See `Measured`."""
        if not rows:
            return [[] for _ in versions]
        return await asyncio.to_thread(self._losses, versions, rows)

    async def answers(
        self, versions: Sequence[str], questions: Sequence[Question]
    ) -> list[list[Spoken]]:
        """See `Measured`."""
        options = LoadOptions(
            model=self._base,
            device=self._options.device,
            quantization=self._options.quantization,
        )
        brain = HuggingFaceBrain(options)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(brain.aclose)
            for version in versions:
                if version != BASE:
                    await brain.load(version, self._adapters[version])
            return [await _ask(brain, version, questions) for version in versions]

    def _losses(self, versions: Sequence[str], rows: Sequence[Row]) -> list[list[RowLoss | None]]:
        local = load_base(self._base, self._options)
        examples = _encoded(local, rows)
        tokens = _TOKENS_OF_A_PASS.get(local.device, _TOKENS_OF_A_PASS_ELSEWHERE)
        shape = Shape(len(rows), tokens, packed=False)
        adapters = Adapters(local)
        for version in versions:
            if version != BASE:
                adapters.load(version, self._adapters[version])
        found: list[list[RowLoss | None]] = []
        for version in versions:
            adapters.activate(version)
            losses = Losses(local.model, local.device, packed=False)
            told = iter(losses.of_rows([e for e in examples if e is not None], shape))
            found.append([None if example is None else next(told) for example in examples])
        return found


def _encoded(local: LocalModel, rows: Sequence[Row]) -> list[Example | None]:
    encoder = Encoder(local)
    examples: list[Example | None] = []
    for row in rows:
        try:
            examples.append(encoder.encode(row.given, row.response))
        except Unfit:
            examples.append(None)
    return examples


async def _ask(
    brain: HuggingFaceBrain, version: str, questions: Sequence[Question]
) -> list[Spoken]:
    """The answers to all questions, as many at a time as the model writes at once."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def answer(number: int, question: Question) -> Spoken:
        async with turns:
            return await _answer(brain, version, question, seed=number)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(answer(number, question), name="gate")
            for number, question in enumerate(questions)
        ]
    return [task.result() for task in tasks]


async def _answer(brain: HuggingFaceBrain, version: str, question: Question, seed: int) -> Spoken:
    request = BrainRequest(
        messages=[msgspec.convert(message, BrainMessage) for message in question.messages],
        max_tokens=ANSWER_TOKENS,
        temperature=question.temperature,
        # A version that is judged again is judged by the same answers.
        seed=seed,
    )
    text: list[str] = []
    cut = False
    async for event in brain.stream(request, version):
        if isinstance(event, Text):
            text.append(event.text)
        elif isinstance(event, Finish):
            cut = event.reason == "length"
    return Spoken("".join(text), cut)
