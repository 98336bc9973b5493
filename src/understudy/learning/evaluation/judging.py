"""The evaluator as the settings want it, for the command line and the nightly job; blind pairs.

Owns which base, dataset folder, roster and suite it is given. Does not own the gates.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from understudy.config import Settings
from understudy.learning.evaluation.blind import PREFERENCES, BlindPair, blind_pairs, compared
from understudy.learning.evaluation.evaluator import NEW, Evaluator, Surroundings
from understudy.learning.evaluation.measuring import MeasuredLocally
from understudy.learning.gates.data import Origin
from understudy.learning.gates.limits import Limits
from understudy.learning.gates.suite import load_suite
from understudy.learning.training.base_model import identify, locate
from understudy.learning.training.rows import Row, load_rows
from understudy.learning.versions.deploying import rival_of
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry, is_base
from understudy.safety.moderation import OutputFilter
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.evidence import Evidence, Tombstone, viewer_hash
from understudy.storage.examples import Examples
from understudy.storage.outcomes import Outcomes
from understudy.storage.rows import BASE
from understudy.storage.versions import ModelVersions

_IDS = 400


def registry_of(settings: Settings, database: Database) -> Registry:
    """The registry of the data directory."""
    return Registry(settings.data_dir / "models", ModelVersions(database))


def local_model(settings: Settings) -> str:
    """The model that is trained and served in this process: a folder or an id."""
    named = settings.brain.provider == "huggingface" and settings.brain.model
    return named or settings.brain.hf_model


async def evaluator(
    settings: Settings,
    database: Database,
    version: str,
    *,
    base: str = "",
    limits: Limits | None = None,
) -> Evaluator:
    """What evaluates `version`, whose channel's viewers must not be named.

    `base` is the model it is of, by default the one in the settings. Raises `VersionError`,
    `TrainingError` and `BrainError`.
    """
    registry = registry_of(settings, database)
    found = await registry.get(version)
    model = base or local_model(settings)
    folder = await asyncio.to_thread(locate, model)
    around = Surroundings(
        datasets=settings.data_dir / "learning" / "datasets",
        base=await asyncio.to_thread(identify, folder),
        roster=list(await ChatArchive(database).roster(found.channel or None)),
        keep=[settings.persona.name, *settings.persona.aliases],
        suite=await asyncio.to_thread(load_suite, settings.data_dir / "learning"),
        output_filter=OutputFilter(settings.safety.blocked_words),
        originate=partial(originate, database),
    )

    def measure(adapters: Mapping[str, Path]) -> MeasuredLocally:
        return MeasuredLocally(str(folder), adapters, device=settings.brain.device)

    return Evaluator(registry, around, measure, limits)


class BlindRound(msgspec.Struct, frozen=True):
    """Pairs of replies to compare, of which version, and where the answers go."""

    against: str
    answers: Path
    pairs: list[BlindPair]


async def blind_round(
    settings: Settings,
    database: Database,
    version: str,
    count: int,
    *,
    against: str = "",
    base: str = "",
) -> BlindRound:
    """Up to `count` pairs of what `version` and its rival say to held-out messages not asked yet.

    Raises `VersionError`, `TrainingError` and `BrainError`.
    """
    registry = registry_of(settings, database)
    found = await registry.get(version)
    other = against or await rival_of(registry.versions, found)
    other = BASE if is_base(other) else other
    names = [name for name in (version, other) if name != BASE]
    adapters = {name: registry.adapter(await registry.get(name)) for name in names}
    folder = await asyncio.to_thread(locate, base or local_model(settings))
    model = await asyncio.to_thread(identify, folder)
    if model.hash != found.base_hash:
        raise VersionError(
            f"version {version} is of {found.base} and not of {model.name}: name its base"
        )
    answers = registry.folder(version) / PREFERENCES
    dataset = settings.data_dir / "learning" / "datasets" / found.dataset
    rows = (await asyncio.to_thread(load_rows, dataset / NEW, Row)).rows
    done = await asyncio.to_thread(compared, answers, other)
    left = [row for row in rows if str(row.meta.id) not in done]
    measured = MeasuredLocally(str(folder), adapters, device=settings.brain.device)
    pairs = await blind_pairs(measured, version, other, left, count) if left else []
    if not pairs:
        raise VersionError(
            f"there is nothing left to compare {version} and {other} by: every held-out message "
            "was asked, or both say the same"
        )
    return BlindRound(other, answers, pairs)


async def originate(database: Database, ids: Sequence[str]) -> dict[str, Origin]:
    """Who was answered in these experiences, and what became of them as examples.

    Those of erased viewers count as tombstoned, whatever their example says.
    """
    viewers = await Outcomes(database).answered(ids)
    erased = await Evidence(database).tombstones()
    examples = Examples(database)
    origins: dict[str, Origin] = {}
    for start in range(0, len(ids), _IDS):
        batch = ids[start : start + _IDS]
        known = await examples.get(batch)
        for name in batch:
            state = known[name].state if name in known else ""
            viewer = viewers.get(name, "")
            channel = known[name].channel if name in known else ""
            if viewer and _is_erased(viewer, channel, erased):
                state = "tombstoned"
            origins[name] = Origin(viewer, state)
    return origins


def _is_erased(viewer: str, channel: str, erased: set[Tombstone]) -> bool:
    mark = viewer_hash(viewer)
    return bool({Tombstone(mark, ""), Tombstone(mark, channel)} & erased)
