"""What the co-host has said in Twitch's chat, so that it is known when the chat hands it back.

Owns the newest texts and ids. Does not own the sending (`sending`). The account alone does not
tell: a streamer may be logged in as themselves, and writes in the chat too.
"""

import re
from collections import OrderedDict
from collections.abc import Callable

from understudy.events import ChatMessage

ECHO_SECONDS = 60.0
"""How long after it was sent a text may come back."""
MAX_IDS = 1_024
"""Newest messages that replies are recognised to."""

_REPLY_PREFIX = re.compile(r"^@\S+\s+")


class OwnMessages:
    """The newest messages that were sent. `clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._texts: dict[tuple[str, str], float] = {}
        self._ids: OrderedDict[str, None] = OrderedDict()

    def sending(self, channel: str, text: str) -> None:
        """A message is about to be sent."""
        now = self._clock()
        self._texts = {said: at for said, at in self._texts.items() if now - at < ECHO_SECONDS}
        self._texts[channel, text] = now

    def not_shown(self, channel: str, text: str) -> None:
        """The message was not shown: the same text is somebody's own."""
        self._texts.pop((channel, text), None)

    def shown(self, message_id: str) -> None:
        """The chat shows a message under this id."""
        self._ids[message_id] = None
        if len(self._ids) > MAX_IDS:
            self._ids.popitem(last=False)

    def hands_back(self, message: ChatMessage) -> bool:
        """Whether `message`, which the account has written, is one of these."""
        if message.id in self._ids:
            return True
        if not self._was_said(message):
            return False
        self.shown(message.id)
        return True

    def is_answered_by(self, message: ChatMessage) -> bool:
        """Whether `message` is a reply to one of these."""
        return message.reply_to in self._ids

    def _was_said(self, message: ChatMessage) -> bool:
        # A reply begins with the name of whom it answers.
        bare = _REPLY_PREFIX.sub("", message.text) if message.reply_to else message.text
        now = self._clock()
        times = (self._texts.get((message.channel, text)) for text in (message.text, bare))
        return any(at is not None and now - at < ECHO_SECONDS for at in times)
