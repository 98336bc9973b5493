from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_server import OpenAIServer
from understudy.brains import choice
from understudy.cli.doctor import examine
from understudy.config import load_settings


async def examined(folder: Path, **brain: Any) -> tuple[str, str]:
    """State and detail of what the doctor says of the brain."""
    flags = {"local_urls": [], **brain}
    settings = load_settings(
        env={},
        env_file=None,
        flags={"server.data_dir": folder, **{f"brain.{k}": v for k, v in flags.items()}},
    )
    (finding,) = [f for f in await examine(settings) if f.part == "brain"]
    return finding.state, finding.detail


async def test_without_a_model_it_says_what_was_looked_for(tmp_path):
    state, detail = await examined(tmp_path, local_urls=["http://127.0.0.1:9/v1"])
    assert state == "ok"
    assert detail.startswith("The scripted brain answers: brain.provider is auto and no model")
    assert detail.endswith(
        "not found: a key for Claude, a key for OpenAI, a model server at "
        "http://127.0.0.1:9/v1, a local model"
    )


async def test_a_local_server_is_named_with_what_answers_after_it(tmp_path):
    async with OpenAIServer(models=["llama3.2"]) as server:
        state, detail = await examined(tmp_path, local_urls=[server.url])
    assert state == "ok"
    assert f"the model server at {server.url} has llama3.2" in detail
    assert detail.endswith("then: scripted")


async def test_a_key_without_its_package_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    state, detail = await examined(tmp_path, anthropic_api_key="a")
    assert state == "warning"
    assert detail.startswith("brain.anthropic_api_key is set, but needs: pip install")


async def test_a_budget_without_a_price_is_a_warning(tmp_path):
    brain = {"provider": "openai", "base_url": "https://8.8.8.8/v1", "model": "llama"}
    assert (await examined(tmp_path, **brain))[0] == "ok"
    state, detail = await examined(tmp_path, **brain, daily_budget=1.0)
    assert state == "warning"
    assert detail.startswith("the price of llama (openai) is not known, so no budget limits it")
    (tmp_path / "prices.yaml").write_text(
        "date: 2026-11-21\nprices: [{provider: openai, model: llama, input: 1, output: 1}]\n"
    )
    assert (await examined(tmp_path, **brain, daily_budget=1.0))[0] == "ok"


@pytest.mark.parametrize(
    ("brain", "problem"),
    [
        ({"provider": "oracle"}, "brain.provider 'oracle' is not known"),
        ({"provider": "openai"}, "the openai brain needs a key: set OPENAI_API_KEY"),
        ({"fallback": ["oracle"]}, "brain.fallback 'oracle' is not known"),
    ],
)
async def test_what_is_broken_is_told_with_its_fix(tmp_path, brain, problem):
    state, detail = await examined(tmp_path, **brain)
    assert state == "broken"
    assert detail.startswith(problem)


async def test_a_fallback_that_cannot_be_made_is_a_warning(tmp_path):
    state, detail = await examined(tmp_path, fallback=["claude"])
    assert state == "warning"
    assert detail.startswith("brain.fallback claude cannot be used: the claude brain needs a key")


async def test_a_price_table_that_is_none_is_broken(tmp_path):
    (tmp_path / "prices.yaml").write_text("prices: 3")
    state, detail = await examined(tmp_path)
    assert state == "broken"
    assert "is not a price table" in detail
