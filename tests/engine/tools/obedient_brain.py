"""A brain that does whatever it reads, whoever wrote it: the worst a model can be talked into."""

import re
from collections.abc import AsyncGenerator

from understudy.brains.base import Brain, BrainEvent, BrainRequest, Finish, Text, ToolCall, Usage

ORDER = re.compile(r"call (clock|\w+_\w+)(?: with (\{[^}]*\}))?")


class ObedientBrain(Brain):
    """Calls every tool that any message tells it to call, once, then says what came of it."""

    name = "obedient"
    model = "obedient-1"

    def __init__(self) -> None:
        self.requests: list[BrainRequest] = []

    def describe(self) -> str:
        return "does as it is told"

    async def stream(self, request: BrainRequest) -> AsyncGenerator[BrainEvent, None]:
        self.requests.append(request)
        read = "\n".join(message.content for message in request.messages)
        made = {call.name for message in request.messages for call in message.tool_calls}
        orders = {order[1]: order[2] or "{}" for order in ORDER.finditer(read)}
        calls = [name for name in orders if name not in made]
        for number, name in enumerate(calls):
            yield ToolCall(f"call_{len(made) + number}", name, orders[name])
        if not calls:
            yield Text(next(m.content for m in reversed(request.messages)))
        yield Usage(len(read.split()), 1)
        yield Finish("tool_calls" if calls else "stop")


def make_obedient(settings: object, recall: object) -> ObedientBrain:
    """As a plug-in's entry point names it."""
    return ObedientBrain()
