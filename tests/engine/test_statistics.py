"""The statistics of a chat as a pure state machine, in simulated time."""

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.engine import statistics as module
from understudy.engine.frequent import FrequentItems, RecentItems
from understudy.engine.statistics import (
    RECENT_MS,
    ChannelStatistics,
    ChatFigures,
    top_words,
    with_known_emotes,
)
from understudy.engine.streaks import GAP_MS, MAX_RUNNING, Streaks, repeated_token
from understudy.engine.windows import MinutePeak, WindowCount
from understudy.events import ChatMessage

START = 1_795_284_000_000
SECOND, MINUTE = 1_000, 60_000


def said(text: str = "hello", user: str = "ana", **fields: object) -> ChatMessage:
    return ChatMessage(id="m", channel="c", ts=0, user=user, text=text, **fields)


def upper_case(message: ChatMessage) -> list[str]:
    """Stands for a platform that marks emotes."""
    return [word for word in message.text.split() if word.isupper()]


def make(**options: object) -> ChannelStatistics:
    return ChannelStatistics("c", emotes_of=upper_case, **options)


# --- a channel


def test_a_chat_nobody_wrote_in() -> None:
    figures = make().figures(START)
    assert figures.rates == module.Rates(0, 0, 0)
    assert figures.recent.messages == figures.recent.chatters == figures.total.messages == 0
    assert figures.streaks == []
    assert figures.total.longest_streak is None


def test_rates_are_of_the_last_second_minute_and_five_minutes() -> None:
    counted = make()
    for number in range(300):
        counted.note(said(), START + number * SECOND)
    end = START + 299 * SECOND
    for _ in range(9):
        counted.note(said(), end)
    rates = counted.figures(end).rates
    assert rates == module.Rates(10, round(69 / 60, 3), round(309 / 300, 3))
    later = counted.figures(end + 30 * SECOND)
    assert later.rates.last_second == 0
    assert later.rates.last_minute == pytest.approx(0.65, abs=0.02)
    gone = counted.figures(end + RECENT_MS)
    assert gone.rates == module.Rates(0, 0, 0)
    assert gone.recent.messages == 0
    assert gone.total.messages == 309
    assert gone.since == START


def test_chatters_are_told_apart() -> None:
    counted = make()
    counted.note(said(user="ana", first=True), START)
    counted.note(said(user="bob"), START + MINUTE)
    counted.note(said(user="ana"), START + 2 * MINUTE)
    recent = counted.figures(START + 2 * MINUTE).recent
    assert (recent.chatters, recent.new_chatters, recent.first_timers) == (2, 2, 1)
    counted.note(said(user="cleo"), START + 7 * MINUTE)
    later = counted.figures(START + 7 * MINUTE)
    assert (later.recent.chatters, later.recent.new_chatters, later.recent.first_timers) == (
        1,
        1,
        0,
    )
    assert (later.total.chatters, later.total.first_timers) == (3, 1)


def test_bots_are_left_out() -> None:
    counted = make(ignored=["Nightbot"])
    counted.note(said(user="nightbot"), START)
    assert counted.totals().messages == 0


def test_of_a_blocked_message_only_the_number_counts() -> None:
    counted = make()
    for user in ("ana", "bob", "cleo"):
        counted.note(said("SLUR SLUR?", user, blocked=True), START)
    figures = counted.figures(START)
    assert (figures.recent.messages, figures.recent.chatters) == (3, 3)
    assert figures.recent.emotes == figures.total.emotes == {}
    assert figures.recent.questions == 0
    assert figures.streaks == []


def test_questions_and_emotes_are_counted() -> None:
    counted = make()
    counted.note(said("what is this game?"), START)
    counted.note(said("LUL that was LUL"), START)
    counted.note(said("KEKW", "bob"), START + SECOND)
    figures = counted.figures(START + SECOND)
    assert figures.recent.questions == figures.total.questions == 1
    assert list(figures.recent.emotes.items()) == [("LUL", 2), ("KEKW", 1)]
    later = counted.figures(START + 6 * MINUTE)
    assert later.recent.emotes == {}
    assert later.total.emotes == {"LUL": 2, "KEKW": 1}


def test_emotes_of_extensions_are_known_by_name() -> None:
    read = with_known_emotes(upper_case, lambda token: token in {"catJAM", "LUL"})
    assert list(read(said("LUL catJAM catJAM jam"))) == ["LUL", "catJAM", "catJAM"]


def test_only_the_most_used_emotes_are_told() -> None:
    counted = make()
    for number in range(40):
        for _ in range(number + 1):
            counted.note(said(f"EMOTE{number}"), START)
    emotes = counted.figures(START).recent.emotes
    assert list(emotes) == [f"EMOTE{number}" for number in range(39, 19, -1)]


@pytest.mark.parametrize("back", [1, 30 * SECOND, 2 * RECENT_MS, START])
def test_a_clock_that_is_set_back_spoils_nothing(back: int) -> None:
    counted = make()
    for number in range(10):
        counted.note(said(user=f"u{number}"), START + number * SECOND)
    now = START + 9 * SECOND - back
    for number in range(5):
        counted.note(said(), now + number * SECOND)
    figures = counted.figures(now + 5 * SECOND)
    kept = 10 if back <= RECENT_MS else 0
    assert figures.recent.messages == kept + 5
    assert figures.total.messages == 15
    assert figures.total.chatters == 11


