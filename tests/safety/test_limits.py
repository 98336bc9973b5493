import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.safety.limits import RateLimiter, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_capacity_at_once_and_then_its_rate() -> None:
    clock = Clock()
    bucket = TokenBucket(2.0, 3.0, clock)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take() == pytest.approx(0.5)
    clock.now += 0.5
    assert bucket.take() == 0.0
    assert bucket.take(2.0) == pytest.approx(1.0)


def test_more_than_a_bucket_holds_is_never_granted() -> None:
    bucket = TokenBucket(1.0, 5.0, Clock())
    assert bucket.take(6.0) == math.inf
    assert bucket.take(5.0) == 0.0


def test_a_full_bucket_does_not_grow() -> None:
    clock = Clock()
    bucket = TokenBucket(10.0, 2.0, clock)
    clock.now += 3600
    assert [bucket.take() == 0.0 for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(("rate", "capacity"), [(0, 1), (-1, 1), (1, 0.5)])
def test_senseless_buckets_are_refused(rate: float, capacity: float) -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        TokenBucket(rate, capacity)


def test_keys_have_buckets_of_their_own_of_burst_times_ten_seconds() -> None:
    clock = Clock()
    limiter = RateLimiter(60, 2.0, clock=clock)
    assert limiter.capacity == pytest.approx(20)
    assert [limiter.take("a") for _ in range(20)] == [0.0] * 20
    assert limiter.take("a") == pytest.approx(1.0)
    assert limiter.take("b") == 0.0
    clock.now += 1.0
    assert limiter.take("a") == 0.0


def test_waiting_as_told_is_enough() -> None:
    clock = Clock()
    limiter = RateLimiter(7, 1.0, clock=clock)
    assert limiter.take("a") == 0.0
    for _ in range(50):
        wait = limiter.take("a")
        assert wait > 0
        clock.now += wait
        assert limiter.take("a") == 0.0


def test_a_slow_rate_still_lets_one_through() -> None:
    limiter = RateLimiter(1, 0.1, clock=Clock())
    assert limiter.capacity == pytest.approx(1)
    assert limiter.take("a") == 0.0
    assert limiter.take("a") == pytest.approx(60)


def test_the_least_recently_used_key_is_dropped() -> None:
    limiter = RateLimiter(6, 1.0, max_keys=2, clock=Clock())
    limiter.take("a")
    limiter.take("b")
    assert limiter.take("a") > 0
    limiter.take("c")
    assert len(limiter) == 2
    assert limiter.take("a") > 0
    assert limiter.take("b") == 0.0


def test_senseless_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        RateLimiter(0)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_no_window_lets_more_through_than_burst_and_rate(pauses: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(30, 1.0, clock=clock)
    begin, passed = clock.now, 0
    for pause in pauses:
        clock.now += pause
        passed += limiter.take("a") == 0.0
        assert passed <= limiter.capacity + (clock.now - begin) * 0.5 + 1e-3
