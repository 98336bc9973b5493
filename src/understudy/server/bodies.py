"""Request bodies of the HTTP API, validated by pydantic.

Text is cleaned on the way in (no NUL, no lone surrogates), so nothing behind it has to.
"""

from typing import Annotated, Literal, TypeGuard

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from understudy.safety.text import clean

SESSION_CHARS = 200
NAME_CHARS = 200
TEXT_CHARS = 1_000_000  # the real limit is `limits.message_chars`, answered with its own words
REPLY_CHARS = 4_000
MAX_SPEED = 1_000
MAX_MEASURE = 1_000_000


def _cleaned(value: object) -> object:
    # What is no text is refused by the type that follows.
    return clean(value) if isinstance(value, str) else value


def _some_text(value: object) -> object:
    """The cleaned text; there must be something to see in it."""
    cleaned = _cleaned(value)
    if isinstance(cleaned, str) and not cleaned.strip():
        raise PydanticCustomError("blank", "it is blank, send some text")
    return cleaned


def _one_word(value: object) -> object:
    cleaned = _some_text(value)
    if isinstance(cleaned, str) and any(character.isspace() for character in cleaned):
        raise PydanticCustomError("blanks", "it has blanks in it, leave them out")
    return cleaned


def _measure(value: object) -> object:
    if isinstance(value, str) and len(value) <= NAME_CHARS:
        return _some_text(value)
    if _is_number(value) and -MAX_MEASURE <= value <= MAX_MEASURE:
        return value
    raise PydanticCustomError("measure", "use a word or a number")


def _speed(value: object) -> object:
    if value == "max" or (_is_number(value) and 0 < value <= MAX_SPEED):
        return value
    raise PydanticCustomError("speed", "use a number above 0 up to 1000, or max")


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


Cleaned = Annotated[str, BeforeValidator(_cleaned)]
Name = Annotated[str, Field(max_length=NAME_CHARS), BeforeValidator(_some_text)]
SessionId = Annotated[str, Field(max_length=SESSION_CHARS), BeforeValidator(_one_word)]
Message = Annotated[str, Field(max_length=TEXT_CHARS), BeforeValidator(_some_text)]
PersonaName = Annotated[Cleaned, Field(max_length=64)]
Measure = Annotated[str | float, BeforeValidator(_measure)]
JudgementKind = Literal["thumb", "thumbs", "edit", "rank", "note", "safety"]
"""How a reply may be judged; `thumbs` is the older name of `thumb`."""
Speed = Annotated[float | Literal["max"], BeforeValidator(_speed)]


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
    persona: PersonaName | None = None


class SessionMessageBody(Body):
    """`POST /chat/stream` and `POST /chat/message`."""

    session_id: SessionId
    message: Message


class BreathBody(Body):
    """How the trained person breathes: breaths per minute, and how hard it is."""

    rate_bpm: Annotated[float, Field(gt=0, le=200, allow_inf_nan=False)]
    intensity: Measure
    effort: Measure | None = None


class CoachBody(Body):
    """`POST /coach`."""

    breath: BreathBody
    persona: PersonaName | None = None
    message: Message | None = None


class PersonaBody(Body):
    """`PUT /personas/{name}`."""

    system_prompt: Annotated[str, Field(max_length=20_000), BeforeValidator(_some_text)]
    title: Annotated[Cleaned, Field(max_length=200)] = ""
    description: Annotated[Cleaned, Field(max_length=2_000)] = ""
    emotions: Annotated[list[Cleaned], Field(max_length=50)] = []


class RehearsalBody(Body):
    """`POST /api/v1/rehearsals`: the bundled sample, or a recording that is uploaded next."""

    sample: bool = False
    speed: Speed = 1.0
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    channel: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]*$")] = ""


class FeedbackBody(Body):
    """`POST /api/v1/feedback`: what you make of a reply, named by its message or its experience.

    `value` is that of a thumb; `text` the better reply of an edit; `replies` those of a ranking,
    best first.
    """

    experience: Annotated[
        Name | None, Field(validation_alias=AliasChoices("experience", "turn"))
    ] = None
    message_id: Name | None = None
    kind: JudgementKind = "thumb"
    value: Literal[1, -1] | None = None
    text: Annotated[Cleaned, Field(max_length=REPLY_CHARS)] = ""
    replies: Annotated[
        list[Annotated[Cleaned, Field(max_length=REPLY_CHARS)]], Field(max_length=20)
    ] = []
    note: Annotated[Cleaned, Field(max_length=2_000)] = ""


class OverlayKeyBody(Body):
    """`POST /api/v1/overlay-keys`."""

    overlay: Literal["chat", "mood"] = "chat"
    label: Annotated[Cleaned, Field(max_length=100)] = ""
