import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from understudy.mood.colour import STEPS, colour_of, name_of

MOODS = st.floats(-1, 1)


@pytest.mark.parametrize(("mood", "name", "colour"), STEPS)
def test_the_steps_have_the_colours_of_the_palette(mood: float, name: str, colour: str) -> None:
    assert (name_of(mood), colour_of(mood)) == (name, colour)


def test_moods_beyond_the_ends_look_like_the_ends() -> None:
    assert (colour_of(-7), colour_of(7)) == ("#d73337", "#6875f6")


def test_between_two_steps_the_colour_is_between() -> None:
    red, green, blue = (int(colour_of(-0.75)[at : at + 2], 16) for at in (1, 3, 5))
    assert 0xD0 <= red <= 0xE8
    assert 0x33 < green < 0x85
    assert 0x20 <= blue < 0x40


@settings(deadline=None)
@given(MOODS)
def test_every_mood_has_a_colour(mood: float) -> None:
    assert len(colour_of(mood)) == 7
    int(colour_of(mood)[1:], 16)
