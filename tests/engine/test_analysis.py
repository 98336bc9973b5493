import pytest

from understudy.engine.analysis import MAX_KEY_POINTS, read_analysis


def test_json_with_prose_around_it_is_read() -> None:
    answer = 'Sure! {"sentiment": "Positive", "key_points": ["a", "b"]} Anything else?'
    assert read_analysis(answer) == ("positive", ["a", "b"])


@pytest.mark.parametrize(
    ("answer", "sentiment", "points"),
    [
        ("Mostly negative.\n- slow\n* loud\n2) late", "negative", ["slow", "loud", "late"]),
        ("It is lovely. It is mixed.", "mixed", ["It is lovely.", "It is mixed."]),
        ('{"sentiment": 5}', "neutral", ['{"sentiment": 5}']),
        ("", "neutral", []),
        ('{"sentiment": "ecstatic", "key_points": []}', "neutral", []),
    ],
)
def test_prose_is_read_as_well_as_it_goes(answer: str, sentiment: str, points: list[str]) -> None:
    assert read_analysis(answer) == (sentiment, points)


def test_key_points_are_bounded_in_both_forms() -> None:
    listed = '{"sentiment": "positive", "key_points": ["a","b","c","d","e","f","g"]}'
    assert len(read_analysis(listed)[1]) == MAX_KEY_POINTS
    assert len(read_analysis("\n".join(f"- {n}" for n in range(9)))[1]) == MAX_KEY_POINTS
