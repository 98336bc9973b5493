"""Builds a dataset: from everything that was logged to a folder a model can be trained on.

Owns the order of the steps. Does not own the steps: what is fit (`curate`), sides (`splits`),
redaction (`redacted`), the choice (`choice`), the files (`writer`, `store`).

Experiences stream through twice: once to learn the names of all who speak, once to be judged,
redacted and put aside on the disk. What stays in memory of each is a few hundred bytes without
texts.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from understudy.events import now_ms
from understudy.learning.batches import batches
from understudy.learning.datasets.anchors import Anchor, own_anchors, shipped_anchors
from understudy.learning.datasets.candidates import CandidateRows, Observed, example_ids
from understudy.learning.datasets.choice import AnchorCandidate, Choice, choose
from understudy.learning.datasets.curate import (
    ATTACK_ACTS,
    CurationRules,
    Curator,
    Surroundings,
    attacks_among,
)
from understudy.learning.datasets.duplicates import signature
from understudy.learning.datasets.errors import DatasetError
from understudy.learning.datasets.splits import Splits
from understudy.learning.datasets.store import DatasetFilter, Datasets, Draft, Manifest
from understudy.learning.datasets.trust import FailedDatasets, failed_datasets
from understudy.learning.datasets.writer import DatasetWriter
from understudy.learning.judgements import judgement_of
from understudy.learning.redacted import ExchangeRedactor
from understudy.storage.engine import Database
from understudy.storage.evidence import Evidence
from understudy.storage.examples import ExampleRow, Examples
from understudy.storage.experiences import Experiences, RatedExperience
from understudy.storage.feedback import FeedbackRows
from understudy.storage.versions import ModelVersions
from understudy.storage.viewers import Roster, Viewers

MOST_REPLAY = 0.9

Progress = Callable[[int, int], None]
"""Called with the experiences looked at so far and their number in all."""


class DatasetRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to build: of one channel and persona or (empty) of all, of what is new since (ms).

    `replay` and `anchor` are the shares of the training rows that are older ones and hand-written
    ones, 0 to 1. The same log, request and former datasets give the same rows.
    """

    channel: str = ""
    persona: str = ""
    since: int = 0
    replay: float = 0.25
    anchor: float = 0.05
    seed: int = 0


class _Former(msgspec.Struct, frozen=True):
    """The dataset before this one, and what became of experiences so far.

    `used` are those that were learned from, with the time (ms), `harmful` those that made a
    version worse.
    """

    id: str = ""
    used: Mapping[str, int] = {}
    harmful: frozenset[str] = frozenset()


