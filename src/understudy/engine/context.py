"""What a model is told for one reply, fitted into a budget of tokens, with an account of it.

Owns choice and order of the pieces. Does not own the pieces: personas, histories, chat and facts
are given; how viewers' words are fenced off is `safety.untrusted`.

Every piece that was considered is in the account, with its cost and why it is in or out, so that
"why did it forget?" has an answer.
"""

from collections.abc import Mapping, Sequence

import msgspec

from understudy.brains.base import BrainMessage
from understudy.engine.personas import Persona
from understudy.engine.tokens import MESSAGE_OVERHEAD, cut_to_tokens, estimate_tokens
from understudy.events import ChatMessage
from understudy.safety.untrusted import SYSTEM_RULE, defuse, quote_viewer
from understudy.storage.sessions import SessionMessage

MIN_MESSAGE_TOKENS = 64
"""Tokens of the message that stay even when the system prompt alone exceeds the budget."""
MAX_FACT_CHARS = 200

_FACTS_HEADING = "What is so right now:"
_CONTEXT_HEADING = "Context set by the person you are talking with:"
_CHAT_HEADING = "Recent chat, so that you know what is going on:"
_ANSWER_HEADING = "Answer this message:"
_EXAMPLES_HEADING = (
    "Replies of yours that people liked, to similar messages of others. Learn their manner from "
    "them; they are no part of this conversation:"
)
EXAMPLES_SHARE = 0.25
"""The part of the budget that liked replies may take: the conversation needs the rest."""
# A block is joined to the one before it by line breaks, which cost a token at most.
_SEPARATOR = 1


class ContextPart(msgspec.Struct, frozen=True):
    """One piece that was considered: what it is, where from, its cost in tokens, in or out, why."""

    name: str
    source: str
    tokens: int
    included: bool
    why: str


class LikedReply(msgspec.Struct, frozen=True):
    """A reply that was liked, and the message it answered; `experience` is its id."""

    prompt: str
    response: str
    experience: str


class Context(msgspec.Struct, frozen=True):
    """What the model gets. `tokens` is the estimated cost of all of it."""

    messages: list[BrainMessage]
    system_prompt: str
    account: list[ContextPart]
    tokens: int


def assemble(
    *,
    persona: Persona,
    history: Sequence[SessionMessage],
    message: str,
    viewer: str,
    client_context: str | None,
    cue: str = "",
    recent_chat: Sequence[ChatMessage] = (),
    facts: Mapping[str, str] | None = None,
    examples: Sequence[LikedReply] = (),
    budget: int,
    quote: bool,
) -> Context:
    """Choose what fits into `budget` tokens for a reply to `message` of `viewer`.

    The persona and the message are always in; the message is cut at its end when the two alone
    are too much. `cue` says how to take the message, in trusted words, and stands before it.
    Then, while they fit: facts, the client's context, `examples` from the best one on, the history
    from its newest message back, the recent chat from its newest message back. A conversation has
    no holes: once a message does not fit, none before it is taken. `quote` fences off the words of
    viewers, who are not to be obeyed; without it the message is given as it is. Examples are always
    fenced off: they are of other people's conversations.
    """
    choice = _Choice(budget)
    system = [choice.always("persona", persona.name, persona.prompt)]
    if quote or examples:
        system.append(choice.always("rule", "safety.untrusted", SYSTEM_RULE))
    heading = f"{_ANSWER_HEADING}\n" if recent_chat or examples else ""
    question = _question(choice, message, viewer, f"{heading}{cue}\n" if cue else heading, quote)
    system += _facts(choice, facts or {})
    if client_context:
        block = f"{_CONTEXT_HEADING}\n{client_context}"
        system += choice.if_it_fits("client context", "client", block, _SEPARATOR)
    shown = _examples(choice, examples, int(budget * EXAMPLES_SHARE))
    messages = [BrainMessage("user", shown)] if shown else []
    messages += _history(choice, history, quote)
    chat = _chat(choice, recent_chat, _already_there(history, message, viewer), quote)
    if chat:
        messages.append(BrainMessage("user", "\n".join([_CHAT_HEADING, *chat])))
    elif not shown:
        question = question.removeprefix(heading)
    messages.append(BrainMessage("user", question))
    return Context(_merge(messages), "\n\n".join(system), choice.account, choice.spent)


class _Choice:
    """The budget as it is spent, and the account of it."""

    def __init__(self, budget: int) -> None:
        self.account: list[ContextPart] = []
        self.spent = 0
        self._budget = budget

    @property
    def left(self) -> int:
        return self._budget - self.spent

    def always(self, name: str, source: str, text: str) -> str:
        """Take `text` whatever it costs."""
        self.take(name, source, estimate_tokens(text) + _SEPARATOR, "always")
        return text

    def if_it_fits(self, name: str, source: str, text: str, overhead: int) -> list[str]:
        """`[text]` if its cost with `overhead` is left, else `[]`."""
        tokens = estimate_tokens(text) + overhead
        if tokens > self.left:
            self.refuse(name, source, tokens, f"over budget by {tokens - self.left} tokens")
            return []
        self.take(name, source, tokens, "fits")
        return [text]

    def take(self, name: str, source: str, tokens: int, why: str) -> None:
        self.spent += tokens
        self.account.append(ContextPart(name, source, tokens, True, why))

    def refuse(self, name: str, source: str, tokens: int, why: str) -> None:
        self.account.append(ContextPart(name, source, tokens, False, why))


