"""Which tools a reply may use.

Owns what is offered for whom, and the way from a request to a reply with tools. Does not own the
rounds of a reply (`rounds`), what a call goes through (`calls`), nor what tools do.
"""

from collections.abc import AsyncGenerator, Callable, Iterable

import msgspec

from understudy.brains.base import BrainEvent, BrainRequest, ToolSpec
from understudy.brains.router import Answer, Router
from understudy.config import ToolSettings
from understudy.engine.tools.approvals import Approvals
from understudy.engine.tools.base import Caller, Tool, ToolRecord, may_call
from understudy.engine.tools.calls import Calls
from understudy.engine.tools.results import RESULT_RULE
from understudy.engine.tools.rounds import Rounds


class Toolbox:
    """The tools of this process. `tools` gives those there are now: servers come and go.

    `on_call` gets a record of every call, also of those that were refused.
    """

    def __init__(
        self,
        tools: Callable[[], Iterable[Tool]],
        settings: ToolSettings,
        approvals: Approvals,
        *,
        on_call: Callable[[ToolRecord], None] | None = None,
    ) -> None:
        self._tools = tools
        self._settings = settings
        self._approvals = approvals
        self._on_call = on_call

    def offered(self, caller: Caller) -> list[ToolSpec]:
        """What a model may be told of when it answers `caller`."""
        return [tool.spec for tool in self._tools() if may_call(caller.role, tool.role)]

    def stream(
        self, router: Router, request: BrainRequest, caller: Caller, *, shortened: bool = False
    ) -> Answer:
        """The reply to `request` as `Router.stream` gives it, with tools called on the way.

        Text comes through at once, calls do not come through; usage and cost are those of all
        rounds, and `provider` and `model` those of the last. Raises `BrainError` only.
        """

        def events(answer: Answer) -> AsyncGenerator[BrainEvent, None]:
            offer = self._offer(request, caller)
            calls = Calls(
                offer, caller, self._tools, self._settings, self._approvals, self._on_call
            )
            return Rounds(router, offer, calls, self._settings.rounds, answer).events(shortened)

        return Answer(events)

    def _offer(self, request: BrainRequest, caller: Caller) -> BrainRequest:
        tools = self.offered(caller)
        if not tools:
            return msgspec.structs.replace(request, tools=())
        prompt = f"{request.system_prompt}\n\n{RESULT_RULE}".strip()
        return msgspec.structs.replace(request, tools=tools, system_prompt=prompt)
