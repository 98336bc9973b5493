"""Puts a version through the gates and keeps every figure.

Owns where the figures come from: the dataset, the run, the held-out rows, the prompts, the people.
Does not own what they must be (`gates`) nor how a model is measured (`measuring`).
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from understudy.events import now_ms
from understudy.learning.evaluation.blind import PREFERENCES, read_preferences
from understudy.learning.evaluation.measuring import Measured, Question
from understudy.learning.gates.behaviour import Answer, Judge, Said, behaves
from understudy.learning.gates.bootstrap import Difference, PairedLoss, difference
from understudy.learning.gates.data import Origin, fit_to_train, look_at
from understudy.learning.gates.limits import Limits
from understudy.learning.gates.losses import better, not_worse
from understudy.learning.gates.preference import Preferences, preferred
from understudy.learning.gates.run import RunFigures, ran_well
from understudy.learning.gates.speech import Copies
from understudy.learning.gates.suite import Prompt
from understudy.learning.gates.verdict import GateName, Verdict, passed, verdict
from understudy.learning.training.adapter import hash_adapter
from understudy.learning.training.base_model import BaseModel
from understudy.learning.training.errors import reason_of
from understudy.learning.training.files import write_file
from understudy.learning.training.losses import RowLoss
from understudy.learning.training.rows import Row, load_rows
from understudy.learning.versions.deploying import rival_of
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry, is_base
from understudy.safety.pii import Redactor
from understudy.storage.rows import BASE
from understudy.storage.versions import Evaluation, ModelVersion

EVAL = "eval.json"
TRAIN, NEW, OLD, ANCHOR = "train.jsonl", "val.jsonl", "old.jsonl", "anchor.jsonl"
HELD_OUT_QUESTIONS = 24
"""Held-out prompts a version answers; fewer than a third of that say too little about its style."""
_DRAWN = 0.7
"""Temperature of what is not answered greedily: each prompt of the suite is answered both ways."""
_METHOD_FILES = {"sft": (TRAIN, NEW), "kto": ("kto.jsonl",), "dpo": ("pairs.jsonl",)}

Progress = Callable[[int, int], None]
"""Told how many of how many gates are done."""
MakeMeasured = Callable[[Mapping[str, Path]], Measured]
"""Gives what measures the base with these adapters by version."""
Originate = Callable[[Sequence[str]], Any]
"""Awaited with ids of experiences; gives `Mapping[str, Origin]`."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What all gates said of `version` compared with `against`; `ts` in ms."""

    version: str
    against: str
    ts: int
    passed: bool
    verdicts: list[Verdict]


class _Manifest(msgspec.Struct, frozen=True):
    id: str = ""
    counts: dict[str, int] = {}
    sha256: dict[str, str] = {}


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is known beside the version: where datasets lie, and what may not be said."""

    datasets: Path
    base: BaseModel
    roster: Sequence[tuple[str, str]]
    """(login, display name) of everybody who may not be named."""
    keep: Sequence[str]
    """Names that may be, such as the co-host's."""
    suite: Sequence[Prompt]
    output_filter: Callable[[str], str | None]
    originate: Originate


class Evaluator:
    """Evaluates versions of one base."""

    def __init__(
        self,
        registry: Registry,
        surroundings: Surroundings,
        measure: MakeMeasured,
        limits: Limits | None = None,
    ) -> None:
        self._registry = registry
        self._around = surroundings
        self._measure = measure
        self._limits = limits or Limits()

    async def evaluate(
        self, version: str, against: str = "", progress: Progress = lambda done, of: None
    ) -> Report:
        """Put `version` through all gates, compared with `against` (the live one when empty).

        What they say is stored, and a candidate that fails is blocked. Raises `VersionError`,
        `TrainingError` and `BrainError` when it cannot be judged at all.
        """
        found = await self._registry.get(version)
        if found.metrics.get("model"):
            raise VersionError(
                f"version {version} lies at {found.provider}, where no losses can be measured: "
                "look at its answers, then promote it with --override and a reason"
            )
        other = against or await rival_of(self._registry.versions, found)
        work = _Work(self._registry, self._around, self._limits, found, other)
        adapters = await work.prepare()
        verdicts = await work.judge(self._measure(adapters), progress)
        report = Report(
            version=version,
            against=other,
            ts=now_ms(),
            passed=passed(verdicts),
            verdicts=verdicts,
        )
        await self._keep(found, report)
        return report

    async def _keep(self, version: ModelVersion, report: Report) -> None:
        data = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
        await asyncio.to_thread(write_file, self._registry.folder(version.id) / EVAL, data)
        rows = [
            Evaluation(
                version=version.id,
                against=report.against,
                gate=v.gate,
                passed=v.passed,
                sentence=v.sentence,
                figures=v.figures,
                ts=report.ts,
            )
            for v in report.verdicts
        ]
        await self._registry.versions.add_evaluation(rows)
        if version.state not in {"candidate", "blocked"}:
            return
        failed = [v for v in report.verdicts if not passed([v])]
        reason = "; ".join(f"{v.gate} {v.sentence}" for v in failed)
        state = "blocked" if failed else "candidate"
        await self._registry.versions.set_state(version.id, state, reason)


