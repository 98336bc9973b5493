"""Anthropic's Claude through the official SDK.

Owns the client and the choice of what of a prompt is worth caching. Does not own the shape of
requests and events (`anthropic_messages`).
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator
from typing import Any

from understudy.brains.anthropic_messages import MessageReader, message_payload
from understudy.brains.base import Brain, BrainError, BrainEvent, BrainRequest
from understudy.brains.failures import Failures
from understudy.brains.hosted_models import CLAUDE_DEFAULT
from understudy.brains.scripted import Recall
from understudy.brains.transport import Transport
from understudy.config import BrainSettings

SILENCE_SECONDS = 30.0
"""Default of the longest wait for the next bytes."""

_PARAGRAPH = "\n\n"
_REMEMBERED_PROMPTS = 1_024


class ClaudeBrain(Brain):
    """A Claude model; raises `BrainError` if its SDK is not installed.

    `base_url` is Anthropic's own unless it is given here or in `ANTHROPIC_BASE_URL`, which the
    SDK reads.
    """

    name = "claude"

    def __init__(
        self,
        api_key: str,
        model: str = CLAUDE_DEFAULT,
        *,
        base_url: str | None = None,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.model = model
        self._failures, self._transport = _connect(api_key, model, base_url, silence_seconds)
        self._prompts = StablePrompts()

    def describe(self) -> str:
        """One sentence for the UI and `doctor`: what this brain is."""
        return f"{self.model} of Anthropic."

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        """Yield the reply piece by piece; raises `BrainError`. Closing it stops the model."""
        conversation = f"{request.channel}\n{request.persona}\n{request.task}"
        stable, rest = self._prompts.split(conversation, request.system_prompt)
        payload = message_payload(request, self.model, stable, rest)
        reader = MessageReader(self._failures)
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


class StablePrompts:
    """Learns which paragraphs at the start of system prompts stay from turn to turn.

    A persona stays while facts and notes behind it change. The provider caches a marked prefix,
    so the mark must stand before the first change.
    """

    def __init__(self) -> None:
        self._stable: OrderedDict[str, list[str]] = OrderedDict()

    def split(self, key: str, prompt: str) -> tuple[str, str]:
        """`prompt` as what stayed so far in the prompts of `key`, and the rest.

        The first prompt is taken to stay as a whole, and so is one that begins differently.
        """
        paragraphs = prompt.split(_PARAGRAPH)
        known = self._stable.pop(key, paragraphs)
        count = 0
        while count < min(len(known), len(paragraphs)) and known[count] == paragraphs[count]:
            count += 1
        count = count or len(paragraphs)
        self._stable[key] = paragraphs[:count]
        if len(self._stable) > _REMEMBERED_PROMPTS:
            self._stable.popitem(last=False)
        return _PARAGRAPH.join(paragraphs[:count]), _PARAGRAPH.join(paragraphs[count:])


def make_claude(settings: BrainSettings, recall: Recall | None) -> Brain:
    """The brain of provider `claude` as the settings want it; raises `BrainError`.

    `brain.model` and `brain.api_key` belong to the chosen provider: they count when that is this
    one, the model also when it is left open.
    """
    del recall
    model = settings.model if settings.provider in ("claude", "auto") else ""
    own_key = settings.api_key.get_secret_value() if settings.provider == "claude" else ""
    api_key = own_key or settings.anthropic_api_key.get_secret_value()
    if not api_key:
        raise BrainError("the claude brain needs a key: set ANTHROPIC_API_KEY", kind="unauthorized")
    return ClaudeBrain(
        api_key, model or CLAUDE_DEFAULT, silence_seconds=settings.first_token_seconds
    )


def _connect(
    api_key: str, model: str, base_url: str | None, silence_seconds: float
) -> tuple[Failures, Transport]:
    try:
        import anthropic
    except ImportError:
        raise BrainError(
            "the claude brain needs Anthropic's package: pip install 'understudy[claude]'"
        ) from None
    from understudy.brains.sdk_transport import SdkErrors, SdkTransport, client_options

    options: dict[str, Any] = client_options(silence_seconds)
    client = anthropic.AsyncAnthropic(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        timeout=options["timeout"],
        http_client=anthropic.DefaultAioHttpClient(**options),
    )
    failures = Failures(
        "Claude",
        model,
        "brain.anthropic_api_key",
        str(client.base_url),
        secret=api_key,
        local=False,
    )
    transport = SdkTransport(
        client.messages.with_streaming_response.create,
        client.close,
        SdkErrors(anthropic.APIStatusError, anthropic.APIConnectionError),
        failures,
        silence_seconds=silence_seconds,
    )
    return failures, transport
