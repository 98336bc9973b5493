"""Trained versions of models, what the gates said of them, and which is deployed where.

Owns the tables `model_version`, `evaluation` and `deployment`. Does not own the files of a version
nor who may deploy what (`learning`).

Evaluations and deployments are append-only. The last deployment of a channel is the one that
counts; the channel with the empty name stands for all that have none of their own.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import RowMapping, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from understudy.storage.engine import Database
from understudy.storage.errors import StorageError
from understudy.storage.rows import BASE
from understudy.storage.tables import deployment, evaluation, model_version
from understudy.storage.upsert import insert as upsert
from understudy.storage.upsert import storable

VersionState = Literal["candidate", "canary", "live", "retired", "blocked"]


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A trained version; `id` is `<channel or all>@<number>`, times are ms since the epoch.

    `base` names the model it was trained on and `base_hash` identifies it; `parent` is the version
    that was gone on from (empty: the base), `dataset` and `run` are the names of the folders it
    came from. `metrics` is anything JSON can hold. `channel` is empty when it is for all channels.
    """

    id: str
    channel: str = ""
    parent: str = ""
    base: str
    base_hash: str
    adapter_hash: str = ""
    provider: str = "huggingface"
    dataset: str = ""
    run: str = ""
    state: VersionState = "candidate"
    reason: str = ""
    metrics: dict[str, Any] = {}
    created: int


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What one gate said of `version`, compared with `against`; one evaluation shares a `ts`."""

    version: str
    against: str = ""
    gate: str
    passed: bool
    sentence: str = ""
    figures: dict[str, Any] = {}
    ts: int


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Who was given which version and why. A `share` below 1 is a canary beside `before`."""

    id: int = 0
    channel: str = ""
    version: str
    before: str = BASE
    share: float = 1.0
    reason: str
    actor: str
    ts: int


class DeployedMeanwhile(StorageError):
    """Somebody else deployed to the channel since one looked; the message is one sentence."""


class ModelVersions:
    """Registers, judges and deploys versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, version: ModelVersion) -> bool:
        """Register a version; False when its id is taken."""
        values = msgspec.structs.asdict(version) | {"metrics": _json(version.metrics)}
        statement = upsert(self._database.dialect, model_version).values(_storable(values))
        statement = statement.on_conflict_do_nothing().returning(model_version.c.id)
        async with self._database.write() as connection:
            return (await connection.execute(statement)).one_or_none() is not None

    async def get(self, version: str) -> ModelVersion | None:
        """The version with this id, or None."""
        statement = select(model_version).where(model_version.c.id == storable(version))
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return None if row is None else _version(row)

    async def of_run(self, run: str, adapter_hash: str = "") -> ModelVersion | None:
        """The version of this adapter that was registered from the run of this name, or None."""
        statement = select(model_version).where(
            model_version.c.run == storable(run), model_version.c.adapter_hash == adapter_hash
        )
        async with self._database.read() as connection:
            row = (await connection.execute(statement.limit(1))).mappings().one_or_none()
        return None if row is None else _version(row)

    async def list(self, channel: str | None = None) -> Sequence[ModelVersion]:
        """All versions, of one channel when given, oldest first."""
        statement = select(model_version).order_by(model_version.c.created, model_version.c.id)
        if channel is not None:
            statement = statement.where(model_version.c.channel == storable(channel))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [_version(row) for row in rows]

    async def set_state(self, version: str, state: VersionState, reason: str) -> None:
        """Note the state of a version and why it is in it."""
        async with self._database.write() as connection:
            await _set_state(connection, version, state, reason)

    async def add_evaluation(self, rows: Sequence[Evaluation]) -> None:
        """Store what the gates said, all of it or nothing."""
        values = [
            _storable(msgspec.structs.asdict(row) | {"figures": _json(row.figures)}) for row in rows
        ]
        if values:
            async with self._database.write() as connection:
                await connection.execute(insert(evaluation), values)

    async def newest_evaluation(self, version: str) -> Sequence[Evaluation]:
        """What each gate said of `version` the last time, in order of the gates."""
        mine = evaluation.c.version == storable(version)
        newest = select(func.max(evaluation.c.id)).where(mine).group_by(evaluation.c.gate)
        statement = select(evaluation).where(evaluation.c.id.in_(newest))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(evaluation.c.gate))).all()
        return [
            Evaluation(
                version=row.version,
                against=row.against,
                gate=row.gate,
                passed=row.passed,
                sentence=row.sentence,
                figures=msgspec.json.decode(row.figures),
                ts=row.ts,
            )
            for row in rows
        ]

    async def deployments(self, channel: str | None = None) -> Sequence[Deployment]:
        """All deployments, of one channel when given, oldest first."""
        statement = select(deployment).order_by(deployment.c.id)
        if channel is not None:
            statement = statement.where(deployment.c.channel == storable(channel))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return [Deployment(**row) for row in rows]

    async def newest_deployment(self) -> int:
        """The id of the last deployment anywhere; 0 when there is none. Cheap enough to poll."""
        async with self._database.read() as connection:
            return await connection.scalar(select(func.max(deployment.c.id))) or 0

    async def deploy(
        self,
        row: Deployment,
        states: Sequence[tuple[str, VersionState, str]],
        *,
        after: int,
    ) -> Deployment:
        """Append `row` and set the `states` (version, state, reason), all of it or nothing.

        `after` is the id of the channel's last deployment as the caller knows it, 0 for none;
        raises `DeployedMeanwhile` when there is a newer one.
        """
        values = msgspec.structs.asdict(row)
        del values["id"]
        async with self._database.write() as connection:
            await _take_turn(connection, row.channel)
            newest = select(func.max(deployment.c.id))
            newest = newest.where(deployment.c.channel == storable(row.channel))
            if (await connection.scalar(newest) or 0) != after:
                raise DeployedMeanwhile(
                    f"another version was deployed to {row.channel or 'all channels'} in the "
                    "meantime: look at it and try again"
                )
            for version, state, reason in states:
                await _set_state(connection, version, state, reason)
            statement = insert(deployment).values(_storable(values)).returning(deployment.c.id)
            number = (await connection.execute(statement)).scalar_one()
        return msgspec.structs.replace(row, id=number)


async def _take_turn(connection: AsyncConnection, channel: str) -> None:
    """Wait for others who deploy to `channel`: a lock on its versions (SQLite has one writer)."""
    mine = model_version.c.channel == storable(channel)
    await connection.execute(select(model_version.c.id).where(mine).with_for_update())


async def _set_state(
    connection: AsyncConnection, version: str, state: VersionState, reason: str
) -> None:
    statement = update(model_version).where(model_version.c.id == storable(version))
    await connection.execute(statement.values(state=state, reason=storable(reason)))


def _storable(values: dict[str, Any]) -> dict[str, Any]:
    return {name: storable(v) if isinstance(v, str) else v for name, v in values.items()}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _version(row: RowMapping) -> ModelVersion:
    return ModelVersion(**{**row, "metrics": msgspec.json.decode(row["metrics"])})
