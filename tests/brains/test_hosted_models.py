from typing import Any

import pytest

from understudy.brains.hosted_models import (
    CLAUDE_DEFAULT,
    OPENAI_DEFAULT,
    claude_always_thinks,
    claude_takes_sampling,
    claude_thinking,
    openai_reasoning,
)

OFF = {"thinking": {"type": "disabled"}}
LOW = {"output_config": {"effort": "low"}}


@pytest.mark.parametrize(
    ("model", "fields", "sampling"),
    [
        ("claude-haiku-4-5", {}, True),
        ("claude-haiku-4-5-20251001", {}, True),
        ("claude-sonnet-4-5", {}, True),
        ("claude-sonnet-4-6", {}, True),
        ("claude-opus-4-5", {}, True),
        ("claude-opus-4-6", {}, True),
        ("claude-opus-4-7", {}, False),
        ("claude-opus-4-8", {}, False),
        ("claude-sonnet-5", OFF, False),
        ("claude-opus-5", OFF, False),
        ("claude-haiku-5-5", OFF, False),
        ("claude-sonnet-5-5", {"thinking": {"type": "between_tools"}}, False),
        ("claude-opus-5-5", LOW, False),
        ("claude-fable-5", LOW, False),
        ("claude-fable-5-2", LOW, False),
        ("claude-mythos-5-1", LOW, False),
        ("claude-mythos-preview", LOW, False),
        ("anthropic/claude-haiku-5-5", OFF, False),
        ("something-else", {}, True),
    ],
)
def test_claude_is_asked_as_each_model_allows(
    model: str, fields: dict[str, Any], sampling: bool
) -> None:
    assert claude_thinking(model) == fields
    assert claude_takes_sampling(model) == sampling
    assert claude_always_thinks(model) == (fields == LOW)


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-4o", None),
        ("gpt-4.1-mini", None),
        ("gpt-5-chat-latest", None),
        ("gpt-5", "minimal"),
        ("gpt-5-mini", "minimal"),
        ("gpt-5-nano-2025-08-07", "minimal"),
        ("gpt-5.1", "none"),
        ("gpt-5.1-codex", None),
        ("gpt-5.2-pro", None),
        ("gpt-5.3-chat-latest", None),
        ("gpt-5.4-mini-2026-03-17", "none"),
        ("gpt-5.6-luna", "none"),
        ("gpt-6-luna", "none"),
        ("gpt-6.1-sol", "none"),
        ("gpt-6-astra", None),
        ("o3", "low"),
        ("o4-mini-2025-04-16", "low"),
        ("o1-preview", None),
        ("my-fine-tune", None),
    ],
)
def test_openai_is_asked_as_each_model_allows(model: str, effort: str | None) -> None:
    assert openai_reasoning(model).get("reasoning_effort") == effort


def test_the_defaults_answer_at_once() -> None:
    assert claude_thinking(CLAUDE_DEFAULT) == OFF
    assert openai_reasoning(OPENAI_DEFAULT) == {"reasoning_effort": "none"}
