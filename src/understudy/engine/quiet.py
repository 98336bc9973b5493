"""When the chat is quiet: since when, and what the co-host does by itself about it.

Owns the silence of one channel and the cues for speaking into it. Does not own small talk of
viewers, which is answered then (`candidates`), nor whether the co-host may speak (`director`).
"""

from understudy.config import DirectorSettings
from understudy.engine.candidates import Candidate
from understudy.events import ChatMessage, StreamEvent

MOST_TIMES = 3
"""How often the co-host speaks into one silence, each time after twice as long."""

_CUES = {
    "ask": (
        "The chat has gone quiet. Ask the viewers one short, friendly question about what is going "
        "on, easy to answer in a word. Do not complain about the silence."
    ),
    "continue": (
        "The chat has gone quiet. Go on by yourself with what you were talking about, in one or "
        "two sentences. Do not complain about the silence."
    ),
}


class Quiet:
    """Watches the silence of one channel."""

    def __init__(self, settings: DirectorSettings) -> None:
        self._settings = settings
        self._after = int(settings.quiet_after * 1000)
        self._channel = ""
        self._message_at: int | None = None
        self._spoke_at = 0
        self._times = 0

    def is_quiet(self, now: int) -> bool:
        """Whether nobody has written for as long as the settings say."""
        if not self._after or self._message_at is None:
            return False
        return now - self._message_at >= self._after

    def heard(self, message: ChatMessage, now: int) -> None:
        """Somebody wrote: the silence is over."""
        self._channel, self._message_at, self._times = message.channel, now, 0

    def spoke(self, at: int) -> None:
        """The co-host has spoken until `at` (ms)."""
        self._spoke_at = max(self._spoke_at, at)

    def due_at(self) -> int | None:
        """When the co-host should say something by itself; None when it should not."""
        silent = self._settings.quiet_chat == "silent" or not self._after
        if silent or self._message_at is None or self._times >= MOST_TIMES:
            return None
        return max(self._message_at, self._spoke_at) + self._after * 2**self._times

    def speak_up(self, now: int) -> Candidate | None:
        """What to say into the silence at `now`; None while it is too early."""
        due = self.due_at()
        if due is None or now < due:
            return None
        self._times += 1
        asks = self._settings.quiet_chat == "ask"
        return Candidate(
            source=StreamEvent(
                id=f"quiet-{now}",
                channel=self._channel,
                ts=now,
                kind="other",
                user="",
                name="chat",
                text="(the chat is quiet: say something)",
            ),
            reason="quiet_ask" if asks else "quiet_continue",
            detail="The chat was quiet, so it speaks by itself.",
            points=0.0,
            since=now,
            until=now + 1,
            lane="streamer",
            cue=_CUES[self._settings.quiet_chat],
        )
