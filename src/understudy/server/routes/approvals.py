"""`/api/v1/approvals` and `/api/v1/actions/approve`: calls of tools that wait for a moderator.

To be included before `api`, whose `/actions/{action}` would take `approve` as well.
"""

from fastapi import APIRouter

from understudy.engine.tools.approvals import Approval
from understudy.server.access import Moderator, ServicesDep
from understudy.server.bodies import Body
from understudy.server.problems import Problem

router = APIRouter(prefix="/api/v1", tags=["approvals"])


class VerdictBody(Body):
    """`POST /api/v1/approvals/{id}`."""

    approve: bool


@router.get("/approvals")
async def approvals(services: ServicesDep, _: Moderator) -> dict[str, object]:
    """The calls that wait, oldest first, each with what led to it; times in ms UTC.

    `arguments` is JSON text: the tool gets exactly this.
    """
    return {"approvals": [_describe(approval) for approval in services.approvals.waiting()]}


@router.post("/approvals/{approval_id}")
async def decide(
    approval_id: str, body: VerdictBody, services: ServicesDep, caller: Moderator
) -> dict[str, object]:
    """Let the call be made, or decline it."""
    decided = services.approvals.decide(approval_id, body.approve, caller.user)
    if decided is None:
        raise Problem(404, f"no call {approval_id!r} waits: it was decided or has expired")
    return {"id": decided.id, "tool": decided.tool, "approved": body.approve}


@router.post("/actions/approve", tags=["actions"])
async def approve_oldest(services: ServicesDep, caller: Moderator) -> dict[str, object]:
    """One call for a hotkey: approve the call that has waited longest."""
    approved = services.approvals.approve_oldest(caller.user)
    if approved is None:
        raise Problem(404, "no call waits for approval: there is nothing to do")
    return {"id": approved.id, "tool": approved.tool, "approved": True}


def _describe(approval: Approval) -> dict[str, object]:
    return {
        "id": approval.id,
        "tool": approval.tool,
        "description": approval.description,
        "arguments": approval.arguments,
        "user": approval.caller.user,
        "role": approval.caller.role,
        "channel": approval.caller.channel,
        "text": approval.text,
        "why": approval.why,
        "asked_at": approval.asked_at,
        "expires_at": approval.expires_at,
    }