class _Work:
    """One evaluation while it is done."""

    def __init__(
        self,
        registry: Registry,
        around: Surroundings,
        limits: Limits,
        version: ModelVersion,
        against: str,
    ) -> None:
        self._registry = registry
        self._around = around
        self._limits = limits
        self._version = version
        self._against = BASE if is_base(against) else against
        self._dataset = around.datasets / version.dataset
        self._rows: dict[str, list[Row]] = {}
        self._manifest = _Manifest()
        self._adapter_found = ""
        self._roster = Redactor(sorted(around.roster), keep=around.keep)

    async def prepare(self) -> dict[str, Path]:
        """Read what is needed; returns the adapters by version. Raises `VersionError`."""
        adapters = {self._version.id: self._registry.adapter(self._version)}
        if self._against != BASE:
            other = await self._registry.get(self._against)
            if other.base_hash != self._version.base_hash:
                raise VersionError(
                    f"version {other.id} is of another model ({other.base}): compare with base"
                )
            adapters[other.id] = self._registry.adapter(other)
        self._adapter_found = await asyncio.to_thread(hash_adapter, adapters[self._version.id])
        self._manifest = await asyncio.to_thread(_read_manifest, self._dataset)
        for name in (TRAIN, NEW, OLD, ANCHOR):
            self._rows[name] = await asyncio.to_thread(_read_rows, self._dataset / name)
        return adapters

    async def judge(self, measured: Measured, progress: Progress) -> list[Verdict]:
        """What every gate says, in their order."""
        verdicts = [await self._data()]
        progress(1, 6)
        verdicts.append(run := self._run())
        progress(2, 6)
        if not run.passed and self._version.base_hash != self._around.base.hash:
            why = "it was trained on another model, so nothing can be measured"
            gates: tuple[GateName, ...] = ("G2", "G3", "G4")
            verdicts += [verdict(gate, [why], "") for gate in gates]
        else:
            changes = await self._changes(measured)
            verdicts.append(better(changes[NEW], self._limits))
            before = {"old": changes[OLD], "anchor": changes[ANCHOR]}
            verdicts.append(not_worse(before, self._limits))
            progress(4, 6)
            verdicts.append(await self._behaviour(measured))
        progress(5, 6)
        verdicts.append(preferred(await self._preferences(), self._limits))
        progress(6, 6)
        return verdicts

    async def _data(self) -> Verdict:
        train, held_out, older = self._rows[TRAIN], self._rows[NEW], self._rows[OLD]
        ids = [str(row.meta.id) for row in (*train, *held_out, *older) if row.meta.id]
        origins: Mapping[str, Origin] = await self._around.originate(ids)
        figures = await asyncio.to_thread(
            look_at,
            train,
            held_out,
            older,
            promised=self._manifest.counts.get(TRAIN, 0),
            redactor=self._roster,
            origins=origins,
            changed=await asyncio.to_thread(_changed, self._dataset, self._manifest),
        )
        return fit_to_train(figures, self._limits)

    def _run(self) -> Verdict:
        version = self._version
        losses: dict[str, float | None] = version.metrics.get("losses", {})
        rows: dict[str, Any] = version.metrics.get("rows", {})
        first, last = losses.get("held_out_before"), losses.get("held_out_after")
        if first is None or last is None:
            first, last = losses.get("first"), losses.get("last")
        left_out = sum(rows.get("left_out", {}).values())
        files = _METHOD_FILES.get(version.metrics.get("method", "sft"), (TRAIN, NEW))
        figures = RunFigures(
            first_loss=first,
            last_loss=last,
            trained_on=version.base_hash,
            in_use=self._around.base.hash,
            registered=version.adapter_hash,
            found=self._adapter_found,
            rows_given=sum(self._manifest.counts.get(name, 0) for name in files),
            rows_told_of=rows.get("trained", 0) + rows.get("held_out", 0) + left_out,
            rows_left_out=left_out,
        )
        return ran_well(figures, self._limits)

    async def _changes(self, measured: Measured) -> dict[str, Difference | None]:
        sets = (NEW, OLD, ANCHOR)
        rows = [row for name in sets for row in self._rows[name]]
        new, old = await measured.losses([self._version.id, self._against], rows)
        pairs = zip(rows, new, old, strict=True)
        paired = iter([_paired(row, mine, theirs) for row, mine, theirs in pairs])
        changes: dict[str, Difference | None] = {}
        for name in sets:
            known = [pair for _ in self._rows[name] if (pair := next(paired)) is not None]
            changes[name] = await asyncio.to_thread(difference, known) if known else None
        return changes

    async def _behaviour(self, measured: Measured) -> Verdict:
        asked = _spread(self._rows[NEW], HELD_OUT_QUESTIONS)
        if len(asked) < HELD_OUT_QUESTIONS // 3:
            asked = []
        suite = self._around.suite
        questions = [
            Question(messages=prompt.messages, temperature=temperature)
            for temperature in (0.0, _DRAWN)
            for prompt in suite
        ]
        # Drawn, as the replies they are compared with were: greedily, a model that knows twelve
        # ways to begin always takes one.
        questions += [Question(messages=_messages(row), temperature=_DRAWN) for row in asked]
        ids = [prompt.id for prompt in suite] * 2
        ids += [f"held-out {row.meta.id}" for row in asked]
        said = await measured.answers([self._version.id, self._against], questions)
        mine, theirs = (
            [Answer(name, one.text, one.cut) for name, one in zip(ids, answers, strict=True)]
            for answers in said
        )
        judge = Judge(
            suite,
            output_filter=self._around.output_filter,
            names_in=self._names_in,
            copies=await asyncio.to_thread(self._copies),
            given={
                name: "\n".join(message["content"] for message in question.messages)
                for name, question in zip(ids, questions, strict=True)
            },
        )
        count = len(suite) * 2
        return behaves(
            Said(suite=mine[:count], held_out=mine[count:]),
            Said(suite=theirs[:count], held_out=theirs[count:]),
            [row.response for row in asked],
            judge,
            self._limits,
        )

    def _copies(self) -> Copies:
        replies = (row.response for row in self._rows[TRAIN] if not row.meta.anchor)
        return Copies(replies, self._limits.copied_words, self._limits.common_rows)

    def _names_in(self, text: str) -> list[str]:
        found = self._roster.redact(text).findings
        return [text[name.start : name.end] for name in found if name.kind == "name"]

    async def _preferences(self) -> Preferences:
        path = self._registry.folder(self._version.id) / PREFERENCES
        return await asyncio.to_thread(read_preferences, path, self._against)


