"""The learning half of the application: what follows the chat to learn what was liked.

Owns how its parts are put together. Does not own their order among others (`application`).
"""

from understudy.bus import Bus
from understudy.config import Settings
from understudy.engine.live_channels import LiveChannels
from understudy.learning.audience import Audience
from understudy.learning.feedback import Feedback
from understudy.mood.channel_words import ChannelWords
from understudy.storage.engine import Database
from understudy.storage.experiences import Experiences
from understudy.storage.reactions import Reactions
from understudy.storage.viewers import Viewers


def follow_audience(
    settings: Settings,
    database: Database,
    bus: Bus,
    live: LiveChannels,
    feedback: Feedback,
    words: ChannelWords,
) -> Audience | None:
    """What stores votes and reactions, not started yet; None where neither is wanted."""
    if not (settings.learning.votes or settings.learning.reactions):
        return None
    return Audience(
        bus,
        settings,
        feedback,
        Experiences(database),
        Reactions(database),
        Viewers(database),
        is_live=live.is_live,
        score=lambda channel, text: words.lexicon(channel).score(text),
    )
