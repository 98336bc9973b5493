"""Learning at once, without weights: what was liked, or corrected, comes back to similar messages.

Owns the choice of replies. Does not own the search (`storage.experiences`) nor what a brain makes
of them: the scripted one says them again, models are shown them as examples (`engine.context`).
"""

from understudy.config import LearningSettings
from understudy.engine.context import LikedReply
from understudy.safety.pii import Redactor
from understudy.storage.experiences import Experiences, RatedAnswer

LIKE_ENOUGH = 0.2
"""Share of words that an example's message must have in common with the one to be answered."""


class LikedReplies:
    """Finds liked and corrected replies; `learning.examples` = 0 switches them off."""

    def __init__(self, experiences: Experiences, settings: LearningSettings) -> None:
        self._experiences = experiences
        self._settings = settings
        # Whoever asks now is somebody else than the one who was answered then.
        self._redactor = Redactor()

    async def recall(self, text: str, persona: str, channel: str) -> list[RatedAnswer]:
        """Replies to messages like `text`, the best one first, as they were said or corrected."""
        if not self._settings.examples_for(channel):
            return []
        return await self._experiences.similar(text, persona=persona, channel=channel or None)

    async def examples(self, text: str, persona: str, channel: str) -> list[LikedReply]:
        """The same as examples for a model, as many as the settings want, redacted."""
        answers = await self.recall(text, persona, channel)
        alike = [answer for answer in answers if answer.likeness >= LIKE_ENOUGH]
        return [
            LikedReply(
                prompt=self._redactor.redact(answer.prompt).text,
                response=self._redactor.redact(answer.response).text,
                experience=answer.experience,
            )
            for answer in alike[: self._settings.examples_for(channel)]
        ]
