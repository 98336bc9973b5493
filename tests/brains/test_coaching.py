import pytest

from understudy.brains.scripted.coaching import Reading, read


@pytest.mark.parametrize(
    ("arguments", "message", "pool"),
    [
        ({"rate_bpm": "60"}, "", "coach_stop"),
        ({"rate_bpm": "16"}, "I feel dizzy", "coach_stop"),
        ({"rate_bpm": "38", "intensity": "low"}, "", "coach_slow"),
        ({"rate_bpm": "38", "intensity": "0.9"}, "", "coach_recover"),
        ({"rate_bpm": "30", "effort": "9"}, "", "coach_recover"),
        ({"rate_bpm": "12", "intensity": "0.2"}, "", "coach_push"),
        ({"intensity": "20%"}, "", "coach_push"),
        ({"rate_bpm": "22", "intensity": "0.3"}, "", "coach_steady"),
        ({"rate_bpm": "fast", "intensity": "?"}, "", "coach_steady"),
        ({"rate_bpm": "20", "intensity": "moderate"}, "", "coach_steady"),
        ({}, "", "coach_steady"),
    ],
)
def test_the_line_fits_breath_and_effort(arguments, message, pool):
    assert read(arguments, message).pool == pool


@pytest.mark.parametrize(
    ("text", "effort"),
    [("Very-High", 0.95), ("0.4", 0.4), ("4", 0.4), ("40", 0.4), ("5 %", 0.05), ("400", 1.0)],
)
def test_effort_is_read_from_words_and_numbers(text, effort):
    assert read({"effort": text, "intensity": "low"}, "") == Reading(rate=None, effort=effort)