class DatasetBuilder:
    """Builds datasets of one database into one folder."""

    def __init__(
        self, database: Database, datasets: Datasets, rules: CurationRules, own_anchors: Path
    ) -> None:
        """`own_anchors` is the streamer's own file of anchor rows, which need not exist."""
        self._datasets = datasets
        self._rules = rules
        self._own_anchors = own_anchors
        self._examples = Examples(database)
        self._experiences = Experiences(database)
        self._evidence = Evidence(database)
        self._feedback = FeedbackRows(database)
        self._versions = ModelVersions(database)
        self._viewers = Viewers(database)

    async def build(
        self, request: DatasetRequest, progress: Progress | None = None, *, now: int = 0
    ) -> Manifest:
        """Build a dataset at the time `now` (ms, the present by default).

        Raises `DatasetError`, also when there is nothing new to learn from, and `StorageError`.
        """
        if not 0 <= request.replay <= MOST_REPLAY or request.replay + request.anchor >= 1:
            raise DatasetError(
                f"a replay of {request.replay:g} leaves no room for new rows: give a share from 0 "
                f"to {MOST_REPLAY:g}"
            )
        with self._datasets.building(), self._datasets.draft() as draft:
            anchors = await asyncio.to_thread(self._read_anchors)
            failed = await failed_datasets(self._versions)
            former = await asyncio.to_thread(self._former, request, failed)
            return await self._build(request, draft, anchors, former, progress, now or now_ms())

    async def _build(
        self,
        request: DatasetRequest,
        draft: Draft,
        anchors: Sequence[Anchor],
        former: _Former,
        progress: Progress | None,
        now: int,
    ) -> Manifest:
        roster = await self._viewers.roster(request.channel or None)
        redactor = ExchangeRedactor(roster, self._rules.cohost)
        total = await redactor.learn_names(self._scope(request, former.used))
        curator = Curator(self._rules, await self._surroundings(roster, former.harmful))
        splits = Splits([group async for group in self._examples.groups()])
        places = await self._place_anchors(anchors, splits, now)
        rows = CandidateRows(curator, splits, redactor, draft, former.used)
        looked_at = 0
        async for batch in batches(self._scope(request, former.used)):
            await self._take(batch, rows)
            looked_at += len(batch)
            if progress is not None:
                progress(looked_at, max(total, looked_at))

        def finish() -> Manifest:
            choice = choose(
                rows.candidates,
                places,
                replay=request.replay,
                anchor=request.anchor,
                seed=request.seed,
            )
            report = {why: count for why, count in sorted((rows.report + choice.left_out).items())}
            _refuse_nothing(choice, looked_at, report)
            warnings = DatasetWriter(draft, anchors).write(choice)
            manifest = Manifest(
                id=draft.new_id(now),
                created=now,
                channel=request.channel,
                persona=request.persona,
                filter=DatasetFilter(request.since),
                counts=dict(sorted(draft.counts.items())),
                replay=request.replay,
                anchor=request.anchor,
                seed=request.seed,
                sha256=draft.sha256,
                report=report,
                parent=former.id,
                looked_at=looked_at,
                rows=choice.origins,
                viewer_share=choice.viewer_share,
                redacted=dict(sorted(redactor.found.items())),
                warnings=warnings,
            )
            draft.commit(manifest)
            return manifest

        return await asyncio.to_thread(finish)

    def _read_anchors(self) -> list[Anchor]:
        own = own_anchors(self._own_anchors)
        taken = {anchor.id for anchor in own}
        return [*own, *(a for a in shipped_anchors() if a.id not in taken)]

    def _former(self, request: DatasetRequest, failed: FailedDatasets) -> _Former:
        datasets = self._datasets
        there = (manifest.id for manifest in datasets.manifests())
        harmful = {row for id in there if id in failed.harmful for row in datasets.new_rows(id)}
        parent = datasets.latest(request.channel, request.persona, failed.failed)
        if parent is None:
            return _Former(harmful=frozenset(harmful))
        used = datasets.used(parent, failed.failed)
        return _Former(parent.id, used, frozenset(harmful))

    async def _scope(
        self, request: DatasetRequest, used: Mapping[str, int]
    ) -> AsyncIterator[RatedExperience]:
        """The experiences in question: new ones since the time asked for, and all used before."""
        begin = 0 if used else request.since
        async for row in self._experiences.iterate(request.channel or None, begin):
            if request.persona and row.persona != request.persona:
                continue
            if row.ts >= request.since or row.id in used:
                yield row

    async def _surroundings(self, roster: Roster, harmful: frozenset[str]) -> Surroundings:
        tombstones = await self._evidence.tombstones()
        return Surroundings(
            silenced=await self._evidence.silenced(),
            attacks=attacks_among(await self._evidence.busy(ATTACK_ACTS)),
            tombstones=frozenset(tombstones),
            logins={name.casefold(): login for login, name in roster} if tombstones else {},
            harmful=harmful,
        )

    async def _place_anchors(
        self, anchors: Sequence[Anchor], splits: Splits, now: int
    ) -> list[AnchorCandidate]:
        """The sides of the anchor rows, stored so that no exchange like one gets on the other."""
        places: list[AnchorCandidate] = []
        new: list[ExampleRow] = []
        for number, anchor in enumerate(anchors):
            place = splits.place_anchor(
                anchor.prefers_held_out, signature(anchor.prompt, anchor.response)
            )
            held_out = place.split != "train"
            places.append(AnchorCandidate(number, anchor.id, place.group, held_out))
            new.append(
                ExampleRow(
                    # Changed words are another row, with a side of its own.
                    id=f"{anchor.id}/{place.group}",
                    channel="",
                    session=anchor.id,
                    ts=now,
                    duplicates=place.group,
                    split=place.split,
                )
            )
        await self._examples.add(new)
        return places

    async def _take(self, batch: Sequence[RatedExperience], rows: CandidateRows) -> None:
        feedback = await self._feedback.of([row.id for row in batch])
        deleted = await self._evidence.deleted([row.in_reply_to for row in batch])
        observed = [
            Observed(
                row,
                judgement_of(feedback.get(row.id, ())),
                (row.channel, row.in_reply_to) in deleted,
            )
            for row in batch
        ]
        known = await self._examples.get(example_ids(observed))
        await self._examples.add(await asyncio.to_thread(rows.take, observed, known))


def _refuse_nothing(choice: Choice, looked_at: int, report: Mapping[str, int]) -> None:
    if choice.origins.new:
        return
    if not looked_at:
        raise DatasetError("there is nothing to learn from: nothing was said there yet")
    why = ", ".join(f"{reason} {count}" for reason, count in report.items())
    raise DatasetError(
        f"there is nothing new to train on in {looked_at} experiences"
        + (f" (left out: {why})" if why else "")
        + ": build a dataset once more was said"
    )