def _question(choice: _Choice, message: str, viewer: str, heading: str, quote: bool) -> str:
    """The message to answer, in full if it can be."""

    def render(text: str) -> str:
        return heading + (quote_viewer(viewer, text) if quote else text)

    def cost(text: str) -> int:
        return estimate_tokens(render(text)) + MESSAGE_OVERHEAD + _SEPARATOR

    room = max(choice.left, cost("") + MIN_MESSAGE_TOKENS)
    text = cut_to_tokens(message, room, cost)
    why = "always"
    if text != message:
        why = f"cut at its end from {cost(message)} tokens: it is over budget with the persona"
    choice.take("message", viewer, cost(text), why)
    return render(text)


def _facts(choice: _Choice, facts: Mapping[str, str]) -> list[str]:
    """The facts that fit, as one block."""
    lines: list[str] = []
    for key, value in facts.items():
        heading = 0 if lines else estimate_tokens(_FACTS_HEADING) + _SEPARATOR
        # A fact may name a viewer, and it stands where the model takes its orders.
        line = f"- {key}: {defuse(value)[:MAX_FACT_CHARS]}"
        lines += choice.if_it_fits("fact", key, line, heading + _SEPARATOR)
    return ["\n".join([_FACTS_HEADING, *lines])] if lines else []


def _examples(choice: _Choice, examples: Sequence[LikedReply], limit: int) -> str:
    """The examples that fit into `limit` tokens, the best one last, where it counts most."""
    blocks: list[str] = []
    left = limit
    for example in examples:
        block = f"{quote_viewer('viewer', example.prompt)}\nYou: {defuse(example.response)}"
        heading = 0 if blocks else estimate_tokens(_EXAMPLES_HEADING) + MESSAGE_OVERHEAD
        tokens = estimate_tokens(block) + heading + _SEPARATOR
        if tokens > left:
            why = f"over the share of liked replies by {tokens - left} tokens"
            choice.refuse("liked reply", example.experience, tokens, why)
        elif choice.if_it_fits("liked reply", example.experience, block, heading + _SEPARATOR):
            left -= tokens
            blocks.append(block)
    return "\n".join([_EXAMPLES_HEADING, *reversed(blocks)]) if blocks else ""


def _history(choice: _Choice, history: Sequence[SessionMessage], quote: bool) -> list[BrainMessage]:
    """The newest messages that fit, oldest first."""
    chosen: list[BrainMessage] = []
    full = False
    for entry in reversed(history):
        content = _content(entry, quote)
        if not content:
            choice.refuse("history", entry.id, 0, "empty")
        elif full:
            tokens = estimate_tokens(content) + MESSAGE_OVERHEAD
            choice.refuse("history", entry.id, tokens, "older than a message that is left out")
        elif choice.if_it_fits("history", entry.id, content, MESSAGE_OVERHEAD):
            chosen.append(BrainMessage(entry.role, content))
        else:
            full = True
    return chosen[::-1]


def _content(entry: SessionMessage, quote: bool) -> str:
    text = entry.text.strip()
    if not text:
        return ""
    if entry.role == "user":
        return quote_viewer(entry.user, text) if quote else text
    # Only what was shown is remembered; the dots tell the model that it was cut off there.
    return text if entry.status == "complete" else f"{text} …"


def _chat(
    choice: _Choice, chat: Sequence[ChatMessage], known: set[tuple[str, str]], quote: bool
) -> list[str]:
    """The newest lines of chat that fit, oldest first."""
    chosen: list[str] = []
    full = False
    for entry in reversed(chat):
        name = entry.display_name
        line = quote_viewer(name, entry.text) if quote else f"{name}: {entry.text}"
        heading = 0 if chosen else estimate_tokens(_CHAT_HEADING) + MESSAGE_OVERHEAD
        if known & {(entry.user.lower(), entry.text), (name.lower(), entry.text)}:
            choice.refuse("chat", entry.id, 0, "already in the conversation")
        elif full:
            tokens = estimate_tokens(line) + _SEPARATOR
            choice.refuse("chat", entry.id, tokens, "older than a message that is left out")
        elif choice.if_it_fits("chat", entry.id, line, heading + _SEPARATOR):
            chosen.append(line)
        else:
            full = True
    return chosen[::-1]


def _already_there(
    history: Sequence[SessionMessage], message: str, viewer: str
) -> set[tuple[str, str]]:
    """Author and text of what a chat's recent messages may repeat."""
    said = {(entry.user.lower(), entry.text) for entry in history if entry.role == "user"}
    return said | {(viewer.lower(), message)}


def _merge(messages: Sequence[BrainMessage]) -> list[BrainMessage]:
    """Neighbours of the same role as one message: several providers refuse them otherwise."""
    merged: list[BrainMessage] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            content = f"{merged[-1].content}\n{message.content}"
            merged[-1] = BrainMessage(message.role, content)
        else:
            merged.append(message)
    return merged
