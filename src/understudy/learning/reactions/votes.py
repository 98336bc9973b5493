"""Votes in the chat: `!good` and `!bad`, or a thumb in reply to the co-host, and what they judge.

Owns how a vote is written and which reply it is about. Does not own what it weighs (`audience`) nor
how it is stored (`feedback`). The director takes no notice of votes: they begin like a command, or
hold nothing to answer.
"""

import re
from collections import OrderedDict, deque

import msgspec

from understudy.engine.addressing import AddressReader
from understudy.events import ChatMessage, Reply

NEWEST_MS = 60_000
"""How long the newest reply of the channel is what a vote is about."""
OWN_MS = 600_000
"""How long a viewer's vote is about the newest reply to themselves."""
_REPLIES = 50
_OWN_MESSAGES = 200
_PIECE_CHARS = 12

_THUMBS = re.compile("(?:(\U0001f44d)|(\U0001f44e))[\U0001f3fb-\U0001f3ff\ufe0f\\s]*")


class VoteReader:
    """Reads votes; `prefix` begins a command in the chat."""

    def __init__(self, prefix: str, reader: AddressReader) -> None:
        prefix = prefix or "/"
        self._words = {f"{prefix}good": 1, f"{prefix}bad": -1}
        self._reader = reader

    def read(self, message: ChatMessage) -> int:
        """1 for a vote that a reply was good, -1 for bad, 0 for no vote."""
        first = message.text[:_PIECE_CHARS].split(maxsplit=1)
        if not first:
            return 0
        if vote := self._words.get(first[0].casefold()):
            return vote
        if not self._reader.is_cohost(message.reply_to_user):
            return 0
        return _thumb(message.text)


def _thumb(text: str) -> int:
    """The one thumb of a text of thumbs alone, 0 for other texts."""
    # Twitch begins a reply with the name of whom it is for.
    rest = re.sub(r"^\s*@\w+\s*", "", text[:100])
    values: set[int] = set()
    at = 0
    while found := _THUMBS.match(rest, at):
        values.add(1 if found[1] else -1)
        at = found.end()
    return values.pop() if at == len(rest) and len(values) == 1 else 0


class _Said(msgspec.Struct, frozen=True):
    turn: str
    user: str
    ts: int
    text: str


class Ballot:
    """Knows the newest replies of one channel, and which one a vote is about."""

    def __init__(self) -> None:
        self._replies: deque[_Said] = deque(maxlen=_REPLIES)
        # Which of the co-host's own messages in the platform's chat shows which reply.
        self._shown: OrderedDict[str, str] = OrderedDict()

    def note_reply(self, reply: Reply) -> None:
        """The co-host answered."""
        if reply.text.strip():
            self._replies.append(_Said(reply.turn, reply.user.casefold(), reply.ts, reply.text))

    def note_own(self, message: ChatMessage) -> None:
        """A message of the co-host's own came back from the platform."""
        said = next((each for each in reversed(self._replies) if _shows(message, each)), None)
        if said is not None:
            self._shown[message.id] = said.turn
            if len(self._shown) > _OWN_MESSAGES:
                self._shown.popitem(last=False)

    def judged_by(self, message: ChatMessage) -> str:
        """The turn whose reply a vote is about; empty when there is none."""
        if message.reply_to in self._shown:
            return self._shown[message.reply_to]
        voter = message.user.casefold()
        for said in reversed(self._replies):
            if said.user == voter and 0 <= message.ts - said.ts <= OWN_MS:
                return said.turn
        newest = self._replies[-1] if self._replies else None
        if newest is None or not 0 <= message.ts - newest.ts <= NEWEST_MS:
            return ""
        return newest.turn


def _shows(message: ChatMessage, said: _Said) -> bool:
    """Whether a message is a reply, or a piece of one."""
    text = re.sub(r"^\s*@\w+\s*", "", message.text).strip()
    return len(text) >= min(_PIECE_CHARS, len(said.text)) and text in said.text
