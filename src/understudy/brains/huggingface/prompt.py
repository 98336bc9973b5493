"""Writes a conversation the way a model was trained to read it.

Owns the chat template, what is done for templates that refuse a role, and keeping a viewer's text
from posing as markup. Does not own what the conversation holds (`engine.context`).
"""

import logging
import re
from typing import Any

import msgspec

from understudy.brains.base import BrainError, BrainRequest

FALLBACK_TEMPLATE = (
    "{% for message in messages %}{{ message.role | capitalize }}: {{ message.content }}\n"
    "{% endfor %}Assistant:"
)
"""For models that bring no template: a plain transcript that any model can go on with."""
FALLBACK_STOPS = ("\nUser:", "\nAssistant:", "\nSystem:")

_MARKUP = re.compile(r"<\|[^|<>\n]{1,40}\|>|\[/?INST\]|<</?SYS>>")
_log = logging.getLogger(__name__)

Messages = list[dict[str, str]]


class Prompt(msgspec.Struct, frozen=True):
    """The tokens a model reads, and what ends its reply besides the request's own stops."""

    tokens: list[int]
    stops: tuple[str, ...] = ()


def build_prompt(tokenizer: Any, request: BrainRequest) -> Prompt:
    """The prompt for `request`; raises `BrainError` when the template takes it in no form."""
    markup = special_tokens(tokenizer)
    messages = merge(to_messages(request, markup))
    own = tokenizer.chat_template is not None
    template = None if own else FALLBACK_TEMPLATE
    stops = () if own else FALLBACK_STOPS
    for attempt in (messages, fold_system(messages), from_first_user(fold_system(messages))):
        try:
            encoded = tokenizer.apply_chat_template(
                attempt,
                chat_template=template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
            )
        except Exception as error:
            # A template refuses by raising whatever its author chose; the next form may pass.
            _log.debug("the chat template refused %s: %s", [m["role"] for m in attempt], error)
            continue
        return Prompt(list(encoded["input_ids"]), stops)
    raise BrainError(
        "the model's chat template does not take this conversation: use another model",
        kind="refused",
    )


def special_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Finds everything in a text that the model would take for markup."""
    added = tokenizer.added_tokens_decoder.values()
    names = {str(token.content) for token in added if token.special}
    names.update(tokenizer.all_special_tokens)
    longest_first = sorted((name for name in names if name.strip()), key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, longest_first), _MARKUP.pattern]))


def to_messages(request: BrainRequest, markup: re.Pattern[str]) -> Messages:
    """The request's messages with the three roles that every template knows.

    Markup becomes a space, so that what is left on both sides of it cannot form new markup.
    """
    messages: Messages = []
    if request.system_prompt.strip():
        messages.append({"role": "system", "content": markup.sub(" ", request.system_prompt)})
    for message in request.messages:
        # Only the first may be the system's: most templates refuse a later one.
        known = message.role == "assistant" or (message.role == "system" and not messages)
        content = markup.sub(" ", message.content)
        if content.strip():
            messages.append({"role": message.role if known else "user", "content": content})
    return messages


def merge(messages: Messages) -> Messages:
    """Neighbours of the same role as one message: many templates want roles to alternate."""
    merged: Messages = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            content = f"{merged[-1]['content']}\n{message['content']}"
            merged[-1] = {"role": message["role"], "content": content}
        else:
            merged.append(message)
    return merged


def fold_system(messages: Messages) -> Messages:
    """The system prompt as the beginning of the first user message."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    rest = [dict(m) for m in messages if m["role"] != "system"]
    if not system:
        return rest
    for message in rest:
        if message["role"] == "user":
            message["content"] = f"{system}\n\n{message['content']}"
            return rest
    return [{"role": "user", "content": system}, *rest]


def from_first_user(messages: Messages) -> Messages:
    """The conversation without what the assistant said before anybody asked."""
    roles = [message["role"] for message in messages]
    return messages[roles.index("user") :] if "user" in roles else messages
