"""Request bodies of the HTTP API, validated by pydantic.

Text is cleaned on the way in (no NUL, no lone surrogates), so nothing behind it has to.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from understudy.safety.text import clean

SESSION_CHARS = 200
NAME_CHARS = 200
TEXT_CHARS = 1_000_000  # the real limit is `limits.message_chars`, answered with its own words

Name = Annotated[str, AfterValidator(clean), Field(min_length=1, max_length=NAME_CHARS)]
SessionId = Annotated[
    str, AfterValidator(clean), Field(min_length=1, max_length=SESSION_CHARS, pattern=r"^\S+$")
]
Message = Annotated[str, AfterValidator(clean), Field(min_length=1, max_length=TEXT_CHARS)]


class Body(BaseModel):
    """A JSON object; unknown keys are ignored, as clients of the source documents expect."""

    model_config = ConfigDict(strict=True)


class ChatBody(Body):
    """`POST /chat`."""

    session_id: SessionId
    user: Name
    message: Message


class StartBody(Body):
    """`POST /chat/start`."""

    user_id: Name
    persona: Annotated[str, Field(max_length=64)] | None = None


class SessionMessageBody(Body):
    """`POST /chat/stream` and `POST /chat/message`."""

    session_id: SessionId
    message: Message


class BreathBody(Body):
    """How the trained person breathes: breaths per minute, and how hard it is."""

    rate_bpm: Annotated[float, Field(gt=0, le=200)]
    intensity: Annotated[str | float, Field()]
    effort: str | float | None = None


class CoachBody(Body):
    """`POST /coach`."""

    breath: BreathBody
    persona: Annotated[str, Field(max_length=64)] | None = None
    message: Message | None = None


class PersonaBody(Body):
    """`PUT /personas/{name}`."""

    system_prompt: Annotated[str, AfterValidator(clean), Field(min_length=1, max_length=20_000)]
    title: Annotated[str, AfterValidator(clean), Field(max_length=200)] = ""
    description: Annotated[str, AfterValidator(clean), Field(max_length=2_000)] = ""
    emotions: list[str] = []


class RehearsalBody(Body):
    """`POST /api/v1/rehearsals`: the bundled sample, or a recording that is uploaded next."""

    sample: bool = False
    speed: Annotated[float, Field(gt=0, le=1000)] | Literal["max"] = 1.0
    seed: Annotated[int, Field(ge=0)] = 0
    channel: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = ""


class FeedbackBody(Body):
    """`POST /api/v1/feedback`: a thumb for the reply of a turn."""

    turn: Annotated[str, Field(min_length=1, max_length=SESSION_CHARS)]
    kind: Literal["thumbs"] = "thumbs"
    value: Literal[1, -1]
    note: Annotated[str, AfterValidator(clean), Field(max_length=2_000)] = ""


class OverlayKeyBody(Body):
    """`POST /api/v1/overlay-keys`."""

    overlay: Literal["chat"] = "chat"
    label: Annotated[str, AfterValidator(clean), Field(max_length=100)] = ""
