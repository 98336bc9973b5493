import msgspec
import pytest

from understudy.learning.judgements import EDIT_WEIGHT, Judgement, judgement_of
from understudy.storage.rows import FeedbackRow


def said(ts: int, kind: str, value: float = 1.0, **changes: object) -> FeedbackRow:
    fields: dict = {"id": f"f{ts}", "experience": "e", "by": f"mod{ts}", "source": "moderator"}
    return FeedbackRow(ts=ts, kind=kind, value=value, **{**fields, **changes})


def ranking(*replies: str) -> str:
    return msgspec.json.encode(list(replies)).decode()


def test_nothing_said() -> None:
    judged = judgement_of([])
    assert (judged.rating, judged.weight, judged.label) == (0, 1.0, None)
    assert judged.pairs("hello") == []


def test_thumbs_add_up_by_their_weights() -> None:
    judged = judgement_of([said(1, "thumb", 1, weight=5.0), said(2, "thumbs", -1), said(3, "note")])
    assert (judged.rating, judged.weight, judged.label) == (4.0, 2.0, True)
    disliked = judgement_of([said(1, "thumb", -1)])
    assert (disliked.weight, disliked.label) == (0.0, False)


def test_a_correction_weighs_most_and_makes_a_pair() -> None:
    judged = judgement_of([said(1, "thumb", -1), said(2, "edit", text=" Hello! ")])
    assert (judged.correction, judged.corrected, judged.weight) == ("Hello!", 2, EDIT_WEIGHT)
    assert judged.label is False
    assert judged.pairs(" Go away. ") == [("Hello!", "Go away.")]
    assert judged.pairs("Hello!") == []


def test_the_best_of_a_ranking_is_set_against_the_others() -> None:
    judged = judgement_of([said(1, "rank", text=ranking("a", "b", " ", "a", "c"))])
    assert judged.pairs("x") == [("a", "b"), ("a", "c")]


@pytest.mark.parametrize("text", ["", "no json", '["one"]', '{"a": 1}', '["same", "same"]'])
def test_a_ranking_of_nothing_is_none(text: str) -> None:
    assert judgement_of([said(1, "rank", text=text)]).pairs("x") == []


def test_taken_back_is_as_if_never_said() -> None:
    edited = said(1, "edit", by="mod", text="Better.")
    assert judgement_of([edited, said(2, "edit", 0.0, by="mod")]) == Judgement()
    assert judgement_of([said(1, "safety", -1)]).blocked
