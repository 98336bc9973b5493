"""What the routes work with: the rooms below, wired by the composition root."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi.requests import HTTPConnection

from understudy import __version__
from understudy.brains.choice import Choice
from understudy.brains.router import Router
from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.channels import Channels
from understudy.engine.commands import Commands
from understudy.engine.live_channels import LiveChannels
from understudy.engine.live_statistics import LiveStatistics
from understudy.engine.oneoff import OneOffs
from understudy.engine.personas import Personas
from understudy.engine.sessions import SessionManager
from understudy.engine.tools.approvals import Approvals
from understudy.engine.turns import Turns
from understudy.learning.feedback import Feedback
from understudy.outputs.live import LiveFeed
from understudy.safety.limits import RateLimiter
from understudy.server.audience import Audiences
from understudy.server.auth import Tickets
from understudy.server.metrics import Metrics
from understudy.sources.intake import Intake
from understudy.sources.rehearsal import Rehearsals
from understudy.sources.runner import SourceRunner
from understudy.sources.twitch.login import TwitchLogin
from understudy.storage.chat_log import ChatArchive
from understudy.storage.contexts import Contexts
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.log_writer import LogWriter
from understudy.storage.overlay_keys import OverlayKeys
from understudy.storage.reactions import Reactions


@dataclass(frozen=True)
class Limits:
    """Token buckets by what they count."""

    address: RateLimiter
    session: RateLimiter
    token: RateLimiter


@dataclass(frozen=True)
class Services:
    """Everything a route may use."""

    settings: Settings
    secret: str
    database: Database
    bus: Bus
    log: LogWriter
    contexts: Contexts
    archive: ChatArchive
    experiences: Experiences
    feedback: Feedback
    reactions: Reactions
    overlay_keys: OverlayKeys
    sessions: SessionManager
    personas: Personas
    commands: Commands
    router: Router
    choice: Choice
    turns: Turns
    oneoffs: OneOffs
    approvals: Approvals
    channels: Channels
    live: LiveChannels
    sources: SourceRunner
    intake: Intake
    twitch: TwitchLogin | None
    statistics: LiveStatistics
    feed: LiveFeed
    audiences: Audiences
    rehearsals: Rehearsals
    limits: Limits
    metrics: Metrics
    problems: Callable[[], list[str]]
    ready: Callable[[], Awaitable[dict[str, str]]]
    tickets: Tickets = field(default_factory=Tickets)
    started: float = field(default_factory=time.monotonic)

    def state(self) -> dict[str, object]:
        """What the web app shows in its top bar."""
        return {
            "cohost": self.settings.persona.name,
            "persona": self.settings.persona.default,
            "brain": {
                "provider": self.router.brain.name,
                "model": self.router.brain.model,
                "description": self.router.describe(),
                "why": self.router.why,
            },
            "channels": self.channels.names(),
            "muted": self.channels.muted,
            "version": __version__,
        }


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that a request or socket belongs to."""
    services: Services = connection.app.state.services
    return services
