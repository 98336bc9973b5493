import pytest

from understudy.brains.scripted.facts import stream_facts


@pytest.mark.parametrize(
    ("prompt", "facts"),
    [
        ("You are kind.\nGame: Celeste", {"game": "Celeste"}),
        ("- today's game is: “Hades II”.", {"game": "Hades II"}),
        ("Today we are playing Hollow Knight, badly.", {"game": "Hollow Knight"}),
        ("Kai streams on Fridays at eight.", {"schedule": "on Fridays at eight"}),
        ("Schedule: Mon, Wed 20:00", {"schedule": "Mon, Wed 20:00"}),
        ("You are a co-host who streams on Twitch and likes playing games.", {}),
        ("You are playing a helpful assistant.", {}),
        ("Game: " + "x" * 100, {}),
        ("", {}),
    ],
)
def test_what_is_stated_is_known(prompt, facts):
    assert stream_facts(prompt) == facts
