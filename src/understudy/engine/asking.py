"""What a brain is asked in a turn: persona, facts, context and trained version put together.

Owns which pieces go into a request. Does not own how they are fitted into the budget (`context`)
nor the reply (`turns`).
"""

import logging
from collections.abc import Callable, Collection, Sequence

import msgspec

from understudy.brains.base import BrainRequest
from understudy.brains.providers import SCRIPTED
from understudy.brains.router import Router
from understudy.config import Settings
from understudy.engine.context import Context, LikedReply, assemble
from understudy.engine.liked_replies import LikedReplies, in_time
from understudy.engine.personas import Persona, PersonaNotFound, Personas
from understudy.engine.turn import TurnRequest, config_hash
from understudy.storage.sessions import SessionMessage

logger = logging.getLogger(__name__)

ChooseVersion = Callable[[str, str], str]
"""The trained version for a channel and who asks there; empty for the usual one."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a brain is asked, the account of its context, and what else follows from the persona."""

    request: BrainRequest
    context: Context
    config_hash: str
    emotions: Collection[str]


class Asking:
    """Puts requests together."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        personas: Personas,
        *,
        liked_replies: LikedReplies | None = None,
        choose_version: ChooseVersion | None = None,
    ) -> None:
        """`liked_replies` are shown to brains that do not look them up themselves."""
        self._settings = settings
        self._router = router
        self._personas = personas
        self._liked_replies = liked_replies
        self._choose_version = choose_version

    async def examples(self, turn: TurnRequest) -> Sequence[LikedReply]:
        """Liked replies to messages like this one."""
        # The scripted brain recalls them itself, to say them again as they are.
        if self._liked_replies is None or self._router.brain.name == SCRIPTED:
            return ()
        return await in_time(self._liked_replies(turn.text, turn.persona, turn.channel))

    def compose(
        self,
        turn: TurnRequest,
        history: list[SessionMessage],
        examples: Sequence[LikedReply],
        budget: int,
    ) -> Asked:
        """The request for a turn, with at most `budget` tokens of context."""
        persona = self._persona(turn.persona)
        context = assemble(
            persona=persona,
            history=history,
            message=turn.text,
            cue=turn.cue,
            viewer=turn.viewer or turn.user,
            client_context=turn.client_context,
            recent_chat=turn.recent_chat,
            facts=self._facts(turn),
            examples=examples,
            budget=budget,
            quote=bool(turn.channel),
        )
        return Asked(
            request=self._request(turn, context),
            context=context,
            config_hash=config_hash(persona, self._settings, turn.channel),
            emotions=persona.emotions,
        )

    def _persona(self, name: str) -> Persona:
        """The persona of that name; the default one when its file has gone meanwhile."""
        try:
            return self._personas.get(name)
        except PersonaNotFound as error:
            logger.warning("%s; answering as default", error)
            return self._personas.get("default")

    def _facts(self, turn: TurnRequest) -> dict[str, str]:
        facts = {"your name": self._settings.persona.name}
        if turn.streamer:
            facts["the streamer"] = turn.streamer
        if turn.event:
            facts["stream event"] = f"{turn.event} by {turn.viewer}, {turn.amount}"
        return facts

    def _request(self, turn: TurnRequest, context: Context) -> BrainRequest:
        return BrainRequest(
            messages=context.messages,
            system_prompt=context.system_prompt,
            task=turn.task,
            text=turn.text,
            viewer=turn.viewer or turn.user,
            persona=turn.persona,
            channel=turn.channel,
            streamer=turn.streamer,
            cohost=self._settings.persona.name,
            event=turn.event,
            amount=turn.amount,
            key=turn.session,
            version=self._version(turn),
            max_tokens=self._settings.brain.reply_tokens,
        )

    def _version(self, turn: TurnRequest) -> str:
        choose = self._choose_version
        return choose(turn.channel, turn.user) if choose else ""
