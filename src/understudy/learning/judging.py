"""The evaluator as the settings want it: for the command line, the server and the nightly job.

Owns which base, dataset folder, roster and suite it is given. Does not own the gates.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from understudy.config import Settings
from understudy.learning.evaluation import Evaluator, Surroundings
from understudy.learning.gates.data import Origin
from understudy.learning.gates.limits import Limits
from understudy.learning.gates.suite import load_suite
from understudy.learning.measuring import MeasuredLocally
from understudy.learning.registry import Registry
from understudy.learning.training.base_model import identify, locate
from understudy.safety.moderation import OutputFilter
from understudy.storage.chat_log import ChatArchive
from understudy.storage.engine import Database
from understudy.storage.evidence import Evidence, Tombstone, viewer_hash
from understudy.storage.examples import Examples
from understudy.storage.outcomes import Outcomes
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
