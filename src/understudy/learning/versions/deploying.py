"""Which version a channel gets, and who may decide that.

Owns the rules of promotion, canaries and rolling back, and the reason that every one of them puts
on record. Does not own the rows (`storage.versions`) nor loading a version (`serving`).

A version is always deployed to the channel it was trained for, those for all channels to the one
with the empty name; a channel without a version of its own has theirs. Only a version that passed
every hard gate can be promoted; an owner may override that by name and with a reason.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from understudy.events import now_ms
from understudy.learning.gates.verdict import HARD_GATES
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry, is_base
from understudy.storage.versions import (
    BASE,
    Deployment,
    Evaluation,
    ModelVersion,
    ModelVersions,
    VersionState,
)

CANARY_SHARE = 0.1
AUTOMATIC = "understudy"
"""The actor of what nobody asked for."""


class Override(msgspec.Struct, frozen=True):
    """The decision of a person to deploy a version that did not pass."""

    owner: str
    reason: str


class Deploying:
    """Promotes, tries out and takes back the versions of a registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._versions = registry.versions

    async def promote(
        self, version: str, *, actor: str, reason: str = "", override: Override | None = None
    ) -> Deployment:
        """Give `version` to everybody in its channel; raises `VersionError`."""
        found = await self._deployable(version, override)
        history = await self._versions.deployments(found.channel)
        current = await self.current(found.channel)
        if current == version and not tried_out(history):
            raise VersionError(f"version {version} is live already: there is nothing to do")
        row = _row(found.channel, version, current, 1.0, actor, _reason(reason, override))
        retired = _replaced(history, version, f"{version} was promoted")
        return await self._deploy(row, [(version, "live", row.reason), *retired], history)

    async def canary(
        self,
        version: str,
        *,
        actor: str,
        share: float = CANARY_SHARE,
        reason: str = "",
        override: Override | None = None,
    ) -> Deployment:
        """Give `version` to a `share` (0 to 1, both left out) of its channel's askers.

        Raises `VersionError`.
        """
        if not 0 < share < 1:
            raise VersionError(f"a share of {share:g} is no canary: use one between 0 and 1")
        found = await self._deployable(version, override)
        history = await self._versions.deployments(found.channel)
        current = await self.current(found.channel)
        if current == version:
            raise VersionError(f"version {version} is live already: try out another one")
        row = _row(found.channel, version, current, share, actor, _reason(reason, override))
        states: list[tuple[str, VersionState, str]] = [(version, "canary", row.reason)]
        if (other := tried_out(history)) and other.version != version:
            states.append((other.version, "candidate", f"{version} is tried out instead"))
        return await self._deploy(row, states, history)

    async def roll_back(
        self,
        channel: str = "",
        *,
        actor: str,
        reason: str,
        state: Literal["retired", "blocked"] = "retired",
        only: str = "",
    ) -> Deployment:
        """End the canary of `channel`, or else go back to the version before the live one.

        The version that is taken back gets `state`. With `only`, nothing but that version is taken
        back. Raises `VersionError`.
        """
        history = await self._versions.deployments(channel)
        leaving, target = _way_back(history, channel)
        if only and leaving != only:
            raise VersionError(f"version {only} is deployed no more: there is nothing to take back")
        row = _row(channel, target, leaving, 1.0, actor, reason)
        states: list[tuple[str, VersionState, str]] = [(leaving, state, reason)]
        if not is_base(target):
            states.append((target, "live", reason))
        return await self._deploy(row, states, history)

    async def current(self, channel: str) -> str:
        """The version that answers whoever in `channel` is in no canary.

        A channel without a version of its own has that of all channels.
        """
        return await current_version(self._versions, channel)

    async def block(self, version: str, reason: str) -> None:
        """Keep a version from being deployed; one that is deployed stays so."""
        await self._versions.set_state(version, "blocked", reason)

    async def _deployable(self, version: str, override: Override | None) -> ModelVersion:
        found = await self._registry.get(version)
        if not found.metrics.get("model"):
            self._registry.adapter(found)
        if override is not None:
            if not override.owner.strip() or not override.reason.strip():
                raise VersionError("an override needs the owner's name and a reason: give both")
            return found
        objection = objection_to(found, await self._versions.newest_evaluation(version))
        if objection:
            raise VersionError(objection)
        return found

    async def _deploy(
        self,
        row: Deployment,
        states: Sequence[tuple[str, VersionState, str]],
        history: Sequence[Deployment],
    ) -> Deployment:
        after = history[-1].id if history else 0
        return await self._versions.deploy(row, states, after=after)


