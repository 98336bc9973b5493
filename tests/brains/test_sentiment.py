import pytest

from understudy.brains.scripted.sentiment import analyze, sentiment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I love this, it is great!", "positive"),
        ("This is not good at all", "negative"),
        ("It isn\u2019t bad", "positive"),
        ("Not now. Great stream!", "positive"),
        ("very slow, and it crashes", "negative"),
        ("<3 <3", "positive"),
        ("💔", "negative"),
        ("The stream starts at eight.", "neutral"),
        ("good but bad", "neutral"),
        ("", "neutral"),
    ],
)
def test_sentiment(text, expected):
    assert sentiment(text) == expected


def test_an_analysis_has_at_most_three_key_points():
    analysis = analyze("The sound is bad. The picture is fine. The chat is fun. Nobody knows why.")
    assert len(analysis.key_points) == 3
    assert analysis.key_points[0] == "The sound is bad."
