"""What has to be known of the hosted models by name.

Owns the default models, and the settings that keep a model from thinking for seconds before it
says a word, which a viewer would wait through. Does not own prices nor requests. Models that are
not known here are asked with the provider's defaults.

Sources: Anthropic's migration guides for Claude Sonnet 5, Sonnet 5.5, Haiku 5.5 and Opus 5.5;
OpenAI's model pages for GPT-5 to GPT-6 (November 2026).
"""

import re
from typing import Any

CLAUDE_DEFAULT = "claude-haiku-5-5"
OPENAI_DEFAULT = "gpt-6-luna"

THINKING_TOKENS = 2_000
"""What a model that always thinks may use for it beyond the tokens of its reply."""

_CLAUDE_CAN_STOP_THINKING = re.compile(r"claude-(haiku-5-5|sonnet-5|opus-5)(?!-?\d)")
_CLAUDE_THINKS_BETWEEN_TOOLS = re.compile(r"claude-sonnet-5-5(?!\d)")
_CLAUDE_ALWAYS_THINKS = re.compile(r"claude-(opus-5-5(?!\d)|fable-|mythos-)")
_CLAUDE_WITHOUT_SAMPLING = re.compile(r"claude-(\w+-5(?!\d)|opus-4-[78]|mythos-preview)")
_GPT_WITHOUT_REASONING = re.compile(r"gpt-(5\.[1-9]|6(\.\d)?)(?!.*(pro|codex|chat|astra))")
_GPT_WITH_LITTLE_REASONING = re.compile(r"gpt-5(-mini|-nano)?(-\d{4}-\d\d-\d\d)?$")
_REASONER = re.compile(r"o\d(-mini)?(-\d{4}-\d\d-\d\d)?$")


def claude_thinking(model: str) -> dict[str, Any]:
    """The fields of a request that make this Claude answer at once, as far as it lets us."""
    if _CLAUDE_THINKS_BETWEEN_TOOLS.search(model):
        return {"thinking": {"type": "between_tools"}}
    if _CLAUDE_CAN_STOP_THINKING.search(model):
        return {"thinking": {"type": "disabled"}}
    if claude_always_thinks(model):
        return {"output_config": {"effort": "low"}}
    return {}


def claude_always_thinks(model: str) -> bool:
    """Whether this Claude thinks before every answer; its thoughts count as tokens written."""
    return _CLAUDE_ALWAYS_THINKS.search(model) is not None


def claude_takes_sampling(model: str) -> bool:
    """Whether this Claude accepts `temperature` and `top_p`."""
    return _CLAUDE_WITHOUT_SAMPLING.search(model) is None


def openai_reasoning(model: str) -> dict[str, Any]:
    """The field of a request that makes this model of OpenAI answer at once, if it has one."""
    if _GPT_WITHOUT_REASONING.match(model):
        return {"reasoning_effort": "none"}
    if _GPT_WITH_LITTLE_REASONING.match(model):
        return {"reasoning_effort": "minimal"}
    if _REASONER.match(model):
        return {"reasoning_effort": "low"}
    return {}
