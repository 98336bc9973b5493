"""Versions, what the gates said of them and deployments, in SQLite and PostgreSQL."""

import asyncio
from typing import Any

import pytest

from understudy.storage.engine import Database
from understudy.storage.versions import (
    DeployedMeanwhile,
    Deployment,
    Evaluation,
    ModelVersion,
    ModelVersions,
)


def version(name: str, **fields: Any) -> ModelVersion:
    channel = name.partition("@")[0]
    return ModelVersion(
        **{"id": name, "channel": channel, "base": "tiny", "base_hash": "b", "created": 1, **fields}
    )


def deployed(name: str, **fields: Any) -> Deployment:
    given = {"channel": "ada", "reason": "it is better", "actor": "olga", "ts": 5, **fields}
    return Deployment(version=name, **given)


async def test_a_version_is_registered_once(any_database: Database) -> None:
    versions = ModelVersions(any_database)
    first = version(
        "ada@1", run="r1", adapter_hash="a", metrics={"loss": 0.5, "rows": [1]}, parent="base"
    )
    assert await versions.add(first)
    assert not await versions.add(version("ada@1", run="another"))
    assert await versions.get("ada@1") == first
    assert await versions.get("ada@2") is None
    assert await versions.of_run("r1", "a") == first
    assert await versions.of_run("r1", "b") is None
    assert await versions.of_run("another") is None


async def test_versions_are_listed_oldest_first(any_database: Database) -> None:
    versions = ModelVersions(any_database)
    for name, created in [("ada@2", 20), ("all@1", 5), ("ada@1", 10)]:
        await versions.add(version(name, created=created))
    assert [v.id for v in await versions.list()] == ["all@1", "ada@1", "ada@2"]
    assert [v.id for v in await versions.list("ada")] == ["ada@1", "ada@2"]


async def test_text_no_database_takes_is_stored_all_the_same(any_database: Database) -> None:
    versions = ModelVersions(any_database)
    await versions.add(version("ada@1", channel="a\x00da", reason="\ud800"))
    assert [v.reason for v in await versions.list("a\x00da")] == ["\ufffd"]


async def test_what_a_gate_said_last_counts(any_database: Database) -> None:
    versions = ModelVersions(any_database)
    assert await versions.newest_evaluation("ada@1") == []
    await versions.add_evaluation([])
    old = Evaluation(version="ada@1", gate="G0", passed=False, sentence="no", ts=1)
    new = [
        Evaluation(
            version="ada@1", against="base", gate=gate, passed=True, figures={"loss": 1.5}, ts=2
        )
        for gate in ("G0", "G1", "G2")
    ]
    await versions.add_evaluation([old])
    await versions.add_evaluation(new)
    await versions.add_evaluation([Evaluation(version="ada@2", gate="G0", passed=True, ts=3)])
    assert await versions.newest_evaluation("ada@1") == new
    later = Evaluation(version="ada@1", gate="G6", passed=True, ts=9)
    await versions.add_evaluation([later])
    assert await versions.newest_evaluation("ada@1") == [*new, later]


async def test_a_deployment_sets_the_states(any_database: Database) -> None:
    versions = ModelVersions(any_database)
    await versions.add(version("ada@1"))
    await versions.add(version("ada@2"))
    assert await versions.newest_deployment() == 0
    first = await versions.deploy(deployed("ada@1"), [("ada@1", "live", "")], after=0)
    states = [("ada@1", "retired", "it was replaced"), ("ada@2", "live", "")]
    second = await versions.deploy(deployed("ada@2", before="ada@1"), states, after=first.id)
    assert await versions.deployments("ada") == [first, second]
    assert await versions.deployments("bob") == []
    assert await versions.newest_deployment() == second.id > first.id
    assert [(v.state, v.reason) for v in await versions.list()] == [
        ("retired", "it was replaced"),
        ("live", ""),
    ]


async def test_of_two_who_deploy_at_once_one_is_refused(any_database: Database) -> None:
    versions = ModelVersions(any_database)
    for name in ("ada@1", "ada@2", "ada@3"):
        await versions.add(version(name))
    done = await asyncio.gather(
        *(
            versions.deploy(deployed(name), [(name, "live", "")], after=0)
            for name in ("ada@1", "ada@2", "ada@3")
        ),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in done].count(DeployedMeanwhile) == 2
    (kept,) = await versions.deployments()
    # Nothing of the refused ones is left.
    assert [v.id for v in await versions.list() if v.state == "live"] == [kept.version]
    with pytest.raises(DeployedMeanwhile, match="in the meantime: look at it"):
        await versions.deploy(deployed("ada@2"), [], after=0)
