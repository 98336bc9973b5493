"""The bounds hold at all times, and decisions are right as often as they must be."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.learning.rollout.comparison import CanaryLimits, Comparison, Judgement, liking_of
from understudy.learning.rollout.confidence import MeanOverTime
from understudy.storage.outcomes import Outcome

NEW, LIVE = "all@2", "all@1"


def outcome(version: str, rating: float | None = None, **fields: object) -> Outcome:
    return Outcome(**{"id": "x", "ts": 1, "version": version, "rating": rating, **fields})


def fed(outcomes: Iterable[Outcome], **limits: float) -> Comparison:
    comparison = Comparison(NEW, LIVE, CanaryLimits(**limits))
    for each in outcomes:
        comparison.observe(each)
    return comparison


# --- the bounds


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_bounds_only_close_in(values: list[float]) -> None:
    mean = MeanOverTime(0.05)
    before = (0.0, 1.0)
    for value in values:
        mean.add(value)
        assert mean.lower >= before[0]
        assert mean.upper <= before[1]
        before = (mean.lower, mean.upper)
    assert mean.mean == pytest.approx(sum(values) / len(values))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_value_outside_of_its_bounds_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        MeanOverTime(0.05).add(value)


@pytest.mark.parametrize("truth", [0.05, 0.3, 0.5, 0.9])
def test_the_truth_is_seldom_ever_outside(truth: float) -> None:
    missed = 0
    for seed in range(200):
        chance, mean = random.Random(f"{truth}{seed}"), MeanOverTime(0.1)
        for _ in range(300):
            mean.add(float(chance.random() < truth))
        # Bounds only close in, so the last ones tell whether they ever missed it.
        missed += not mean.lower <= truth <= mean.upper
    # 10 % are allowed; an ordinary 90 % interval, looked at 300 times, misses in about 60 %.
    assert missed <= 20


def test_bounds_become_narrow() -> None:
    chance, mean = random.Random(1), MeanOverTime(0.05)
    for _ in range(2_000):
        mean.add(float(chance.random() < 0.7))
    assert mean.upper - mean.lower < 0.12


# --- decisions


def stream(seed: int, new: float, live: float, count: int = 400) -> Iterable[Outcome]:
    """Judged replies, one in five by the canary, liked with the chances `new` and `live`."""
    chance = random.Random(seed)
    for _ in range(count):
        version, liked = (NEW, new) if chance.random() < 0.2 else (LIVE, live)
        yield outcome(version, 1.0 if chance.random() < liked else -1.0)


def decision(outcomes: Iterable[Outcome], **limits: float) -> Judgement:
    """What happens when one looks after every reply and acts at once."""
    comparison = fed((), **limits)
    judgement = comparison.judgement()
    for each in outcomes:
        comparison.observe(each)
        judgement = comparison.judgement()
        if judgement.action != "wait":
            break
    return judgement


def test_equal_versions_are_seldom_called_surely_different() -> None:
    sure = sum(
        "surely" in decision(stream(seed, 0.6, 0.6), replies=60).reason for seed in range(120)
    )
    assert sure <= 6


def test_a_much_worse_version_is_taken_back_before_its_time() -> None:
    found = [decision(stream(seed, 0.1, 0.9, 2_000)) for seed in range(20)]
    assert {judgement.action for judgement in found} == {"roll_back"}
    assert all("surely worse" in judgement.reason for judgement in found)
    assert all(judgement.figures["canary"]["replies"] < 200 for judgement in found)


def test_a_better_version_is_promoted_when_there_is_enough() -> None:
    found = [decision(stream(seed, 0.9, 0.5, 2_000)) for seed in range(10)]
    assert {judgement.action for judgement in found} == {"promote"}
    assert all(judgement.figures["canary"]["replies"] == 200 for judgement in found)


def replies(version: str, count: int, rating: float | None = None) -> list[Outcome]:
    return [outcome(version, rating)] * count


def test_it_is_decided_after_enough_replies_or_one_stream() -> None:
    some = [*replies(NEW, 40, 1.0), *replies(LIVE, 40, 1.0)]
    assert fed(some).judgement().action == "wait"
    over = fed(some).judgement(stream_over=True)
    assert (over.action, over.unsafe) == ("promote", False)
    assert over.reason == (
        "it was received with 1.00 (40 judged of 40), all@1 with 1.00 (40 of 40): not worse"
    )
    few = [*replies(NEW, 29, 1.0), *replies(LIVE, 40, 1.0)]
    assert fed(few).judgement(stream_over=True).action == "wait"


def test_likely_worse_is_taken_back_at_the_end() -> None:
    mixed = [*replies(NEW, 110, 1.0), *replies(NEW, 90, -1.0)]
    live = [*replies(LIVE, 14, 1.0), *replies(LIVE, 6, -1.0)]
    judgement = fed([*mixed, *live]).judgement()
    assert judgement.action == "roll_back"
    assert judgement.reason.endswith(": likely worse")
    assert fed([*mixed, *live], margin=0.2).judgement().action == "promote"


def test_where_nobody_judges_it_waits_and_then_promotes() -> None:
    unjudged = [*replies(NEW, 500), *replies(LIVE, 500, 1.0)]
    assert fed(unjudged).judgement().reason.endswith("too few were judged")
    judgement = fed([*unjudged, *replies(NEW, 500)]).judgement()
    assert (judgement.action, judgement.reason.rpartition(": ")[2]) == (
        ("promote", "nobody objected")
    )


# --- danger


def test_one_unsafe_reply_stops_a_canary_at_once() -> None:
    comparison = fed([*replies(NEW, 3, 1.0), *replies(LIVE, 9, 1.0)])
    comparison.remember(2_000, 1)
    assert comparison.judgement().action == "wait"
    comparison.observe(outcome(NEW, 1.0, unsafe=True))
    judgement = comparison.judgement()
    assert (judgement.action, judgement.unsafe) == ("roll_back", True)
    assert judgement.reason == (
        "1 of its 4 replies were marked unsafe or cut by the output filter, of all@1's 1 of 2009"
    )


def test_without_a_past_any_unsafe_reply_stops_it() -> None:
    assert fed([outcome(NEW, unsafe=True)]).judgement().unsafe


def test_a_canary_no_worse_than_live_goes_on() -> None:
    live = [outcome(LIVE, unsafe=n % 10 == 0) for n in range(200)]
    canary = [outcome(NEW, unsafe=n % 10 == 0) for n in range(40)]
    assert not fed([*live, *canary]).judgement().unsafe
    canary = [outcome(NEW, unsafe=n % 4 == 0) for n in range(40)]
    assert fed([*live, *canary]).judgement().unsafe


# --- outcomes


def test_how_replies_were_received() -> None:
    assert liking_of(outcome(NEW)) is None
    assert liking_of(outcome(NEW, 5.0, reward=-9.0)) == 1.0
    assert liking_of(outcome(NEW, -0.5)) == 0.0
    assert liking_of(outcome(NEW, 1.0, unsafe=True)) == 0.0
    assert liking_of(outcome(NEW, reward=0.0)) == 0.5
    assert liking_of(outcome(NEW, reward=1e9)) == pytest.approx(1.0)
    assert liking_of(outcome(NEW, reward=float("nan"))) is None


def test_replies_of_others_do_not_count() -> None:
    found = fed([outcome("all@7", 1.0), outcome("", 1.0)]).judgement()
    assert found.figures["canary"]["replies"] == found.figures["live"]["replies"] == 0