def _read_manifest(dataset: Path) -> _Manifest:
    try:
        data = (dataset / "manifest.json").read_bytes()
        return msgspec.json.decode(data, type=_Manifest)
    except FileNotFoundError:
        raise VersionError(
            f"the dataset {dataset.name} is not in {dataset.parent}: the gates need what a version "
            "was trained on, so restore the folder or train on a dataset"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise VersionError(f"the manifest of {dataset.name} cannot be read ({error})") from None


def _read_rows(path: Path) -> list[Row]:
    return load_rows(path, Row).rows if path.is_file() else []


def _changed(dataset: Path, manifest: _Manifest) -> list[str]:
    """The files whose content is no longer what the manifest says."""
    return [name for name, expected in manifest.sha256.items() if _hash(dataset / name) != expected]


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise VersionError(f"{path} cannot be read ({reason_of(error)}): check it") from error
    return digest.hexdigest()


def _paired(row: Row, new: RowLoss | None, old: RowLoss | None) -> PairedLoss | None:
    if new is None or old is None:
        return None
    # Rows of no session stand for themselves.
    return PairedLoss(row.meta.session or f"row {row.meta.id}", new.tokens, new.nats, old.nats)


def _messages(row: Row) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in row.given]


def _spread(rows: Sequence[Row], count: int) -> list[Row]:
    """Up to `count` of `rows`, spread evenly over them: neighbours are of one session."""
    if len(rows) <= count:
        return list(rows)
    chosen: Iterable[int] = (at * len(rows) // count for at in range(count))
    return [rows[at] for at in chosen]
