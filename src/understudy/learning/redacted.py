"""Exchanges without personal data: what may leave the log.

Owns how the messages of an exchange are unwrapped and redacted. Does not own what personal data is
(`safety.pii`) nor which exchanges are fit to be learned from (`datasets.curate`).
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import msgspec

from understudy.safety.pii import Redactor
from understudy.safety.untrusted import SYSTEM_RULE, quoted_names, unwrap
from understudy.storage.rows import ExperienceRow

_RULE = re.compile(rf"\s*{re.escape(SYSTEM_RULE)}\s*")

Message = dict[str, str]


class RedactedExchange(msgspec.Struct, frozen=True):
    """What the model was given, the same as one text, and the channel and persona it was in."""

    prompt: str
    messages: list[Message]
    channel: str
    persona: str


class ExchangeRedactor:
    """Redacts exchanges that belong together: one viewer has one pseudonym in all of them.

    `found` counts what was replaced, by kind. Not to be used from two threads at once.
    """

    def __init__(self, roster: Iterable[tuple[str, str]] = (), keep: Iterable[str] = ()) -> None:
        """`roster` holds (login, display name) of the chatters to hide; names in `keep` stay."""
        # Sets come in another order in every process; names shared by two chatters must not.
        self.redactor = Redactor(sorted(roster), keep=keep)
        self.found: Counter[str] = Counter()
        self._identifiers = Redactor()

    async def learn_names(self, rows: AsyncIterator[ExperienceRow]) -> int:
        """Know everybody who speaks in `rows` before any is redacted; returns their number."""
        count = 0
        async for row in rows:
            count += 1
            for name in (row.user, row.channel, *names_in(row)):
                self.redactor.roster.meet(name)
        return count

    def exchange(self, row: ExperienceRow) -> RedactedExchange:
        """What the model was given in `row`, redacted, without the reply."""
        messages = [
            {"role": m["role"], "content": self._content(m, row.channel)}
            for m in row.prompt_messages
        ]
        channel = self._identifiers.redact(row.channel).text
        persona = self._identifiers.redact(row.persona).text
        return RedactedExchange(as_text(messages), messages, channel, persona)

    def text(self, text: str, channel: str) -> str:
        """A text of `channel`, redacted."""
        redacted = self.redactor.redact(text, streamer=channel)
        self.found.update(finding.kind for finding in redacted.findings)
        return redacted.text

    def is_clean(self, text: str, channel: str) -> bool:
        """Whether a second pass finds nothing in a text of `channel` that was redacted."""
        return not self.redactor.redact(text, streamer=channel).findings

    def _content(self, message: Message, channel: str) -> str:
        content = message["content"]
        if message["role"] == "system":
            # Without envelopes the rule about them only confuses.
            content = _RULE.sub("\n\n", content).strip()
        else:
            roster = self.redactor.roster
            content = unwrap(content, lambda name: roster.pseudonym(name, channel))
        return self.text(content, channel)


def names_in(row: ExperienceRow) -> list[str]:
    """Whose words the model was given, in order."""
    spoken = (m["content"] for m in row.prompt_messages if m["role"] != "system")
    return [name for text in spoken for name in quoted_names(text)]


def as_text(messages: list[Message]) -> str:
    """The conversation as text: one message alone as it is, several with who said them."""
    spoken = [message for message in messages if message["role"] != "system"]
    if len(spoken) == 1:
        return spoken[0]["content"]
    return "\n".join(f"{message['role']}: {message['content']}" for message in spoken)
