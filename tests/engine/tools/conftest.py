"""Tools that do as a test says, a toolbox for them, and a router for a recorded brain."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from tests.recorded_brain import RecordedBrain, Tape
from understudy.brains.base import (
    BrainEvent,
    BrainMessage,
    BrainRequest,
    Finish,
    Text,
    ToolCall,
    ToolSpec,
)
from understudy.brains.router import Answer, Router
from understudy.config import ToolSettings
from understudy.engine.tools.approvals import Approvals
from understudy.engine.tools.base import Caller, Tool, ToolRecord
from understudy.engine.tools.toolbox import Toolbox
from understudy.events import Role

STREAMER = Caller("pixelharbor", "streamer", "pixelharbor", "s1")
MODERATOR = Caller("mo", "moderator", "pixelharbor", "s1")
VIEWER = Caller("ana", "viewer", "pixelharbor", "s1")

Act = Callable[[dict[str, Any]], Any]


class Deed(Tool):
    """A tool that notes its calls and does what `act` does."""

    def __init__(self, name: str, act: Act | None = None, **fields: Any) -> None:
        self.spec = ToolSpec(name, f"Does {name}.", {"type": "object", "properties": {}})
        for field, value in fields.items():
            setattr(self, field, value)
        self.act = act or (lambda _: f"{name} is done")
        self.calls: list[tuple[dict[str, Any], Caller]] = []

    async def call(self, arguments: dict[str, Any], caller: Caller) -> str:
        self.calls.append((arguments, caller))
        result = self.act(arguments)
        return await result if asyncio.iscoroutine(result) else result


class Bench:
    """A toolbox of `tools`, what it recorded, and the brain that is asked."""

    def __init__(self, *tools: Tool, tapes: tuple[Tape, ...] = (), **settings: Any) -> None:
        self.settings = ToolSettings(**settings)
        self.approvals = Approvals(self.settings.approval_seconds)
        self.records: list[ToolRecord] = []
        self.brain = RecordedBrain(*tapes)
        self.router = Router(self.brain, why="a test chose it")
        self.toolbox = Toolbox(
            lambda: tools, self.settings, self.approvals, on_call=self.records.append
        )

    def answer(
        self, caller: Caller = VIEWER, request: BrainRequest | None = None, **how: Any
    ) -> Answer:
        return self.toolbox.stream(self.router, request or asked("hello"), caller, **how)

    async def events(self, *of: Any, **how: Any) -> list[BrainEvent]:
        answer = self.answer(*of, **how)
        async with aclosing(answer):
            return [event async for event in answer]

    async def text(self, *of: Any, **how: Any) -> str:
        return text_of(await self.events(*of, **how))

    @property
    def outcomes(self) -> list[str]:
        return [record.outcome for record in self.records]

    def results(self, number: int = -1) -> list[BrainMessage]:
        """What the model was told of its calls with its last request, or an earlier one."""
        return [m for m in self.brain.requests[number].messages if m.role == "tool"]

    def result(self) -> str:
        """What the model was told of its last call."""
        return self.results()[-1].content


def asked(text: str, *before: BrainMessage, **fields: Any) -> BrainRequest:
    messages = [*before, BrainMessage("user", text)]
    return BrainRequest(messages=messages, text=text, system_prompt="You are kind.", **fields)


def call(name: str, arguments: str = "{}", id: str = "c1") -> ToolCall:
    return ToolCall(id, name, arguments)


def tape(*events: Any) -> Tape:
    """A round that ends by asking for tools, if it asks for any."""
    wants = any(isinstance(event, ToolCall) for event in events)
    return [*events, Finish("tool_calls" if wants else "stop")]


def text_of(events: list[BrainEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def of_role(role: Role) -> Caller:
    return Caller("someone", role, "pixelharbor", "s1")
