"""Calls of tools that wait for a moderator.

Owns the list of what waits, how long, and what was decided. Does not own which calls need it
(`toolbox`) nor who may decide (`server.routes.approvals`).

What is approved is what was shown: an `Approval` cannot change, and the tool is called with the
arguments in it.
"""

import asyncio
from typing import Literal

import msgspec

from understudy.engine.tools.base import Caller
from understudy.events import new_id, now_ms

MAX_WAITING = 32
"""Calls that may wait at the same time; another one is let go at once."""

Answer = Literal["approved", "declined", "expired", "crowded"]


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A call that waits: everything its approver has to know.

    `arguments` is the JSON object that the tool will get, `text` the message that led to the call,
    `why` in one sentence why it needs a moderator; times are ms UTC.
    """

    id: str
    tool: str
    description: str
    arguments: str
    caller: Caller
    text: str
    why: str
    asked_at: int
    expires_at: int


class Verdict(msgspec.Struct, frozen=True):
    """What was decided, and by whom; `by` is empty when nobody did."""

    answer: Answer
    by: str = ""


class Approvals:
    """What waits for a moderator, oldest first, in memory: a restart ends the replies as well."""

    def __init__(self, seconds: float, *, limit: int = MAX_WAITING) -> None:
        self._seconds = seconds
        self._limit = limit
        self._waiting: dict[str, tuple[Approval, asyncio.Future[Verdict]]] = {}

    def waiting(self) -> list[Approval]:
        """The calls that wait, oldest first."""
        return [approval for approval, verdict in self._waiting.values() if not verdict.done()]

    async def ask(
        self, *, tool: str, description: str, arguments: str, caller: Caller, text: str, why: str
    ) -> Verdict:
        """Wait until someone decides or time is up; cancelling it withdraws the question."""
        if len(self._waiting) >= self._limit:
            return Verdict("crowded")
        now = now_ms()
        approval = Approval(
            id=new_id("approval_"),
            tool=tool,
            description=description,
            arguments=arguments,
            caller=caller,
            text=text,
            why=why,
            asked_at=now,
            expires_at=now + round(self._seconds * 1000),
        )
        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting[approval.id] = (approval, verdict)
        try:
            async with asyncio.timeout(self._seconds):
                return await verdict
        except TimeoutError:
            return Verdict("expired")
        finally:
            del self._waiting[approval.id]

    def decide(self, approval_id: str, approve: bool, by: str) -> Approval | None:
        """Settle the call with this id; None when it does not wait (any more)."""
        found = self._waiting.get(approval_id)
        if found is None or found[1].done():
            return None
        approval, verdict = found
        verdict.set_result(Verdict("approved" if approve else "declined", by))
        return approval

    def approve_oldest(self, by: str) -> Approval | None:
        """Approve the call that has waited longest; None when nothing waits."""
        waiting = self.waiting()
        return self.decide(waiting[0].id, True, by) if waiting else None
