"""The scripted brain: answers from ready-made lines, word by word.

Owns the order of one answer: remember, recall, understand, compose, speak. It is honest about
what it is, never repeats a viewer's words beyond one harmless one, and needs no network.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, Text, Usage
from understudy.brains.scripted import coaching
from understudy.brains.scripted.composer import Composer
from understudy.brains.scripted.conversation import WINDOW, Conversation, Conversations, bare
from understudy.brains.scripted.library import load_library
from understudy.brains.scripted.sentiment import analyze
from understudy.brains.scripted.summary import summarize
from understudy.brains.scripted.understanding import Planner, common_slots, prepare, recognise

RECALL_SECONDS = 1.0
"""Longest wait for former answers; the viewer is waiting too."""
ALIKE = 0.5
"""Share of words two messages have in common to count as the same question."""

_log = logging.getLogger(__name__)
_PIECE = re.compile(r"\S+\s*")
_WORD = re.compile(r"\w+")


class FormerAnswer(Protocol):
    """An answer that was liked, and the message it answered."""

    @property
    def prompt(self) -> str:
        """The message that was answered."""
        ...

    @property
    def response(self) -> str:
        """What was said."""
        ...

    @property
    def corrected(self) -> bool:
        """Whether a person wrote the answer in place of what was said."""
        ...


Recall = Callable[[str, str, str], Awaitable[Sequence[FormerAnswer]]]
"""Finds liked and corrected answers to messages like (text, persona, channel), best first."""


class ScriptedBrain(Brain):
    """The embedded default. The same `seed` and requests give the same answers; 0 varies.

    `words_per_second` is the pace of its replies, 0 as fast as it can. Answers that `recall`
    finds go before its own lines.
    """

    name = "scripted"
    model = "scripted-1"

    def __init__(
        self, seed: int = 0, words_per_second: float = 14.0, recall: Recall | None = None
    ) -> None:
        self._library = load_library()
        self._planner = Planner(self._library)
        self._composer = Composer(self._library)
        self._conversations = Conversations(seed or secrets.randbits(64))
        self._pause = 1 / words_per_second if words_per_second > 0 else 0.0
        self._recall = recall

    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what this brain is."""
        return "Understudy's built-in scripted brain: ready-made lines, no model and no network."

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Yield the reply word by word; raises `BrainError` for a task that needs a model."""
        text = await self._answer(request)
        limit = None if request.task == "analyze" else request.max_tokens
        pieces = _PIECE.findall(text)[:limit]
        for number, piece in enumerate(pieces):
            await asyncio.sleep(self._pause if number else 0)
            yield Text(piece)
        read = sum(len(message.content.split()) for message in request.messages)
        yield Usage(input_tokens=read, output_tokens=len(bare("".join(pieces)).split()))

    async def _answer(self, request: BrainRequest) -> str:
        match request.task:
            case "summarize":
                return summarize(request.messages)
            case "analyze":
                text = request.arguments.get("text") or request.text
                return msgspec.json.encode(analyze(text)).decode()
            case "translate":
                raise BrainError(
                    "translation needs a model: set brain.provider to a brain that has one"
                )
            case "coach":
                return self._coach(request)
            case "thanks":
                return self._thank(request)
            case "chat":
                return await self._reply(request)

    async def _reply(self, request: BrainRequest) -> str:
        talk = self._conversation(request)
        prepared = prepare(request.text, request.cohost)
        intent = recognise(self._library.intents, prepared)
        former = await self._former_answer(request, intent is not None and intent.sure, talk)
        if former:
            talk.meet(request.viewer)
            talk.remember(former, intent.name if intent else "recalled")
            return former
        plan = self._planner.plan(request, prepared, intent, talk)
        text = self._composer.compose(talk, request.persona, plan.pools, plan.slots)
        if plan.slots.get("viewer", "\n") in text:
            talk.named()
        if plan.greet:
            unnamed = {name: value for name, value in plan.slots.items() if name != "viewer"}
            hello = self._composer.compose(talk, request.persona, ["hello_first"], unnamed)
            text = f"{hello} {text}"
        talk.remember(text, plan.intent)
        return text

    def _thank(self, request: BrainRequest) -> str:
        talk = self._conversation(request)
        slots = common_slots(request)
        if viewer := self._library.words.address(request.viewer):
            slots["viewer"] = viewer
        # Lines with a number speak of several; one gift or month is thanked for without it.
        if request.amount > 1:
            slots |= {"amount": str(request.amount), "months": str(request.amount)}
        pool = f"thanks_{request.event}"
        pools = [pool if self._library.has(request.persona, pool) else "thanks_other"]
        text = self._composer.compose(talk, request.persona, pools, slots)
        talk.remember(text, pools[0])
        return text

    def _coach(self, request: BrainRequest) -> str:
        talk = self._conversation(request)
        reading = coaching.read(request.arguments, request.text)
        slots = common_slots(request)
        if reading.rate is not None:
            slots["rate"] = f"{reading.rate:.0f}"
        text = self._composer.compose(talk, request.persona, [reading.pool], slots)
        talk.remember(text, reading.pool)
        return text

    def _conversation(self, request: BrainRequest) -> Conversation:
        said = [m.content for m in request.messages if m.role == "assistant"]
        return self._conversations.get(request.key, said[-WINDOW:])

    async def _former_answer(self, request: BrainRequest, sure: bool, talk: Conversation) -> str:
        """What is to be said again, or an empty string.

        A correction of the answer to this very question comes first, however often it was said;
        then, unless our own lines are `sure`, an answer to a question like it that was not said
        lately.
        """
        if self._recall is None or not request.text.strip():
            return ""
        try:
            async with asyncio.timeout(RECALL_SECONDS):
                found = await self._recall(request.text, request.persona, request.channel)
        except Exception as error:
            # The brain has lines of its own: a slow or broken memory must not silence it.
            _log.warning(
                "former answers could not be looked up: %s %s", type(error).__name__, error
            )
            return ""
        corrections = (f for f in found if f.corrected and _likeness(f, request.text) == 1)
        if correction := next((f.response.strip() for f in corrections), ""):
            return correction
        if sure:
            return ""
        said = (f.response.strip() for f in found if _likeness(f, request.text) >= ALIKE)
        return next((text for text in said if text and talk.is_fresh(text)), "")


def _likeness(former: FormerAnswer, text: str) -> float:
    """The share of words that two messages have in common; 0 where there are none."""
    first, second = (set(_WORD.findall(each.lower())) for each in (former.prompt, text))
    return len(first & second) / (len(first | second) or 1)
