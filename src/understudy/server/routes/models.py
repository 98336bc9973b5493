"""`/api/v1/models` and `/api/v1/deployments`: trained versions, and which of them answers.

What is deployed here takes effect in every process within a second: each follows the deployments in
the database (`learning.rollout.follower`).
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field

from understudy.learning.evaluation.judging import registry_of
from understudy.learning.versions.deploying import CANARY_SHARE, Deploying, Override
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry
from understudy.server.access import Moderator, Owner, ServicesDep
from understudy.server.auth import Principal
from understudy.server.bodies import NAME_CHARS, Body, Cleaned
from understudy.server.problems import Problem
from understudy.server.services import Services
from understudy.storage.versions import DeployedMeanwhile, Deployment, ModelVersion

router = APIRouter(prefix="/api/v1", tags=["models"])

MAX_REASON = 2_000
Reason = Annotated[Cleaned, Field(max_length=MAX_REASON)]
ChannelName = Annotated[str, Query(max_length=NAME_CHARS)]


class PromoteBody(Body):
    """`POST /api/v1/models/{version}/promote`; an override needs a reason."""

    reason: Reason = ""
    override: bool = False


class CanaryBody(PromoteBody):
    """`POST /api/v1/models/{version}/canary`: the share of askers, above 0 and below 1."""

    share: Annotated[float, Field(gt=0, lt=1)] = CANARY_SHARE


class RollbackBody(Body):
    """`POST /api/v1/models/rollback`: an empty channel is that of all without one of their own."""

    channel: Annotated[Cleaned, Field(max_length=NAME_CHARS)] = ""
    reason: Reason = ""


@router.get("/models")
async def versions(
    services: ServicesDep, _: Moderator, channel: ChannelName = ""
) -> dict[str, object]:
    """The versions, of one channel when given, oldest first; times in ms UTC."""
    found = await _registry(services).versions.list(channel or None)
    return {"models": [_describe(version) for version in found]}


@router.get("/models/{version}")
async def version(version: str, services: ServicesDep, _: Moderator) -> dict[str, object]:
    """A version, what each gate said of it last with all figures, and its deployments."""
    registry = _registry(services)
    found = await _find(registry, version)
    evaluation = await registry.versions.newest_evaluation(version)
    history = await registry.versions.deployments(found.channel)
    mine = [row for row in history if version in {row.version, row.before}]
    return {
        **_describe(found),
        "evaluation": [msgspec.to_builtins(row) for row in evaluation],
        "deployments": [msgspec.to_builtins(row) for row in mine],
    }


@router.post("/models/rollback")
async def roll_back(
    body: RollbackBody, services: ServicesDep, caller: Moderator
) -> dict[str, object]:
    """End a channel's canary, or go back to the version before the live one."""
    async with _conflicts():
        return _told(
            await Deploying(_registry(services)).roll_back(
                body.channel, actor=caller.user, reason=body.reason or "taken back by hand"
            )
        )


@router.post("/models/{version}/promote")
async def promote(
    version: str, body: PromoteBody, services: ServicesDep, caller: Owner
) -> dict[str, object]:
    """Let a version that passed the gates answer everybody in its channel."""
    registry = _registry(services)
    await _find(registry, version)
    async with _conflicts():
        return _told(
            await Deploying(registry).promote(
                version, actor=caller.user, reason=body.reason, override=_override(body, caller)
            )
        )


@router.post("/models/{version}/canary")
async def try_out(
    version: str, body: CanaryBody, services: ServicesDep, caller: Owner
) -> dict[str, object]:
    """Let a version that passed the gates answer a share of those who ask in its channel."""
    registry = _registry(services)
    await _find(registry, version)
    async with _conflicts():
        return _told(
            await Deploying(registry).canary(
                version,
                actor=caller.user,
                share=body.share,
                reason=body.reason,
                override=_override(body, caller),
            )
        )


@router.get("/deployments")
async def deployments(
    services: ServicesDep, _: Moderator, channel: ChannelName = ""
) -> dict[str, object]:
    """Who was given which version when and why, oldest first; the last of a channel counts."""
    rows = await _registry(services).versions.deployments(channel or None)
    return {"deployments": [msgspec.to_builtins(row) for row in rows]}


def _registry(services: Services) -> Registry:
    return registry_of(services.settings, services.database)


async def _find(registry: Registry, version: str) -> ModelVersion:
    try:
        return await registry.get(version)
    except VersionError as error:
        raise Problem(404, str(error)) from None


@asynccontextmanager
async def _conflicts() -> AsyncGenerator[None]:
    """What cannot be done with a version is a conflict."""
    try:
        yield
    except (VersionError, DeployedMeanwhile) as error:
        raise Problem(409, str(error)) from None


def _override(body: PromoteBody, caller: Principal) -> Override | None:
    return Override(caller.user, body.reason) if body.override else None


def _describe(version: ModelVersion) -> dict[str, object]:
    return msgspec.to_builtins(version)


def _told(row: Deployment) -> dict[str, object]:
    return {"deployment": msgspec.to_builtins(row)}
