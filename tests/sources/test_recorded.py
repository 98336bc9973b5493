"""What recorded lines may hold: times, texts, and ids for those without one."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from understudy.sources.recorded import LineError, StableIds, clean_text, parse_time


def test_the_memory_for_repeats_is_bounded_but_outlives_a_generation() -> None:
    stable = StableIds(generation=3)
    first = stable.of("chat", "c", 1, "u", "same")
    for number in range(3):
        stable.of("chat", "c", 1, "u", f"other {number}")
    assert stable.of("chat", "c", 1, "u", "same") != first
    for number in range(9):
        stable.of("chat", "c", 2, "u", f"other {number}")
    assert stable.of("chat", "c", 1, "u", "same") == first


@given(st.floats(0, 99_999_999), st.sampled_from([0, 3600]))
def test_seconds_and_iso_agree(seconds: float, offset: int) -> None:
    ms = parse_time(seconds)
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
    zone = timezone(timedelta(seconds=offset))
    assert parse_time(moment.astimezone(zone).isoformat()) == ms


@given(st.text(max_size=60))
def test_clean_text_leaves_nothing_unsafe(text: str) -> None:
    try:
        cleaned = clean_text(text)
    except LineError:
        assert "\0" in text or any("\ud800" <= char <= "\udfff" for char in text)
    else:
        assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in cleaned)
        assert clean_text(cleaned) == cleaned
