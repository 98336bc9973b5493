"""`/v1/…`: the co-host for tools made for OpenAI. Stateless: the client keeps the conversation."""

import time

from fastapi import APIRouter, Response

from understudy.brains.base import BrainError
from understudy.engine.oneoff import OneOff, OneOffRequest
from understudy.engine.personas import Persona, PersonaNotFound
from understudy.server.access import ServicesDep, Viewer
from understudy.server.conversation import check_session_limit
from understudy.server.openai.errors import ERROR_RESPONSES, code_of, status_of
from understudy.server.openai.requests import CompletionBody, read_request
from understudy.server.openai.responses import StreamedAnswer, WholeAnswer
from understudy.server.openai.wire import Model, Writer, model_body, models_body
from understudy.server.problems import Problem
from understudy.server.services import Services

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], responses=ERROR_RESPONSES)

DEFAULT_MODEL = "understudy"
"""The model that is whichever persona the settings name."""
_JSON: dict[int | str, dict[str, object]] = {
    200: {"description": "As OpenAI answers.", "content": {"application/json": {}}}
}
_COMPLETION: dict[int | str, dict[str, object]] = {
    200: {
        "description": "The answer in one piece, or as chunks when `stream` is true.",
        "content": {"application/json": {}, "text/event-stream": {}},
    }
}


@router.post("/chat/completions", response_class=Response, responses=_COMPLETION)
async def complete(body: CompletionBody, services: ServicesDep, caller: Viewer) -> Response:
    """Answer the last message of a conversation that the client keeps.

    `model` is a persona's name or `understudy`. System messages join the persona's prompt when
    the token is the owner's; those of others are given to the model as quoted context.
    """
    request = read_request(services, caller, _persona(services, body.model), body)
    check_session_limit(services, f"openai {request.user}")
    answer = _start(services, request)
    writer = Writer(answer.id, int(time.time()), body.model, include_usage=body.include_usage)
    if body.stream:
        return StreamedAnswer(answer, writer, services.settings.server.ping_interval)
    return WholeAnswer(answer, writer)


@router.get("/models", response_class=Response, responses=_JSON)
async def models(services: ServicesDep, _: Viewer) -> Response:
    """The personas as models, `understudy` first."""
    names = [name for name in services.personas.names() if name != DEFAULT_MODEL]
    body = models_body([Model(name) for name in (DEFAULT_MODEL, *names)])
    return Response(body, media_type="application/json")


@router.get("/models/{model}", response_class=Response, responses=_JSON)
async def model(model: str, services: ServicesDep, _: Viewer) -> Response:
    """One persona as a model."""
    _persona(services, model)
    return Response(model_body(Model(model)), media_type="application/json")


def _persona(services: Services, model: str) -> Persona:
    """The persona of a model name, which may be `understudy`; raises `Problem` 404."""
    known = services.personas.names()
    name = model
    if model == DEFAULT_MODEL and model not in known:
        name = services.settings.persona.default
    try:
        return services.personas.get(name)
    except PersonaNotFound:
        choices = ", ".join([DEFAULT_MODEL, *(n for n in known if n != DEFAULT_MODEL)])
        detail = f"there is no model {model[:64]!r}: use one of {choices}"
        raise Problem(404, detail, code="model_not_found", param="model") from None


def _start(services: Services, request: OneOffRequest) -> OneOff:
    try:
        return services.oneoffs.start(request)
    except BrainError as error:
        raise Problem(status_of(error), str(error), code=code_of(error), param="messages") from None
