"""What a call of a tool goes through before, during and after.

Owns the checks in their order: is there such a tool, is it for this caller, can the arguments be
read, does a moderator have to confirm it; then the deadline, and the record. Does not own when a
model is asked (`rounds`) nor what tools do.

What a model writes can only ask. Rights come from the `Caller`, whom the application names; who
may not have a tool called is not shown it, and a call of it is refused all the same. A tool that
is not for everyone is confirmed by a moderator also when the model has read words of others, or a
result that may hold such: someone there may have asked for the call.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from understudy.brains.base import BrainRequest, ToolCall
from understudy.config import ToolSettings
from understudy.engine.tools.approvals import Approvals
from understudy.engine.tools.base import (
    RECORDED_CHARS,
    Caller,
    Outcome,
    Tool,
    ToolError,
    ToolRecord,
    may_call,
)
from understudy.engine.tools.results import quote_error, quote_result, reads_others
from understudy.safety.pii import Redactor
from understudy.safety.text import clean

MAX_ARGUMENTS = 16_000
"""Longest arguments of a call, in characters of JSON: an approver must be able to read them."""

_ALWAYS = "This tool is confirmed always."
_READ_OTHERS = "The co-host has read words of others, who may have asked for this."

logger = logging.getLogger(__name__)


class Calls:
    """Carries out the calls of one reply."""

    def __init__(
        self,
        request: BrainRequest,
        caller: Caller,
        tools: Callable[[], Iterable[Tool]],
        settings: ToolSettings,
        approvals: Approvals,
        on_call: Callable[[ToolRecord], None] | None = None,
    ) -> None:
        self._request = request
        self._caller = caller
        self._tools = tools
        self._settings = settings
        self._approvals = approvals
        self._on_call = on_call
        self._redactor = Redactor()
        self._read_others = reads_others(request)

    async def __call__(self, call: ToolCall, too_many: bool) -> str:
        """What the model is told; never raises for a call that fails."""
        name = _shown_name(call.name)
        record = _Record("cancelled")
        try:
            tool, arguments = self._admit(call, too_many)
            record.approved_by = await self._confirm(tool, arguments)
            started = time.monotonic()
            try:
                result = await self._run(tool, arguments)
            finally:
                record.ms = round((time.monotonic() - started) * 1000)
            record.outcome = "done"
            return result
        except _Refused as refusal:
            record.outcome, record.detail = refusal.outcome, str(refusal)
            record.approved_by = refusal.by or record.approved_by
            return quote_error(name, record.detail, self._settings.result_chars)
        finally:
            self._keep(name, call.arguments, record)

    def _admit(self, call: ToolCall, too_many: bool) -> tuple[Tool, str]:
        """The tool, and the arguments as they will be shown and used; raises `_Refused`."""
        tool = next((tool for tool in self._tools() if tool.spec.name == call.name), None)
        # Both read the same: whoever may not use a tool need not learn that it is there.
        missing = f"there is no tool {_shown_name(call.name)}: use one of those offered"
        if tool is None:
            raise _Refused("unknown", missing)
        if not may_call(self._caller.role, tool.role):
            raise _Refused("forbidden", missing)
        if too_many:
            raise _Refused("left_out", "too many calls: ask for fewer tools at a time")
        return tool, _canonical(call.arguments)

    async def _confirm(self, tool: Tool, arguments: str) -> str:
        """Who confirmed the call, empty when nobody has to; raises `_Refused`."""
        if tool.confirm == "always":
            why = _ALWAYS
        elif tool.role != "everyone" and self._read_others:
            why = _READ_OTHERS
        else:
            return ""
        verdict = await self._approvals.ask(
            tool=tool.spec.name,
            description=tool.spec.description,
            arguments=arguments,
            caller=self._caller,
            text=self._request.text,
            why=why,
        )
        match verdict.answer:
            case "approved":
                return verdict.by
            case "declined":
                raise _Refused("declined", "a moderator declined the call", verdict.by)
            case "expired":
                raise _Refused("expired", "no moderator confirmed the call in time")
            case "crowded":
                raise _Refused("crowded", "too many calls wait for a moderator")

    async def _run(self, tool: Tool, arguments: str) -> str:
        """What the tool answers, quoted; raises `_Refused` when it does not."""
        # Also when it fails: what it says then may come from strangers as well.
        self._read_others = self._read_others or not tool.trusted
        deadline = asyncio.timeout(self._settings.seconds)
        try:
            async with deadline:
                result = await tool.call(msgspec.json.decode(arguments), self._caller)
                return quote_result(tool.spec.name, result, self._settings.result_chars)
        except ToolError as error:
            raise _Refused("failed", str(error)) from error
        except asyncio.CancelledError as error:
            if _is_cancelled():
                raise
            raise _broken(tool, error) from error
        except Exception as error:
            if deadline.expired():
                seconds = self._settings.seconds
                raise _Refused("timeout", f"it did not answer within {seconds:g} s") from error
            raise _broken(tool, error) from error

    def _keep(self, name: str, arguments: str, record: "_Record") -> None:
        logger.info("tool %s for a %s: %s", name, self._caller.role, record.outcome)
        if self._on_call is None:
            return
        self._on_call(
            ToolRecord(
                caller=self._caller,
                tool=name,
                arguments=self._redacted(arguments),
                outcome=record.outcome,
                detail=self._redacted(record.detail),
                approved_by=record.approved_by,
                ms=record.ms,
            )
        )

    def _redacted(self, text: str) -> str:
        """`text` fit to be kept; cut before it is searched, so that nobody makes a search long."""
        return self._redactor.redact(clean(text[:RECORDED_CHARS])).text[:RECORDED_CHARS]


class _Record(msgspec.Struct):
    """What came of a call so far."""

    outcome: Outcome
    detail: str = ""
    approved_by: str = ""
    ms: int = 0


class _Refused(Exception):
    """A call that came to nothing: its outcome, and the sentence for the model."""

    def __init__(self, outcome: Outcome, sentence: str, by: str = "") -> None:
        super().__init__(sentence)
        self.outcome: Outcome = outcome
        self.by = by


def _canonical(arguments: str) -> str:
    """The arguments as JSON without characters that would deceive a reader; raises `_Refused`."""
    if len(arguments) > MAX_ARGUMENTS:
        raise _Refused("invalid", f"the arguments are longer than {MAX_ARGUMENTS} characters")
    try:
        decoded = msgspec.json.decode(arguments or "{}", type=dict[str, Any])
        return clean(json.dumps(decoded, ensure_ascii=False))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        raise _Refused("invalid", "the arguments are not a JSON object") from None


def _shown_name(name: str) -> str:
    """A name as a model wrote it, fit to be shown."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name[:64])


def _is_cancelled() -> bool:
    """Whether it is this task that is cancelled, not one that a tool waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _broken(tool: Tool, error: BaseException) -> _Refused:
    logger.error("tool %s broke down", tool.spec.name, exc_info=error)
    return _Refused("failed", "it broke down")
