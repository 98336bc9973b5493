"""Who is answered by which version."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.rollout.choice import VersionChoice, is_drawn
from understudy.storage.versions import Deployment


def deployed(version: str, **fields: object) -> Deployment:
    return Deployment(**{"version": version, "reason": "r", "actor": "a", "ts": 1, **fields})


def choice(*rows: Deployment) -> VersionChoice:
    chosen = VersionChoice()
    chosen.put(rows)
    return chosen


def test_without_deployments_no_version_is_asked_for() -> None:
    assert choice().choose("ada", "bob") == ""
    assert choice(deployed("bob@1", channel="bob")).choose("ada", "bob") == ""


def test_a_channel_has_its_own_version_or_that_of_all() -> None:
    chosen = choice(deployed("all@1"), deployed("ada@1", channel="ada"))
    assert chosen.choose("ada", "bob") == "ada@1"
    assert chosen.choose("eve", "bob") == "all@1"
    chosen.put([deployed("base", channel="ada")])
    assert chosen.choose("ada", "bob") == "all@1"
    chosen.put([deployed("base")])
    assert chosen.choose("ada", "bob") == "base"
    assert chosen.deployment("ada") == deployed("base", channel="ada")


def test_a_canary_gets_about_its_share() -> None:
    chosen = choice(deployed("all@2", before="all@1", share=0.1, id=5))
    counts = Counter(chosen.choose("ada", f"viewer{n}") for n in range(5_000))
    assert set(counts) == {"all@1", "all@2"}
    assert 400 < counts["all@2"] < 600
    assert chosen.choose("ada", "") == "all@1"


@given(st.text(max_size=8), st.text(min_size=1, max_size=8), st.floats(0.01, 0.99))
def test_the_draw_is_sticky(channel: str, asker: str, share: float) -> None:
    row = deployed("all@2", before="all@1", share=share, id=7)
    first = choice(row).choose(channel, asker)
    assert all(choice(row).choose(channel, asker) == first for _ in range(3))


@given(st.text(min_size=1, max_size=8))
def test_who_is_in_a_small_canary_is_in_a_larger_one(asker: str) -> None:
    small, large = (deployed("all@2", share=share, id=7) for share in (0.2, 0.6))
    assert not is_drawn(small, "ada", asker) or is_drawn(large, "ada", asker)


def test_another_canary_draws_others() -> None:
    one, two = (deployed("all@2", share=0.5, id=number) for number in (1, 2))
    askers = [f"viewer{n}" for n in range(400)]
    both = sum(is_drawn(one, "ada", a) and is_drawn(two, "ada", a) for a in askers)
    assert 60 < both < 140