def objection_to(version: ModelVersion, evaluation: Sequence[Evaluation]) -> str:
    """Why the gates keep `version` from being deployed, as a sentence; empty when they do not."""
    way_out = "evaluate it again, or override with a reason"
    if not evaluation:
        return f"version {version.id} was not evaluated: run understudy evaluate {version.id}"
    failed = [row for row in evaluation if row.gate in HARD_GATES and not row.passed]
    if failed:
        said = "; ".join(f"{row.gate} {row.sentence}" for row in failed)
        return f"version {version.id} did not pass ({said}): {way_out}"
    missing = sorted(HARD_GATES - {row.gate for row in evaluation})
    if missing:
        return f"version {version.id} was not judged by {', '.join(missing)}: {way_out}"
    if version.state == "blocked":
        return f"version {version.id} is blocked ({version.reason}): {way_out}"
    return ""


async def current_version(versions: ModelVersions, channel: str) -> str:
    """See `Deploying.current`."""
    own = live_versions(await versions.deployments(channel))[-1]
    if own == BASE and channel:
        return live_versions(await versions.deployments(""))[-1]
    return own


async def rival_of(versions: ModelVersions, version: ModelVersion) -> str:
    """What `version` has to be better than: the live one, or the one before when it is that."""
    current = await current_version(versions, version.channel)
    if current != version.id:
        return current
    return live_versions(await versions.deployments(version.channel))[-2]


def tried_out(history: Sequence[Deployment]) -> Deployment | None:
    """The canary that is under way, by a channel's deployments; None when there is none."""
    return history[-1] if history and history[-1].share < 1 else None


def live_versions(history: Sequence[Deployment]) -> list[str]:
    """The base and every version that was promoted after it and not taken back, the live one last.

    Deploying one of them again takes back all that came after it.
    """
    stack = [BASE]
    for row in history:
        if row.share < 1:
            continue
        if row.version in stack:
            del stack[stack.index(row.version) + 1 :]
        else:
            stack.append(row.version)
    return stack


def _way_back(history: Sequence[Deployment], channel: str) -> tuple[str, str]:
    """The version to take back, and the one that answers then."""
    stack = live_versions(history)
    if canary := tried_out(history):
        return canary.version, stack[-1]
    if len(stack) < 2:
        raise VersionError(
            f"nothing is deployed to {channel or 'all channels'}: there is nothing to take back"
        )
    return stack[-1], stack[-2]


def _replaced(
    history: Sequence[Deployment], version: str, reason: str
) -> list[tuple[str, VersionState, str]]:
    """The states of what was live or tried out when `version` is promoted."""
    leaving = {live_versions(history)[-1]}
    if canary := tried_out(history):
        leaving.add(canary.version)
    return [(name, "retired", reason) for name in sorted(leaving - {version, BASE})]


def _reason(reason: str, override: Override | None) -> str:
    if override is not None:
        return f"overridden by {override.owner.strip()}: {override.reason.strip()}"
    return reason.strip() or "it passed the gates"


def _row(
    channel: str, version: str, before: str, share: float, actor: str, reason: str
) -> Deployment:
    return Deployment(
        channel=channel,
        version=version,
        before=before,
        share=share,
        reason=reason,
        actor=actor.strip() or AUTOMATIC,
        ts=now_ms(),
    )
