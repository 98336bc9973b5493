"""Makes what answers: turns and one-off answers over the same parts.

Owns which parts a turn is given, live and in a rehearsal. Does not own the parts.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

from understudy.brains.choice import Choice
from understudy.brains.providers import make_scripted
from understudy.brains.router import Router
from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.asking import ChooseVersion
from understudy.engine.clock import Clock
from understudy.engine.oneoff import OneOffs
from understudy.engine.personas import Personas
from understudy.engine.reply import EMOTIONS, ReplyStream
from understudy.engine.sessions import SessionManager
from understudy.engine.tools.toolbox import Toolbox
from understudy.engine.turn import Outcome
from understudy.engine.turns import Publish, Turns
from understudy.events import Reply
from understudy.learning.liked_replies import LikedReplies
from understudy.outputs.live import LiveFeed
from understudy.safety.moderation import OutputFilter
from understudy.storage.engine import Database
from understudy.storage.log_writer import LogWriter
from understudy.storage.mongo import MongoArchive


class Ground(NamedTuple):
    """What is started before the rooms that stand on it are wired."""

    database: Database
    log: LogWriter
    bus: Bus
    feed: LiveFeed
    personas: Personas
    liked: LikedReplies
    choice: Choice
    router: Router
    mongo: MongoArchive | None


class TurnBuilder:
    """Makes `Turns` that differ only in clock, brain and where their events go."""

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        sessions: SessionManager,
        on_reply: Callable[[Reply, Outcome], None],
        choose_version: ChooseVersion,
    ) -> None:
        self._settings = settings
        self._ground = ground
        self.sessions = sessions
        self.log = ground.log
        self._on_reply = on_reply
        self._choose_version = choose_version
        self.output_filter = OutputFilter(settings.safety.blocked_words)

    def __call__(
        self,
        router: Router,
        publish: Publish,
        clock: Clock | None = None,
        toolbox: Toolbox | None = None,
    ) -> Turns:
        """Turns that `router` answers; those of a rehearsal have a clock of their own."""
        return Turns(
            self._settings,
            router,
            self.sessions,
            self._ground.personas,
            self.log,
            publish,
            reply_stream=self._reply_stream,
            clock=clock,
            on_reply=self._on_reply,
            toolbox=toolbox,
            liked_replies=self._ground.liked.examples,
            choose_version=self._choose_version,
        )

    def oneoffs(self, router: Router) -> OneOffs:
        """Answers to conversations that are kept elsewhere."""
        return OneOffs(
            self._settings,
            router,
            self.log,
            reply_stream=self._reply_stream,
            on_reply=self._on_reply,
        )

    def for_rehearsal(
        self,
        clock: Clock,
        publish: Publish,
        seed: int,
        paced: bool,
    ) -> Turns:
        """Turns without tools whose scripted brain is seeded, and without pauses unless `paced`.

        Other brains are the same as live.
        """
        changes: dict[str, object] = {"seed": seed}
        if not paced:
            changes["words_per_second"] = 0.0
        settings = self._settings.brain.model_copy(update=changes)
        scripted = make_scripted(settings, self._ground.liked.recall)
        return self(self._ground.router.with_scripted(scripted), publish, clock)

    def _reply_stream(self, emotions: Collection[str]) -> ReplyStream:
        return ReplyStream(self.output_filter, {*EMOTIONS, *emotions})
