"""Rewards: what moments are worth, which are extreme, and what a restart remembers."""

from understudy.learning.reactions.rewards import Label, Moment, Rewards

CALM = {"laugh": 0.0, "addressed": 0.0, "votes": 0.0, "sentiment": 0.0}
FEATURES = [1.0, 1.0, 0.5, 0.2, 0.1, 0.5, 0.2]


def moment(number: int, kind: str = "reply", masked_by: str = "", **signals: float) -> Moment:
    return Moment(
        id=f"{'placebo_' if kind == 'placebo' else ''}{kind}{number}",
        channel="ada",
        ts=number,
        kind=kind,  # pyright: ignore[reportArgumentType]
        features=FEATURES,
        signals=CALM | signals,
        masked_by=masked_by,
    )


def test_nothing_is_judged_before_there_is_something_to_compare_with() -> None:
    rewards = Rewards()
    assert rewards.judge(moment(1, laugh=1.0)).masked_by == "nothing_to_compare"
    for number in range(30):
        rewards.judge(moment(number, "control", masked_by="raid"))
    assert rewards.judge(moment(2, laugh=1.0)).reward is None
    for number in range(30):
        row = rewards.judge(moment(number, "control"))
        assert (row.control, row.reward) == (True, None)
    judged = rewards.judge(moment(3, laugh=1.0))
    assert judged.reward is not None
    assert judged.reward > 1
    assert rewards.judge(moment(4, "reply", "few_chatters", laugh=1.0)).reward is None


def test_a_vote_weighs_more_than_a_laugh() -> None:
    rewards = Rewards()
    for number in range(40):
        rewards.judge(moment(number, "control"))
    laughed, voted = rewards.judge(moment(50, laugh=0.7)), rewards.judge(moment(51, votes=0.7))
    assert laughed.reward is not None
    assert voted.reward is not None
    assert voted.reward > 2 * laughed.reward > 0


def test_moments_without_a_reason_count_half() -> None:
    fair, drawn = Rewards(), Rewards()
    for number in range(13):
        fair.judge(moment(number, "control"))
        drawn.judge(moment(number, "placebo"))
    assert fair.judge(moment(20)).reward is not None
    assert drawn.judge(moment(20)).reward is None


def test_only_extremes_are_labelled_and_a_restart_remembers() -> None:
    rewards = Rewards()
    rows = [rewards.judge(moment(number, "control", laugh=0.5)) for number in range(40)]
    for number in range(25):
        rows.append(rewards.judge(moment(100 + number, laugh=number / 25)))
        assert rewards.label(rows[-1]) in {None, Label(1.0, 0.5)}
    again = Rewards()
    again.remember(rows)
    for each in (rewards, again):
        best = each.judge(moment(200, laugh=1.5))
        middle = each.judge(moment(201, laugh=0.5))
        worst = each.judge(moment(202, laugh=0.0, sentiment=-0.5))
        labels = [each.label(row) for row in (best, middle, worst)]
        assert labels == [Label(1.0, 0.5), None, Label(-1.0, 0.25)]
