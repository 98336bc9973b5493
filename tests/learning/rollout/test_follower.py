"""What is deployed becomes what answers, within one look and without a gap."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from tests.learning.rollout.conftest import Served
from tests.waiting import until
from understudy.learning.rollout.choice import VersionChoice
from understudy.learning.rollout.follower import (
    CHECK_SECONDS,
    RETRY_SECONDS,
    DeploymentFollower,
)
from understudy.learning.versions.deploying import Deploying
from understudy.learning.versions.registry import Registry

LINGER = 100.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def choice() -> VersionChoice:
    return VersionChoice()


@pytest.fixture
async def follower(
    registry: Registry, served: Served, choice: VersionChoice, clock: Clock
) -> AsyncIterator[DeploymentFollower]:
    made = DeploymentFollower(
        registry, served, choice, poll_seconds=0.01, linger_seconds=LINGER, clock=clock
    )
    yield made
    await made.close()


async def test_a_promoted_version_is_loaded_and_chosen(
    deploying: Deploying, follower: DeploymentFollower, served: Served, choice: VersionChoice
) -> None:
    await follower.look()
    assert choice.choose("ada", "bob") == ""
    await deploying.promote("all@1", actor="o")
    await follower.look()
    assert choice.choose("ada", "bob") == "all@1"
    assert (served.loaded, served.default) == (["base", "all@1"], "all@1")


async def test_the_way_back_is_loaded_and_taken_in_one_look(
    deploying: Deploying, follower: DeploymentFollower, served: Served, choice: VersionChoice
) -> None:
    for version in ("all@1", "all@2"):
        await deploying.promote(version, actor="o")
        await follower.look()
    assert served.loaded == ["base", "all@1", "all@2"]
    served.broken |= {"all@1", "all@2"}
    await deploying.roll_back(actor="o", reason="rude")
    await follower.look()
    assert choice.choose("ada", "bob") == "all@1"
    assert served.default == "all@1"
    assert follower.problems == []


async def test_a_canary_needs_both_versions(
    deploying: Deploying, follower: DeploymentFollower, served: Served, choice: VersionChoice
) -> None:
    await deploying.promote("all@1", actor="o")
    await deploying.canary("all@2", actor="o", share=0.5)
    await follower.look()
    chosen = {choice.choose("ada", f"viewer{n}") for n in range(50)}
    assert chosen == {"all@1", "all@2"}
    assert served.default == "all@1"


async def test_a_version_that_cannot_be_loaded_is_not_chosen_and_tried_again(
    deploying: Deploying,
    follower: DeploymentFollower,
    served: Served,
    choice: VersionChoice,
    clock: Clock,
) -> None:
    await deploying.promote("all@1", actor="o")
    await follower.look()
    served.broken.add("all@2")
    await deploying.promote("all@2", actor="o")
    await follower.look()
    assert choice.choose("ada", "bob") == "all@1"
    assert follower.problems == ["version all@2 does not answer: version all@2 does not fit"]
    served.broken.clear()
    await follower.look()
    assert choice.choose("ada", "bob") == "all@1"
    clock.now += RETRY_SECONDS
    await follower.look()
    assert choice.choose("ada", "bob") == "all@2"
    assert follower.problems == []


async def test_a_server_that_began_anew_is_given_its_versions_again(
    deploying: Deploying, follower: DeploymentFollower, served: Served, clock: Clock
) -> None:
    for version in ("all@1", "all@2"):
        await deploying.promote(version, actor="o")
    await follower.look()
    served.loaded = ["base"]
    clock.now += CHECK_SECONDS
    await follower.look()
    assert sorted(served.loaded) == ["all@1", "all@2", "base"]
    # What cannot be loaded is not missed every few seconds.
    served.loaded.remove("all@1")
    served.broken = {"all@1"}
    clock.now += CHECK_SECONDS
    await follower.look()
    assert [problem[:15] for problem in follower.problems] == ["version all@1 d"]
    served.broken = set()
    clock.now += CHECK_SECONDS
    await follower.look()
    assert "all@1" not in served.loaded


async def test_one_channel_does_not_hold_up_another(
    deploying: Deploying, follower: DeploymentFollower, served: Served, choice: VersionChoice
) -> None:
    served.broken.add("all@1")
    await deploying.promote("all@1", actor="o")
    await deploying.promote("ada@1", actor="o")
    await follower.look()
    assert choice.choose("ada", "bob") == "ada@1"
    assert choice.choose("eve", "bob") == ""
    assert len(follower.problems) == 1


async def test_without_its_way_back_a_version_answers_all_the_same(
    deploying: Deploying, follower: DeploymentFollower, served: Served, choice: VersionChoice
) -> None:
    await deploying.promote("all@1", actor="o")
    await deploying.promote("all@2", actor="o")
    served.broken.add("all@1")
    await follower.look()
    assert choice.choose("ada", "bob") == "all@2"
    assert len(follower.problems) == 1


async def test_what_nothing_needs_goes_after_a_while(
    deploying: Deploying, follower: DeploymentFollower, served: Served, clock: Clock
) -> None:
    for version in ("all@1", "all@2", "all@3"):
        await deploying.promote(version, actor="o")
        await follower.look()
    assert "all@1" in served.loaded
    clock.now += LINGER - 1
    await follower.look()
    assert "all@1" in served.loaded
    clock.now += 1
    await follower.look()
    await until(lambda: served.loaded == ["base", "all@2", "all@3"])
    # Needed again, it comes again.
    await deploying.roll_back(actor="o", reason="r")
    await deploying.roll_back(actor="o", reason="r")
    await follower.look()
    assert "all@1" in served.loaded


async def test_what_is_needed_again_stays(
    deploying: Deploying, follower: DeploymentFollower, served: Served, clock: Clock
) -> None:
    for version in ("all@1", "all@2", "all@3"):
        await deploying.promote(version, actor="o")
        await follower.look()
    clock.now += LINGER - 1
    await deploying.promote("all@1", actor="o")
    await follower.look()
    clock.now += LINGER
    await follower.look()
    await asyncio.sleep(0)
    assert "all@1" in served.loaded


async def test_it_follows_by_itself(
    deploying: Deploying, follower: DeploymentFollower, choice: VersionChoice
) -> None:
    def chosen(version: str) -> Callable[[], bool]:
        return lambda: choice.choose("ada", "bob") == version

    follower.start()
    await deploying.promote("all@1", actor="o")
    await until(chosen("all@1"))
    await deploying.promote("all@2", actor="o")
    await until(chosen("all@2"))
    await deploying.roll_back(actor="o", reason="r")
    await until(chosen("all@1"))
