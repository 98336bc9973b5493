"""OpenAI's models, and those of every server that speaks its chat completions.

Owns the choice of the way there: the official SDK for OpenAI itself, plain aiohttp for a
`base_url` (Ollama, vLLM, llama.cpp, LM Studio, LiteLLM, …), which needs no SDK and costs a
quarter of it per request. Does not own the dialect (`chat_completions`).
"""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest, versioned
from understudy.brains.chat_completions import PATH, CompletionReader, completion_payload
from understudy.brains.failures import Failures, public_url
from understudy.brains.hosted_models import OPENAI_DEFAULT, openai_reasoning
from understudy.brains.http_transport import HttpTransport
from understudy.brains.scripted import Recall
from understudy.brains.transport import Transport
from understudy.config import BrainSettings

OPENAI_URL = "https://api.openai.com/v1"
SILENCE_SECONDS = 30.0
"""Default of the longest wait for the next bytes."""

_log = logging.getLogger(__name__)
_OPENAI_HOSTS = (".api.openai.com", ".openai.azure.com")


class OpenAIBrain(Brain):
    """A model behind chat completions. Made by `official` or `compatible`."""

    def __init__(
        self, transport: Transport, failures: Failures, model: str, *, name: str, official: bool
    ) -> None:
        self.name = name
        self.model = model
        self._transport = transport
        self._failures = failures
        self._official = official
        self._model_of: Callable[[str], str] | None = None
        # None until a first request with tools was answered.
        self._takes_tools: bool | None = None

    @classmethod
    def official(
        cls,
        api_key: str,
        model: str = OPENAI_DEFAULT,
        *,
        base_url: str = OPENAI_URL,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> Self:
        """OpenAI's own models through its SDK; raises `BrainError` if it is not installed."""
        failures = Failures(
            "OpenAI", model, "brain.openai_api_key", base_url, secret=api_key, local=False
        )
        transport = _sdk_transport(api_key, base_url, failures, silence_seconds)
        return cls(transport, failures, model, name="openai", official=True)

    @classmethod
    def compatible(
        cls,
        base_url: str,
        model: str = "",
        *,
        api_key: str = "",
        name: str = "openai",
        key_setting: str = "brain.api_key",
        silence_seconds: float = SILENCE_SECONDS,
    ) -> Self:
        """The models of a server at `base_url`; raises `BrainError` for what is no URL.

        Without a `model` it is the first that the server lists. `name` and `key_setting` are for
        providers of their own: the first is the brain's name, the second is named in errors.
        """
        url = normal_url(base_url)
        title = f"the model server at {public_url(url)}"
        failures = Failures(title, model, key_setting, url, secret=api_key, local=True)
        transport = HttpTransport(
            url, PATH, failures, api_key=api_key, silence_seconds=silence_seconds
        )
        return cls(transport, failures, model, name=name, official=is_openai(url))

    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what this brain is."""
        return f"{self.model or 'The first model'} of {self._failures.title}."

    def serve_versions(self, model_of: Callable[[str], str]) -> None:
        """Have replies of trained versions from now on; `model_of` says what the server calls one.

        The empty version is the one of replies that ask for none.
        """
        self._model_of = model_of

    def answers_as(self, request: BrainRequest) -> str:
        """The model, and the trained version where the server has such."""
        return versioned(self.model, request.version) if self._model_of else self.model

    def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Yield the reply piece by piece; raises `BrainError`. Closing it stops the model."""
        if not request.tools or self._takes_tools:
            return self._complete(request)
        if self._takes_tools is False:
            return self._complete(_without_tools(request))
        return self._try_tools(request)

    async def _try_tools(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Offer tools to a model that nothing is known of; many local ones take none."""
        try:
            async with aclosing(self._complete(request)) as events:
                async for event in events:
                    self._takes_tools = True
                    yield event
        except BrainError as error:
            if self._takes_tools or "tool" not in str(error).lower():
                raise
            _log.warning("%s; it is asked without tools from now on", error)
            self._takes_tools = False
        if self._takes_tools is False:
            async with aclosing(self._complete(_without_tools(request))) as events:
                async for event in events:
                    yield event

    async def _complete(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        payload = completion_payload(
            request,
            await self._model_for(request),
            limit_field="max_completion_tokens" if self._official else "max_tokens",
            extra=openai_reasoning(self.model) if self._official else {},
        )
        reader = CompletionReader(self._failures)
        async with self._transport.send(payload) as chunks:
            async for chunk in chunks:
                for event in reader.feed(chunk):
                    yield event
                if reader.done:
                    break
            for event in reader.finish():
                yield event

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def _model_for(self, request: BrainRequest) -> str:
        model = await self._choose_model()
        return self._model_of(request.version) if self._model_of and request.version else model

    async def _choose_model(self) -> str:
        """The model; at the first request of a server without one set, the first that it lists."""
        if not self.model and isinstance(self._transport, HttpTransport):
            served = await _served_models(self._transport, self._failures)
            if not served:
                what = f"{self._failures.title} has no model loaded"
                raise BrainError(f"{what}: load one or set brain.model", kind="unknown_model")
            self.model = self._failures.model = served[0]
        return self.model


def _without_tools(request: BrainRequest) -> BrainRequest:
    return msgspec.structs.replace(request, tools=())


def make_openai(settings: BrainSettings, recall: Recall | None) -> Brain:
    """The brain of provider `openai` as the settings want it; raises `BrainError`.

    `brain.model` and `brain.api_key` belong to the chosen provider: they count when that is this
    one, or when it is left open.
    """
    del recall
    chosen = settings.provider in ("openai", "auto")
    model = settings.model if chosen else ""
    own_key = settings.api_key.get_secret_value() if settings.provider == "openai" else ""
    api_key = own_key or settings.openai_api_key.get_secret_value()
    if settings.base_url:
        key = api_key or (settings.api_key.get_secret_value() if chosen else "")
        return OpenAIBrain.compatible(
            settings.base_url, model, api_key=key, silence_seconds=settings.first_token_seconds
        )
    if not api_key:
        raise BrainError(
            "the openai brain needs a key: set OPENAI_API_KEY, or brain.base_url for a server "
            "without one",
            kind="unauthorized",
        )
    return OpenAIBrain.official(
        api_key, model or OPENAI_DEFAULT, silence_seconds=settings.first_token_seconds
    )


async def list_models(
    base_url: str, *, api_key: str = "", seconds: float = SILENCE_SECONDS
) -> list[str]:
    """The models that the server at `base_url` serves; raises `BrainError`.

    `seconds` is the longest wait for an answer, for those who look whether a server is there.
    """
    url = normal_url(base_url)
    title = f"the model server at {public_url(url)}"
    failures = Failures(title, "", "brain.api_key", url, secret=api_key, local=True)
    transport = HttpTransport(url, PATH, failures, api_key=api_key, silence_seconds=seconds)
    try:
        return await _served_models(transport, failures)
    finally:
        await transport.aclose()


def normal_url(base_url: str) -> str:
    """`base_url` without a slash at its end and with `/v1` where it has no path.

    Raises `BrainError` for what is no URL.
    """
    url = base_url.strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BrainError(
            "brain.base_url is no URL: write it like http://127.0.0.1:11434/v1", kind="refused"
        )
    return url if parts.path else f"{url}/v1"


def is_openai(url: str) -> bool:
    """Whether OpenAI itself answers at `url`, perhaps at Azure or in a region."""
    return f".{urlsplit(url).hostname}".endswith(_OPENAI_HOSTS)


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] | None = None


async def _served_models(transport: HttpTransport, failures: Failures) -> list[str]:
    body = await transport.get("/models")
    try:
        served = msgspec.json.decode(body, type=_Models)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise failures.unreadable() from None
    return [model.id for model in served.data or ()]


def _sdk_transport(
    api_key: str, base_url: str, failures: Failures, silence_seconds: float
) -> Transport:
    try:
        import openai
    except ImportError:
        raise BrainError(
            "the openai brain needs OpenAI's package: pip install 'understudy[openai]'"
        ) from None
    from understudy.brains.sdk_transport import SdkErrors, SdkTransport, client_options

    options: dict[str, Any] = client_options(silence_seconds)
    client = openai.AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        timeout=options["timeout"],
        http_client=openai.DefaultAioHttpClient(**options),
    )
    return SdkTransport(
        client.chat.completions.with_streaming_response.create,
        client.close,
        SdkErrors(openai.APIStatusError, openai.APIConnectionError),
        failures,
        silence_seconds=silence_seconds,
    )
