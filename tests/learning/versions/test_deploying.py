"""Who may deploy what, and what comes back when it is taken back."""

import shutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.learning.versions.conftest import BETTER, GOOD, SPOILT, World
from understudy.learning.gates.verdict import HARD_GATES
from understudy.learning.versions.deploying import Deploying, Override, live_versions
from understudy.learning.versions.errors import VersionError
from understudy.learning.versions.registry import Registry
from understudy.storage.rows import BASE
from understudy.storage.versions import Deployment, Evaluation


@pytest.fixture
async def deploying(registry: Registry, world: World) -> Deploying:
    """With the versions all@1 to all@3, of which the first two passed the gates."""
    for run in (GOOD, BETTER, SPOILT):
        await registry.register(world.run(run))
    for version in ("all@1", "all@2"):
        await judged(registry, version)
    return Deploying(registry)


async def judged(registry: Registry, version: str, failing: str = "", gates: Any = None) -> None:
    rows = [
        Evaluation(version=version, gate=g, passed=g != failing, sentence=f"about {g}", ts=1)
        for g in sorted(gates or HARD_GATES | {"G5"})
    ]
    await registry.versions.add_evaluation(rows)


async def states(registry: Registry) -> dict[str, str]:
    return {version.id: version.state for version in await registry.versions.list()}


async def test_a_version_that_passed_can_be_promoted(
    deploying: Deploying, registry: Registry
) -> None:
    row = await deploying.promote("all@1", actor="olga")
    assert (row.version, row.before, row.share) == ("all@1", "base", 1.0)
    assert (row.actor, row.reason) == ("olga", "it passed the gates")
    assert await states(registry) == {"all@1": "live", "all@2": "candidate", "all@3": "candidate"}
    second = await deploying.promote("all@2", actor="olga", reason="it is funnier")
    assert (second.before, second.reason) == ("all@1", "it is funnier")
    assert (await states(registry))["all@1"] == "retired"
    assert await registry.versions.deployments("") == [row, second]
    with pytest.raises(VersionError, match="is live already"):
        await deploying.promote("all@2", actor="olga")


async def test_what_was_not_evaluated_cannot(deploying: Deploying, registry: Registry) -> None:
    with pytest.raises(VersionError, match="was not evaluated: run understudy evaluate all@3"):
        await deploying.promote("all@3", actor="olga")
    await judged(registry, "all@3", gates={"G0", "G1"})
    with pytest.raises(VersionError, match="was not judged by G2, G3, G4"):
        await deploying.canary("all@3", actor="olga")


async def test_what_failed_needs_a_named_owner_and_a_reason(
    deploying: Deploying, registry: Registry
) -> None:
    await judged(registry, "all@3", failing="G3")
    with pytest.raises(VersionError, match=r"did not pass \(G3 about G3\): evaluate it again, or"):
        await deploying.promote("all@3", actor="olga")
    for override in (Override("", "because"), Override("olga", " ")):
        with pytest.raises(VersionError, match="needs the owner's name and a reason"):
            await deploying.promote("all@3", actor="olga", override=override)
    row = await deploying.promote(
        "all@3", actor="olga", override=Override("Olga", "old rows were wrong")
    )
    assert row.reason == "overridden by Olga: old rows were wrong"


async def test_the_soft_gate_blocks_nothing(deploying: Deploying, registry: Registry) -> None:
    await judged(registry, "all@3", failing="G5")
    await deploying.promote("all@3", actor="olga")


async def test_a_blocked_version_cannot(deploying: Deploying) -> None:
    await deploying.block("all@1", "it was rude")
    with pytest.raises(VersionError, match=r"is blocked \(it was rude\)"):
        await deploying.promote("all@1", actor="olga")


