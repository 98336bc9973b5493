"""Which brain answers when the settings leave it open (`brain.provider = "auto"`).

Owns the order of the choice and the search for local model servers:

1. Claude, when `brain.anthropic_api_key` is set (or `brain.api_key` with a key of Anthropic's)
2. OpenAI, when `brain.openai_api_key` or `brain.api_key` is set; `brain.base_url` alone will do
3. the first of `brain.local_urls` that answers and has a model
4. a local model, when `brain.model` or `brain.hf_model` names a folder
5. the scripted brain, which needs nothing

Does not own how a brain is made (`providers`). Nothing listens where nothing runs, so without keys
and servers the choice costs a few refused connections on loopback.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from understudy.brains.base import BrainError
from understudy.brains.providers import AUTO, SCRIPTED
from understudy.config import BrainSettings

CONNECT_SECONDS = 0.15
"""Longest wait for a local server to accept a connection; all are tried at the same time."""
ANSWER_SECONDS = 0.25
"""Longest wait for its list of models."""

_ANTHROPIC_PREFIX = "sk-ant-"
_NO_KEY = SecretStr("")
_EMBEDDER = "embed"
_OURSELVES = "understudy"


class Looked(msgspec.Struct, frozen=True):
    """One place that was looked at, and what was there.

    `blocked` says that it is set up but cannot be used; `detail` then says what to do.
    """

    place: str
    found: bool
    detail: str
    blocked: bool = False


class Choice(msgspec.Struct, frozen=True):
    """The settings with a provider, why it is this one, and all that was looked at for it."""

    settings: BrainSettings
    why: str
    looked: tuple[Looked, ...] = ()

    @property
    def provider(self) -> str:
        """The provider that was chosen."""
        return self.settings.provider


class _Find(msgspec.Struct):
    """What was looked at, and the settings and reason when that settles it."""

    looked: list[Looked]
    settings: BrainSettings | None = None
    reason: str = ""


async def choose(settings: BrainSettings) -> Choice:
    """The brain to use; settled at once when the settings name it. Takes 0.5 s at most."""
    if settings.provider != AUTO:
        why = f"The {settings.provider} brain answers: brain.provider asks for it."
        return Choice(settings, why)
    looks: list[Callable[[BrainSettings], Awaitable[_Find]]] = [
        _claude,
        _openai,
        _local_server,
        _local_model,
    ]
    looked: list[Looked] = []
    for look in looks:
        find = await look(settings)
        looked += find.looked
        if find.settings is not None:
            why = f"The {find.settings.provider} brain answers: brain.provider is auto and "
            return Choice(find.settings, f"{why}{find.reason}.", tuple(looked))
    scripted = settings.model_copy(update={"provider": SCRIPTED})
    why = "The scripted brain answers: brain.provider is auto and no model is set up."
    return Choice(scripted, why, tuple(looked))


async def _claude(settings: BrainSettings) -> _Find:
    place = "a key for Claude"
    if settings.anthropic_api_key.get_secret_value():
        return _with_package(settings, "claude", "anthropic", place, "brain.anthropic_api_key")
    if settings.api_key.get_secret_value().startswith(_ANTHROPIC_PREFIX):
        return _with_package(settings, "claude", "anthropic", place, "brain.api_key")
    return _Find([Looked(place, False, "brain.anthropic_api_key is not set")])


async def _openai(settings: BrainSettings) -> _Find:
    if settings.base_url:
        reason = "brain.base_url is set"
        looked = Looked("an OpenAI-compatible server", True, reason)
        return _Find([looked], _as(settings, "openai"), reason)
    place = "a key for OpenAI"
    if settings.openai_api_key.get_secret_value():
        return _with_package(settings, "openai", "openai", place, "brain.openai_api_key")
    key = settings.api_key.get_secret_value()
    if key and not key.startswith(_ANTHROPIC_PREFIX):
        return _with_package(settings, "openai", "openai", place, "brain.api_key")
    return _Find([Looked(place, False, "brain.openai_api_key is not set")])


def _with_package(
    settings: BrainSettings, provider: str, package: str, place: str, key: str
) -> _Find:
    """The choice of a provider whose key is set, if its package is installed."""
    if find_spec(package) is None:
        detail = f"{key} is set, but needs: pip install 'understudy[{provider}]'"
        return _Find([Looked(place, False, detail, blocked=True)])
    return _Find([Looked(place, True, f"{key} is set")], _as(settings, provider), f"{key} is set")


async def _local_server(settings: BrainSettings) -> _Find:
    """The first server in the order of the settings, not the quickest: a choice must repeat."""
    # A folder is asked of no server.
    wanted = "" if _is_folder(settings.model) else settings.model
    results = await asyncio.gather(*(_probe(url, wanted) for url in settings.local_urls))
    find = _Find([looked for looked, _ in results])
    for url, (_, model) in zip(settings.local_urls, results, strict=True):
        if model:
            find.settings = _as(
                settings,
                "openai",
                base_url=url,
                model=model,
                # A key for somebody else is not for whoever listens there.
                api_key=_NO_KEY,
                openai_api_key=_NO_KEY,
            )
            find.reason = f"the model server at {url} has {model}"
            break
    return find


async def _probe(url: str, wanted: str) -> tuple[Looked, str]:
    """What there is at `url`, and the model to use there, empty when there is none."""
    place = f"a model server at {url}"
    if not await _listens(url):
        return Looked(place, False, "nothing answers there"), ""
    # Only now, as most have no use for an HTTP client at start, and before the clock runs.
    import_module("aiohttp")
    from understudy.brains.openai import list_models

    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            served = await list_models(url, seconds=ANSWER_SECONDS)
    except (BrainError, TimeoutError):
        return Looked(place, False, "what listens there does not list models"), ""
    model, detail = _pick(served, wanted)
    return Looked(place, bool(model), detail), model


def _pick(served: list[str], wanted: str) -> tuple[str, str]:
    """The model to use of those that a server has, empty when none is, and why."""
    if _OURSELVES in served:
        return "", "this is an Understudy"
    if wanted:
        # Ollama lists llama3.2:latest, and takes llama3.2 for it.
        if any(name == wanted or name.startswith(f"{wanted}:") for name in served):
            return wanted, f"it has {wanted}"
        return "", f"it answers, but does not have {wanted}"
    model = next((name for name in served if _EMBEDDER not in name.lower()), "")
    return model, f"it has {model}" if model else "it answers, but has no model for chat"


async def _listens(url: str) -> bool:
    """Whether a connection to the server of `url` is accepted."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname or "", port)
    except (OSError, ValueError):
        return False
    writer.close()
    return True


async def _local_model(settings: BrainSettings) -> _Find:
    for key, model in {"brain.model": settings.model, "brain.hf_model": settings.hf_model}.items():
        if _is_folder(model):
            place = f"a local model in {model}"
            if find_spec("transformers") is None or find_spec("torch") is None:
                detail = "it is there, but needs: pip install 'understudy[huggingface]'"
                return _Find([Looked(place, False, detail, blocked=True)])
            found = Looked(place, True, f"{key} names it")
            chosen = _as(settings, "huggingface", model=model)
            return _Find([found], chosen, f"{key} names a local model")
    return _Find([Looked("a local model", False, "brain.model names no folder")])


def _is_folder(name: str) -> bool:
    return bool(name) and Path(name).is_dir()


def _as(settings: BrainSettings, provider: str, **changes: object) -> BrainSettings:
    return settings.model_copy(update={"provider": provider, **changes})
