"""The rows the log writer takes, one struct per table it writes, and those of `usage_day`.

Owns their fields; `storage.log_tables` and `storage.usage` say how they become columns. All times
are integer milliseconds since the epoch, UTC. What the log writer takes must be free of NUL
characters and lone surrogates, which no database can store: such a row is parked (see
`LogWriter`).
"""

from typing import Any, Literal

import msgspec

from understudy.events import ChatMessage, Decision, Moderation, StreamEvent, TurnStatus

ExperienceOrigin = Literal["web", "stream", "rehearsal"]
"""Where an exchange took place."""
BASE = "base"
"""The version of a model that is the model as it was made, without any training of ours."""
WITHHELD = "withheld"
"""Among an experience's events: the output filter kept some of the reply back."""
FeedbackSource = Literal["", "streamer", "moderator", "viewer", "system"]
"""Whose judgement it is; empty where that was not recorded."""


class ChatRow(msgspec.Struct, frozen=True, gc=False):
    """A chat message; stored once per channel, time and message id."""

    event: ChatMessage


class DecisionRow(msgspec.Struct, frozen=True, gc=False):
    """The fate of the message sent at `message_ts`; the last decision about a message stands."""

    event: Decision
    message_ts: int


class StreamEventRow(msgspec.Struct, frozen=True, gc=False):
    """A sub, raid, cheer and the like; stored once per channel, time and event id."""

    event: StreamEvent


class ModerationRow(msgspec.Struct, frozen=True, gc=False):
    """A moderator's act; stored once per channel, time and event id."""

    event: Moderation


class SessionMessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation; stored once per id. `run` is the turn that made a reply."""

    id: str
    session: str
    ts: int
    role: Literal["user", "assistant"]
    user: str
    text: str
    run: str = ""
    status: TurnStatus = "complete"


class ExperienceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange as the model saw it; stored once per id, which is the id of its run.

    `prompt_messages` are `{"role", "content"}` objects, `prompt_text` the bare message that was
    answered, `context_account` anything JSON can hold. `in_reply_to` is a chat message's id.
    `cost_micros` is in millionths of a dollar; tokens and cost are None where nobody knows them.
    `version` is the model version that answered, `config_hash` the settings it answered under,
    `events` what else was going on (raid, sub, …), separated by commas.
    """

    id: str
    ts: int
    channel: str
    session: str
    user: str
    persona: str
    model: str
    prompt_messages: list[dict[str, str]]
    prompt_text: str
    response: str
    status: TurnStatus
    in_reply_to: str = ""
    context_account: Any = None
    first_token_ms: int | None = None
    total_ms: int = 0
    origin: ExperienceOrigin = "web"
    provider: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_micros: int | None = None
    version: str = ""
    config_hash: str = ""
    events: str = ""


class FeedbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A judgement of an experience; stored once per id. `value` is above 0 when it was good.

    `text` is the better reply of an edit, or the replies of a ranking as a JSON list, best first.
    """

    id: str
    experience: str
    ts: int
    kind: str
    value: float
    by: str = ""
    note: str = ""
    source: FeedbackSource = ""
    weight: float = 1.0
    text: str = ""


LogRow = (
    ChatRow
    | DecisionRow
    | StreamEventRow
    | ModerationRow
    | SessionMessageRow
    | ExperienceRow
    | FeedbackRow
)
"""Everything the log writer can make durable."""


class UsageDay(msgspec.Struct, frozen=True, kw_only=True):
    """What one model used in one channel on one day (UTC, `YYYY-MM-DD`).

    `cost_micros` is in millionths of a dollar and does not hold the `unpriced` replies, whose
    model has no known price. `channel` is empty outside of streams.
    """

    day: str
    channel: str
    provider: str
    model: str
    replies: int = 0
    unpriced: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost_micros: int = 0

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it one row."""
        return self.day, self.channel, self.provider, self.model

    def plus(self, other: "UsageDay") -> "UsageDay":
        """The sum with another count of the same key."""
        return msgspec.structs.replace(
            self,
            replies=self.replies + other.replies,
            unpriced=self.unpriced + other.unpriced,
            input=self.input + other.input,
            output=self.output + other.output,
            cached=self.cached + other.cached,
            cost_micros=self.cost_micros + other.cost_micros,
        )
