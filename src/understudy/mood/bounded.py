"""A model that takes its time, kept from holding up the chat.

Owns how much a model is asked at once, how long it may take, and its rest after a failure. Does not
own what it answers, nor who stands in while it rests (`monitor`).
"""

import asyncio
from collections.abc import Sequence

from understudy.mood.classifier import LexiconClassifier, MoodClassifier, Sentiment
from understudy.mood.errors import MoodError

MOST_TEXTS = 32
"""Different texts that a model is asked about at once; the word lists judge what is more."""
PATIENCE_SECONDS = 8.0
REST_SECONDS = 30.0
"""How long a model that failed is left alone."""


class BoundedClassifier:
    """Asks `model` within limits. Closing it closes the model."""

    def __init__(
        self,
        model: MoodClassifier,
        *,
        patience: float = PATIENCE_SECONDS,
        rest: float = REST_SECONDS,
    ) -> None:
        """`patience` and `rest` are in seconds."""
        self.name = model.name
        self.problem = ""
        """Why it does not answer right now, in one sentence; empty when all is well."""
        self._model = model
        self._patience = patience
        self._rest = rest
        self._rests_until = float("-inf")
        self._words = LexiconClassifier()

    async def label(self, texts: Sequence[str]) -> list[Sentiment]:
        """The sentiment of each text, in their order; raises `MoodError`, at once while it rests.

        Of many texts the model is asked about the newest.
        """
        if asyncio.get_running_loop().time() < self._rests_until:
            raise MoodError(self.problem)
        asked = list(dict.fromkeys(reversed(texts)))[:MOST_TEXTS]
        found = dict(zip(asked, await self._ask(asked), strict=True))
        others = [text for text in texts if text not in found]
        found.update(zip(others, await self._words.label(others), strict=True))
        return [found[text] for text in texts]

    async def aclose(self) -> None:
        """Close the model."""
        await self._model.aclose()

    async def _ask(self, texts: Sequence[str]) -> list[Sentiment]:
        try:
            async with asyncio.timeout(self._patience):
                found = await self._model.label(texts)
        except TimeoutError:
            raise self._resting(f"{self.name} takes longer than {self._patience:g} s") from None
        except MoodError as error:
            raise self._resting(str(error)) from error
        self.problem = ""
        return found

    def _resting(self, why: str) -> MoodError:
        self.problem = f"the mood is read with the word lists: {why}"
        self._rests_until = asyncio.get_running_loop().time() + self._rest
        return MoodError(self.problem)
