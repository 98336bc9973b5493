"""`/personas…` and `/coach`: who answers, and the one-shot coaching mode."""

from fastapi import APIRouter

from understudy.brains.base import BrainMessage, BrainRequest
from understudy.engine.personas import Persona
from understudy.server.access import Owner, ServicesDep, Viewer
from understudy.server.bodies import CoachBody, PersonaBody
from understudy.server.conversation import check_message, check_session_limit

router = APIRouter(tags=["personas"])


@router.get("/personas")
async def personas(services: ServicesDep, _: Viewer) -> dict[str, object]:
    """All personas by name, and what is wrong with files that were ignored."""
    return {
        "personas": [_describe(persona) for persona in services.personas.all()],
        "default": services.settings.persona.default,
        "problems": services.personas.problems,
    }


@router.get("/personas/{name}")
async def persona(name: str, services: ServicesDep, _: Viewer) -> dict[str, object]:
    """One persona with its system prompt."""
    return _with_prompt(services.personas.get(name))


@router.put("/personas/{name}")
async def save_persona(
    name: str, body: PersonaBody, services: ServicesDep, _: Owner
) -> dict[str, object]:
    """Create or change a persona; it is kept as a YAML file in the data directory."""
    saved = services.personas.save(
        Persona(
            name=name,
            system_prompt=body.system_prompt,
            title=body.title,
            description=body.description,
            emotions=body.emotions,
        )
    )
    return _with_prompt(saved)


@router.post("/coach")
async def coach(body: CoachBody, services: ServicesDep, caller: Viewer) -> dict[str, str]:
    """One line of coaching for a breathing pattern; stateless."""
    check_session_limit(services, f"coach {caller.user}")
    found = services.personas.get(body.persona or "fitness_coach")
    breath = body.breath.model_dump(exclude_none=True)
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in breath.items())
    text = f"My breath: {facts}."
    if body.message:
        check_message(services, body.message)
        text = f"{text} {body.message}"
    request = BrainRequest(
        messages=[BrainMessage("user", text)],
        system_prompt=found.prompt,
        task="coach",
        text=body.message or "",
        persona=found.name,
        arguments={key: str(value) for key, value in breath.items()},
        max_tokens=100,
    )
    return {"message": await services.turns.say(request)}


def _with_prompt(persona: Persona) -> dict[str, object]:
    return {
        **_describe(persona),
        "system_prompt": persona.system_prompt,
        "emotions": persona.emotions,
    }


def _describe(persona: Persona) -> dict[str, object]:
    return {
        "name": persona.name,
        "title": persona.title,
        "description": persona.description,
        "source": "built-in" if persona.source == "built-in" else "file",
    }