async def test_nothing_is_deployed_without_its_files(
    deploying: Deploying, registry: Registry
) -> None:
    (registry.folder("all@1") / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(VersionError, match="restore the folder"):
        await deploying.promote("all@1", actor="o", override=Override("o", "r"))


async def test_a_canary_leaves_the_live_version_live(
    deploying: Deploying, registry: Registry
) -> None:
    await deploying.promote("all@1", actor="olga")
    row = await deploying.canary("all@2", actor="", share=0.25)
    assert (row.version, row.before, row.share, row.actor) == (
        ("all@2", "all@1", 0.25, "understudy")
    )
    assert (await states(registry))["all@1"] == "live"
    assert (await states(registry))["all@2"] == "canary"
    for share in (0, 1, 1.5, -1):
        with pytest.raises(VersionError, match="is no canary"):
            await deploying.canary("all@2", actor="o", share=share)
    with pytest.raises(VersionError, match="is live already: try out another"):
        await deploying.canary("all@1", actor="o")


async def test_rolling_back_ends_a_canary_first(deploying: Deploying, registry: Registry) -> None:
    await deploying.promote("all@1", actor="olga")
    await deploying.canary("all@2", actor="olga")
    row = await deploying.roll_back(actor="olga", reason="it was rude", state="blocked")
    assert (row.version, row.before, row.share) == ("all@1", "all@2", 1.0)
    assert await states(registry) == {"all@1": "live", "all@2": "blocked", "all@3": "candidate"}
    last = await deploying.roll_back(actor="olga", reason="all of it")
    assert (last.version, last.before) == (BASE, "all@1")
    with pytest.raises(VersionError, match="nothing is deployed to all channels"):
        await deploying.roll_back(actor="olga", reason="more")


async def test_rolling_back_twice_goes_back_twice(deploying: Deploying) -> None:
    await deploying.promote("all@1", actor="o")
    await deploying.promote("all@2", actor="o")
    assert (await deploying.roll_back(actor="o", reason="r")).version == "all@1"
    assert (await deploying.roll_back(actor="o", reason="r")).version == BASE
    # What was taken back can be deployed again.
    assert (await deploying.promote("all@2", actor="o")).before == BASE


async def test_only_what_is_meant_is_taken_back(deploying: Deploying) -> None:
    await deploying.promote("all@1", actor="o")
    with pytest.raises(VersionError, match="all@2 is deployed no more"):
        await deploying.roll_back(actor="o", reason="r", only="all@2")


async def test_another_canary_takes_the_place(deploying: Deploying, registry: Registry) -> None:
    await deploying.canary("all@1", actor="o")
    await deploying.canary("all@2", actor="o")
    assert (await states(registry))["all@1"] == "candidate"
    await deploying.promote("all@1", actor="o")
    assert (await states(registry))["all@2"] == "retired"


async def test_a_channel_without_a_version_of_its_own_has_that_of_all(
    deploying: Deploying, registry: Registry, world: World
) -> None:
    await deploying.promote("all@1", actor="o")
    shutil.copytree(world.run(BETTER), world.run("for-ada"))
    mine = await registry.register(world.run("for-ada"), channel="ada")
    await judged(registry, mine.id)
    assert await deploying.current("ada") == "all@1"
    tried = await deploying.canary(mine.id, actor="o")
    assert (tried.channel, tried.before) == ("ada", "all@1")
    back = await deploying.roll_back("ada", actor="o", reason="r")
    # Not pinned: what comes for all channels comes to this one too.
    assert (back.version, back.before) == (BASE, "ada@1")
    assert await deploying.current("ada") == "all@1"
    await deploying.promote(mine.id, actor="o")
    assert await deploying.current("ada") == "ada@1"
    assert (await states(registry))["all@1"] == "live"


deeds = st.lists(
    st.tuples(st.sampled_from(["promote", "canary", "back"]), st.integers(1, 4)), max_size=30
)


@given(deeds)
def test_going_back_always_ends_at_the_base(done: list[tuple[str, int]]) -> None:
    history: list[Deployment] = []

    def add(version: str, share: float) -> None:
        history.append(Deployment(version=version, share=share, reason="r", actor="a", ts=1))

    for deed, number in done:
        stack = live_versions(history)
        assert stack[0] == BASE
        assert len(set(stack)) == len(stack)
        if history and history[-1].share == 1:
            assert stack[-1] == history[-1].version
        if deed != "back":
            add(f"all@{number}", 1.0 if deed == "promote" else 0.1)
        elif len(stack) > 1:
            add(stack[-2], 1.0)
    while (stack := live_versions(history))[1:]:
        add(stack[-2], 1.0)
    assert stack == [BASE]
