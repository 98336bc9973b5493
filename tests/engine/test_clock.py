from understudy.engine.clock import Clock, ScaledClock, SimulatedClock
from understudy.events import now_ms


def test_the_wall_clock_is_the_default() -> None:
    before = now_ms()
    assert before <= Clock().now() <= now_ms()
    assert Clock().real_seconds(1_500) == 1.5
    assert Clock().real_seconds(-1) == 0


def test_a_scaled_clock_starts_at_its_origin_and_only_goes_forwards() -> None:
    clock = ScaledClock(1_000_000, speed=10.0)
    first = clock.now()
    assert first >= 1_000_000
    assert clock.now() >= first
    assert clock.real_seconds(10_000) == 1.0
    assert clock.real_seconds(-10_000) == 0


def test_a_simulated_clock_moves_only_when_told_and_never_back() -> None:
    clock = SimulatedClock(500)
    assert clock.now() == 500
    clock.set(700)
    clock.set(600)
    assert clock.now() == 700