def test_a_clock_that_jumps_ahead_empties_the_window() -> None:
    counted = make()
    counted.note(said(), START)
    counted.note(said(), START * 2)
    figures = counted.figures(START * 2)
    assert figures.recent.messages == 1
    assert figures.total.messages == 2


def test_memory_is_bounded_under_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHATTERS", 100)
    counted = make()
    for number in range(5_000):
        counted.note(said(f"E{number} LUL", f"u{number}"), START + number)
    figures = counted.figures(START + 5_000)
    assert figures.recent.chatters == figures.total.chatters == 100
    assert next(iter(figures.recent.emotes)) == "LUL"
    assert len(counted._all_emotes.counts()) <= 1_000
    assert len(counted._streaks._runs) <= MAX_RUNNING


def test_figures_are_plain_data() -> None:
    counted = make()
    for user in ("ana", "bob", "cleo"):
        counted.note(said("KEKW", user), START)
    figures = counted.figures(START)
    assert msgspec.json.decode(msgspec.json.encode(figures), type=ChatFigures) == figures


def test_words_count_once_a_message() -> None:
    assert top_words(["The dragon", "dragon dragon DRAGON", "a castle"]) == {
        "dragon": 2, "castle": 1,
    }  # fmt: skip


# --- streaks


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("KEKW", "KEKW"),
        ("KEKW kekw  KEKW!!", "KEKW"),
        ("gg!", "gg"),
        ("???", "???"),
        ("gg wp", None),
        ("", None),
        ("   ", None),
        ("x" * 1_000, None),
        ("💜 💜", "💜"),
    ],
)
def test_what_may_be_a_streak(text: str, token: str | None) -> None:
    assert repeated_token(text) == token


def test_a_streak_takes_different_viewers() -> None:
    streaks = Streaks()
    for at, user in enumerate(["ana", "ana", "ana", "bob"]):
        streaks.note("KEKW", user, START + at)
    assert streaks.going(START + 3) == []
    streaks.note("something else", "dan", START + 4)
    streaks.note("kekw KEKW", "cleo", START + 5)
    (streak,) = streaks.going(START + 5)
    assert msgspec.structs.astuple(streak) == ("KEKW", 3, 5, START, START + 5)
    assert streaks.longest == streak


def test_a_streak_ends_and_the_longest_is_kept() -> None:
    streaks = Streaks()
    for number in range(5):
        streaks.note("gg", f"u{number}", START)
    for number in range(3):
        streaks.note("LUL", f"u{number}", START + number)
    assert [streak.text for streak in streaks.going(START + GAP_MS)] == ["gg", "LUL"]
    late = START + GAP_MS + 1
    streaks.note("gg", "u9", late)
    assert [streak.text for streak in streaks.going(late)] == ["LUL"]
    assert streaks.longest is not None
    assert (streaks.longest.text, streaks.longest.viewers) == ("gg", 5)


# --- counting


@given(st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=200), st.integers(1, 400))
def test_a_window_counts_what_lies_in_it(steps: list[tuple[int, bool]], span_steps: int) -> None:
    window, now, added = WindowCount(100, 40_000), START, []
    for step, happens in steps:
        now += step * 100
        if happens:
            window.add(now)
            added.append(now)
    within = sum(at // 100 > now // 100 - span_steps for at in added)
    assert window.last(now, span_steps * 100) == within
    assert window.total == len(added)


def test_the_peak_is_of_one_minute() -> None:
    peak = MinutePeak()
    for at in (0, 1, 2, MINUTE, 5 * MINUTE, 5 * MINUTE + 1):
        peak.note(START // MINUTE * MINUTE + at)
    assert peak.most == 3


@given(st.lists(st.sampled_from([f"e{n}" for n in range(40)]), max_size=400), st.integers(1, 8))
def test_frequent_things_are_kept_with_a_known_error(items: list[str], room: int) -> None:
    frequent, true = FrequentItems(room), Counter(items)
    for item in items:
        frequent.add([item])
    counts = frequent.counts()
    assert len(counts) <= 2 * room
    assert frequent.error * (room + 1) <= len(items)
    for item, count in true.items():
        assert count - frequent.error <= counts[item] <= count


def test_few_things_are_counted_exactly() -> None:
    chance = random.Random(1)
    items = [f"e{int(chance.expovariate(0.05))}" for _ in range(5_000)]
    frequent = FrequentItems(500)
    frequent.add(items)
    assert frequent.error == 0
    assert frequent.counts() == Counter(items)


def test_recent_things_are_of_the_last_slices() -> None:
    recent = RecentItems(10, MINUTE, 2)
    start = START // MINUTE * MINUTE
    recent.add(["a"], start)
    recent.add(["b", "b"], start + MINUTE)
    assert recent.counts(start + MINUTE) == {"a": 1, "b": 2}
    assert recent.counts(start + 2 * MINUTE) == {"b": 2}
    assert recent.counts(start + 9 * MINUTE) == {}
