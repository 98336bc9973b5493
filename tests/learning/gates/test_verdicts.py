"""What the gates say about figures."""

from typing import Any

import msgspec
import pytest

from understudy.learning.gates.bootstrap import Difference
from understudy.learning.gates.data import DataFigures, Origin, fit_to_train, look_at
from understudy.learning.gates.limits import Limits
from understudy.learning.gates.losses import better, not_worse
from understudy.learning.gates.preference import Preferences, preferred, wilson
from understudy.learning.gates.run import RunFigures, ran_well
from understudy.learning.gates.verdict import passed, skipped, verdict
from understudy.learning.training.rows import Message, Row, RowMeta
from understudy.safety.pii import Redactor

LIMITS = Limits()
FIT = DataFigures(
    train=400,
    held_out=40,
    promised=400,
    personal=0,
    repeated=0,
    leaked=0,
    withdrawn=0,
    viewers=20,
    most_of_one=30,
    answered=300,
)
WELL = RunFigures(
    first_loss=3.0,
    last_loss=1.0,
    trained_on="b",
    in_use="b",
    registered="a",
    found="a",
    rows_given=400,
    rows_told_of=400,
    rows_left_out=0,
)


def change(old: float, new: float, upper: float, sessions: int = 10) -> Difference:
    return Difference(new, old, new - old, 2 * (new - old) - upper, upper, 100, 900, sessions)


def row(name: str, text: str = "hi", response: str = "Hello!", **meta: Any) -> Row:
    given = [Message("system", "You are with bob_b."), Message("user", text)]
    return Row(prompt=text, response=response, messages=given, meta=RowMeta(id=name, **meta))


# --- G0


def test_good_data_passes() -> None:
    said = fit_to_train(FIT, LIMITS)
    assert (said.gate, said.passed) == ("G0", True)
    assert said.sentence == "400 rows to train on and 40 held out, all of them fit"
    assert said.figures["most_of_one"] == 30


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"train": 299, "promised": 299}, "299 rows to train on, 300 are needed"),
        ({"held_out": 29}, "29 held-out rows, 30 are needed"),
        ({"promised": 401}, "400 rows to train on, 401 were promised"),
        ({"personal": 2}, "2 rows hold names or personal data"),
        ({"repeated": 5}, "5 rows repeat another"),
        ({"leaked": 1}, "1 held-out rows are trained on in another form"),
        ({"withdrawn": 3}, "3 rows were withdrawn"),
        ({"most_of_one": 31}, "one viewer has 31 of 300 new rows, 10% are allowed"),
        ({"changed": ("train.jsonl",)}, "train.jsonl changed after the dataset was made"),
    ],
)
def test_data_that_is_not_fit(wrong: dict[str, Any], why: str) -> None:
    said = fit_to_train(msgspec.structs.replace(FIT, **wrong), LIMITS)
    assert (said.passed, said.sentence) == (False, why)


def test_in_a_small_room_one_viewer_may_have_more() -> None:
    few = msgspec.structs.replace(FIT, viewers=4, most_of_one=150)
    assert fit_to_train(few, LIMITS).passed
    assert not fit_to_train(msgspec.structs.replace(few, most_of_one=151), LIMITS).passed
    alone = msgspec.structs.replace(FIT, viewers=1, most_of_one=300)
    assert fit_to_train(alone, LIMITS).passed


def test_the_figures_of_rows() -> None:
    train = [
        row("1", session="s1", group="g1"),
        row("2", session="s1", group="g1"),
        row("3", session="s2", text="mail me: bob@example.com"),
        row("4", session="s3", response="Ask carla_x!"),
        row("5", session="s4", old=True),
        row("6", group="g6", anchor=True),
    ]
    held_out = [row("7", session="s9", group="g6"), row("8", session="s1"), row("9", session="s8")]
    origins = {
        "1": Origin("ana", "auto"),
        "2": Origin("ana", "approved"),
        "3": Origin("ben", "rejected"),
        "5": Origin("cem", "auto"),
        "9": Origin("dan", "tombstoned"),
    }
    found = look_at(
        train,
        held_out,
        promised=6,
        redactor=Redactor([("carla_x", "Carla_X"), ("bob_b", "bob_b")]),
        origins=origins,
    )
    assert found == DataFigures(
        train=6,
        held_out=3,
        promised=6,
        personal=2,
        repeated=1,
        leaked=2,
        withdrawn=2,
        viewers=2,
        most_of_one=2,
        answered=3,
    )


