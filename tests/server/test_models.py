"""Trained versions over HTTP: who may see them, deploy them and take them back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.wire import PATIENT, SECRET, assert_problem, bearer
from tests.serving import Running, running, settings_for
from understudy.brains.huggingface.adapters import CONFIG, WEIGHTS
from understudy.learning.gates.verdict import HARD_GATES
from understudy.storage.versions import Evaluation, ModelVersion, ModelVersions

OWNER, MODERATOR, VIEWER = bearer("olga", "owner"), bearer("mo", "moderator"), bearer("ana")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    """With all@1, which passed the gates, and all@2, which did not."""
    settings = settings_for(tmp_path, auth__required=True, auth__secret=SECRET, **PATIENT)
    async with running(settings) as server:
        versions = ModelVersions(server.application.services.database)
        for number, failing in ((1, ""), (2, "G4")):
            name = f"all@{number}"
            row = ModelVersion(id=name, base="tiny", base_hash="b", created=number)
            await versions.add(row)
            folder = tmp_path / "models" / name / "adapter"
            folder.mkdir(parents=True)
            for file in (CONFIG, WEIGHTS):
                (folder / file).touch()
            gates = [
                Evaluation(
                    version=name,
                    gate=gate,
                    passed=gate != failing,
                    sentence=f"about {gate}",
                    figures={"loss": 0.5},
                    ts=1,
                )
                for gate in sorted(HARD_GATES)
            ]
            await versions.add_evaluation(gates)
        yield server


async def post(
    server: Running, path: str, body: dict[str, Any] | None = None, who: dict[str, str] = OWNER
) -> Any:
    return await server.http.post(f"/api/v1/models/{path}", json=body or {}, headers=who)


async def get(server: Running, path: str, who: dict[str, str] = MODERATOR) -> Any:
    return await server.http.get(f"/api/v1/{path}", headers=who)


async def test_versions_are_listed_and_shown(server: Running) -> None:
    listed = (await get(server, "models")).json()["models"]
    assert [(row["id"], row["state"]) for row in listed] == [
        ("all@1", "candidate"),
        ("all@2", "candidate"),
    ]
    assert (await get(server, "models?channel=ada")).json() == {"models": []}
    shown = (await get(server, "models/all@2")).json()
    assert [(row["gate"], row["passed"]) for row in shown["evaluation"]][-1] == ("G4", False)
    assert shown["evaluation"][0]["figures"] == {"loss": 0.5}
    assert_problem(await get(server, "models/all@9"), 404, "there is no version all@9")


async def test_from_canary_to_live_and_back(server: Running) -> None:
    tried = (await post(server, "all@1/canary", {"share": 0.25})).json()["deployment"]
    assert (tried["version"], tried["share"], tried["actor"]) == ("all@1", 0.25, "olga")
    live = (await post(server, "all@1/promote", {"reason": "funny"})).json()["deployment"]
    assert (live["share"], live["reason"]) == (1.0, "funny")
    back = await post(server, "rollback", {"reason": "too loud"}, MODERATOR)
    assert back.json()["deployment"]["version"] == "base"
    rows = (await get(server, "deployments")).json()["deployments"]
    assert [row["version"] for row in rows] == ["all@1", "all@1", "base"]
    assert (await get(server, "deployments?channel=ada")).json() == {"deployments": []}
    shown = (await get(server, "models/all@1")).json()
    assert (shown["state"], len(shown["deployments"])) == ("retired", 3)
    assert_problem(await post(server, "rollback"), 409, "there is nothing to take back")


async def test_what_failed_needs_an_override_with_a_reason(server: Running) -> None:
    assert_problem(await post(server, "all@2/promote"), 409, "did not pass (G4 about G4)")
    assert_problem(
        await post(server, "all@2/promote", {"override": True}), 409, "needs the owner's name"
    )
    body = {"override": True, "reason": "the prompt was wrong"}
    done = (await post(server, "all@2/promote", body)).json()["deployment"]
    assert done["reason"] == "overridden by olga: the prompt was wrong"


@pytest.mark.parametrize(
    ("body", "path"),
    [({"share": 0}, "all@1/canary"), ({"share": 1}, "all@1/canary"), ({"reason": 1}, "rollback")],
)
async def test_bad_bodies(server: Running, body: dict[str, Any], path: str) -> None:
    assert_problem(await post(server, path, body), 422)


async def test_who_may_do_what(server: Running) -> None:
    for path in ("models", "models/all@1", "deployments"):
        assert_problem(await get(server, path, VIEWER), 403, "moderator")
    assert_problem(await post(server, "rollback", {}, VIEWER), 403, "moderator")
    for path in ("all@1/promote", "all@1/canary"):
        assert_problem(await post(server, path, {}, MODERATOR), 403, "owner")
        assert_problem(await server.http.post(f"/api/v1/models/{path}", json={}), 401)
    assert_problem(await post(server, "all@9/promote"), 404, "there is no version")