# --- G1


def test_a_good_run_passes() -> None:
    said = ran_well(WELL, LIMITS)
    assert (said.passed, said.sentence) == (True, "the loss fell from 3.000 to 1.000")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"last_loss": 3.0}, "the loss did not fall (3.000 to 3.000)"),
        ({"last_loss": float("nan")}, "a loss of the run is not a number"),
        ({"first_loss": None}, "the run tells no losses"),
        ({"in_use": "c"}, "it was trained on another model than the one that is used"),
        ({"found": "x"}, "its adapter is not the one that was registered"),
        ({"rows_told_of": 336}, "of 400 rows 336 are accounted for"),
        ({"rows_left_out": 21}, "21 of 400 rows could not be learned from"),
    ],
)
def test_a_run_that_went_wrong(wrong: dict[str, Any], why: str) -> None:
    said = ran_well(msgspec.structs.replace(WELL, **wrong), LIMITS)
    assert (said.passed, said.sentence) == (False, why)
    # Every figure can be stored.
    assert msgspec.json.decode(msgspec.json.encode(said.figures)) == said.figures


# --- G2


def test_a_surely_lower_loss_is_better() -> None:
    assert better(change(2.0, 1.5, -0.1), LIMITS).passed
    said = better(change(2.0, 1.9, 0.05), LIMITS)
    assert not said.passed
    assert "from 2.000 to 1.900, which is not surely better" in said.sentence


def test_two_sessions_are_too_few() -> None:
    said = better(change(2.0, 1.0, -0.5, sessions=2), LIMITS)
    assert said.sentence == "the held-out rows are of 2 sessions, 3 are needed"


def test_without_held_out_rows_nothing_is_better() -> None:
    assert not better(None, LIMITS).passed


# --- G3


def test_what_rises_by_no_more_than_both_limits_is_not_worse() -> None:
    assert not_worse({"old": change(2.0, 2.01, 0.02), "anchor": None}, LIMITS).passed
    assert not_worse({"old": change(2.0, 1.5, -0.2)}, LIMITS).passed


@pytest.mark.parametrize(
    "worse", [change(2.0, 2.015, 0.021), change(0.5, 0.51, 0.0105), change(0.0, 0.01, 0.01)]
)
def test_either_limit_stops_forgetting(worse: Difference) -> None:
    said = not_worse({"old": change(2.0, 2.0, 0.0), "anchor": worse}, LIMITS)
    assert not said.passed
    assert said.sentence.startswith(f"the loss on anchor rows rose from {worse.old:.3f}")
    assert set(said.figures) == {"old", "anchor"}


def test_at_first_there_is_nothing_to_forget() -> None:
    said = not_worse({"old": None, "anchor": None}, LIMITS)
    assert (said.passed, said.figures) == (True, {})


# --- G5


def test_few_comparisons_are_skipped_with_the_reason() -> None:
    said = preferred(Preferences(5, 1, 1), LIMITS)
    assert (said.passed, said.skipped) == (True, True)
    assert said.sentence == "skipped: 7 blind comparisons, 30 are needed"


def test_the_lower_bound_of_wins_counts() -> None:
    assert preferred(Preferences(40, 20), LIMITS).passed
    said = preferred(Preferences(15, 15, 10), LIMITS)
    assert not said.passed
    assert "preferred in 50% of 40 comparisons (at least 35%), 45% is asked for" in said.sentence


def test_wilsons_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I: 81 of 263 and 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0.5, 0) == (0.0, 1.0)


# --- all


def test_soft_gates_and_skipped_ones_stop_nobody() -> None:
    well = verdict("G0", [], "fine")
    assert passed([well, skipped("G3", "nothing yet"), verdict("G5", ["they liked it less"], "")])
    assert not passed([well, verdict("G2", ["it is worse", "and worse"], "")])
    assert verdict("G2", ["it is worse", "very"], "").sentence == "it is worse; very"
