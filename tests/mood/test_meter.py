import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.mood.mood_data import START, chat
from understudy.events import Moderation, now_ms
from understudy.mood.curve import mood_curve
from understudy.mood.lexicon import Lexicon
from understudy.mood.meter import MAX_COUNTED, Meter, MeterSettings
from understudy.sources.recordings import read_recording
from understudy.sources.rehearsal import sample_path

SETTINGS = MeterSettings(bots=("NightBot",))


def crowd(meter: Meter, score: float, *, viewers: int = 40, start: int = 0, first: int = 0) -> int:
    """Everybody writes once, ten a second; returns the time after it."""
    for number in range(viewers):
        at = START + start + number * 100
        meter.add(chat(first + number, "hello", user=f"c{number}"), score, at)
    return start + viewers * 100


def removal(kind: str, **fields: str) -> Moderation:
    return Moderation(id="a", channel="ada", ts=START, kind=kind, **fields)  # type: ignore[arg-type]


def test_an_empty_chat_is_neutral_and_says_nothing() -> None:
    meter = Meter("ada")
    assert (meter.value, meter.label, meter.intensity) == (0.0, "neutral", 0.0)
    assert meter.take(START) is None
    assert meter.wake_at() is None
    assert meter.take_back(removal("clear"), START) == []


def test_one_message_moves_it_and_no_single_message_makes_a_label() -> None:
    meter = Meter("ada")
    assert meter.add(chat(1), 1.0, START)
    assert 0.1 < meter.value < 0.25
    assert meter.label == "neutral"
    reading = meter.take(START)
    assert reading is not None
    assert (reading.message, reading.count, reading.ts) == (1.0, 1, START)


def test_a_happy_crowd_is_positive_and_calms_down_when_it_is_silent() -> None:
    meter = Meter("ada")
    end = START + crowd(meter, 0.8)
    assert meter.label == "positive"
    assert meter.value > 0.5
    readings = meter.advance(end + 600_000)
    assert readings[-1].label == meter.label == "neutral"
    assert [r.value for r in readings] == sorted((r.value for r in readings), reverse=True)
    assert all(two.ts - one.ts >= 250 for one, two in itertools.pairwise(readings))
    assert meter.wake_at() is None


def test_weights_halve_with_time() -> None:
    meter = Meter("ada", MeterSettings(prior=0.0, viewer_cap=10.0))
    meter.add(chat(1), -1.0, START)
    meter.add(chat(2), 1.0, START + 25_000)
    assert meter.value == pytest.approx((1.0 - 0.5) / 1.5)


def test_a_viewer_is_one_voice() -> None:
    meter = Meter("ada")
    end = crowd(meter, 0.2, viewers=60)
    before = meter.value
    for number in range(100):
        meter.add(chat(1_000 + number, f"bad {number}", user="spam"), -1.0, START + end + number)
    assert abs(meter.value - before) <= 0.05


def test_a_spammer_who_stops_is_not_heard_for_longer_than_others() -> None:
    meter, calm = Meter("ada"), Meter("ada")
    for number in range(500):
        meter.add(chat(number, f"bad {number}", user="spam"), -1.0, START)
    calm.add(chat(1, "bad", user="spam"), -1.0, START)
    meter.take(START + 100_000)
    calm.take(START + 100_000)
    assert meter.value == pytest.approx(calm.value, abs=0.01)


def test_copies_count_ever_less() -> None:
    pasta = "this exact text was copied by everybody who happens to be in the chat"
    copied, own = Meter("ada"), Meter("ada")
    for number in range(50):
        copied.add(chat(number, pasta), -1.0, START)
        own.add(chat(number, "trash"), -1.0, START)
    assert -0.7 < copied.value < 0
    assert own.value < -0.9


def test_bots_commands_and_blocked_messages_are_out() -> None:
    meter = Meter("ada", SETTINGS)
    for message in (
        chat(1, user="nightbot"),
        chat(2, "!love @kim"),
        chat(3, " /me"),
        chat(4, blocked=True),
        chat(5, "  "),
    ):
        assert not meter.add(message, 1.0, START)
    assert meter.value == 0.0
    assert meter.take(START) is None


def test_a_message_counts_once() -> None:
    meter = Meter("ada")
    assert meter.add(chat(1), 1.0, START)
    assert not meter.add(chat(1), 1.0, START)


@pytest.mark.parametrize(
    "act",
    [
        removal("delete", message_id="m1"),
        removal("timeout", user="V1"),
        removal("ban", user="v1"),
        removal("clear"),
    ],
)
def test_what_moderators_remove_is_taken_back(act: Moderation) -> None:
    meter = Meter("ada")
    meter.add(chat(1), -1.0, START)
    assert meter.take_back(act, START + 1_000) == [(START, -1.0)]
    assert meter.value == pytest.approx(0.0)
    assert meter.take_back(act, START + 1_000) == []


def test_the_rest_of_what_a_viewer_wrote_stays() -> None:
    meter = Meter("ada", MeterSettings(viewer_cap=10.0))
    meter.add(chat(1, user="kim"), -1.0, START)
    meter.add(chat(2, user="kim"), 1.0, START)
    meter.take_back(removal("delete", message_id="m1"), START)
    only = Meter("ada", MeterSettings(viewer_cap=10.0))
    only.add(chat(2, user="kim"), 1.0, START)
    assert meter.value == pytest.approx(only.value)


def test_readings_keep_their_distance_and_news_is_not_lost() -> None:
    meter = Meter("ada")
    meter.add(chat(1), 1.0, START)
    assert meter.take(START) is not None
    meter.add(chat(2), 1.0, START + 100)
    assert meter.take(START + 100) is None
    assert meter.wake_at() == START + 250
    later = meter.take(START + 250)
    assert later is not None
    assert later.count == 2


def test_the_label_holds_on_to_itself() -> None:
    meter = Meter("ada")
    labels: list[str] = []
    for number in range(3_000):
        # The mood swings around the threshold itself.
        meter.add(chat(number), 0.16 + (0.1 if number % 2 else -0.1), START + number * 200)
        labels.append(meter.label)
    assert sum(a != b for a, b in itertools.pairwise(labels)) <= 1


def test_intensity_tells_more_from_usual() -> None:
    meter = Meter("ada")
    for number in range(600):
        meter.add(chat(number), 0.5, START + number * 1_000)
    usual = meter.intensity
    for number in range(100):
        meter.add(chat(1_000 + number), 0.5, START + 600_000 + number * 100)
    assert 0.4 < usual < 0.6
    assert meter.intensity > 0.75
    meter.take(START + 700_000)
    assert meter.intensity < 0.05


def test_a_clock_that_is_set_back_does_not_stop_it() -> None:
    meter = Meter("ada")
    meter.add(chat(1), 1.0, START + 3_600_000)
    assert meter.take(START + 3_600_000) is not None
    before = meter.value
    meter.add(chat(2, ts=0), 1.0, START)
    assert meter.value > before
    assert meter.take(START + 300) is not None
    meter.take(START + 600_000)
    assert meter.value == pytest.approx(0.0, abs=0.001)


def test_a_message_out_of_order_counts_as_now() -> None:
    meter = Meter("ada")
    meter.add(chat(1), 1.0, START + 1_000)
    meter.add(chat(2), 1.0, START)
    assert meter.value == pytest.approx(1.6 / 4.6)


def test_what_is_kept_is_bounded() -> None:
    meter = Meter("ada")
    for number in range(MAX_COUNTED + 50):
        meter.add(chat(number, user=f"u{number % 9}"), 0.1, START)
    assert len(meter._counted) == MAX_COUNTED
    meter.take(START + 3_600_000)
    assert not meter._counted
    assert not meter._voices


def test_voices_are_bounded_and_the_forgotten_fade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.mood.meter.MAX_VIEWERS", 2)
    meter = Meter("ada")
    for number in range(3):
        meter.add(chat(number), 1.0, START)
    assert list(meter._voices) == ["v1", "v2"]
    before = meter.value
    assert meter.take_back(removal("delete", message_id="m0"), START) == [(START, 1.0)]
    assert meter.value == before


def test_the_sample_stream_keeps_its_labels() -> None:
    events = [e for e in read_recording(sample_path()) if hasattr(e, "ts")]
    readings = list(mood_curve(events, Lexicon()))
    labels = [reading.label for reading in readings]
    assert sum(a != b for a, b in itertools.pairwise(labels)) <= 3
    assert readings == list(mood_curve(events, Lexicon()))
    assert len({reading.id for reading in readings}) == len(readings)


def test_a_recording_without_chat_has_no_mood() -> None:
    assert list(mood_curve([], Lexicon())) == []


@settings(deadline=None)
@given(st.floats(0.05, 1.0), st.integers(0, 10_000))
def test_one_spamming_viewer_moves_a_lively_room_little(worst: float, seed: int) -> None:
    rng = random.Random(seed)
    calm, spammed = Meter("ada"), Meter("ada")
    spam = rng.choice((-worst, worst))
    for number in range(400):
        at = START + number * 667
        message = chat(number, user=f"v{rng.randrange(60)}")
        score = rng.choice((-0.6, 0.0, 0.0, 0.6))
        calm.add(message, score, at)
        spammed.add(message, score, at)
        if number > 200:
            for more in range(3):
                text = f"spam {number} {more}"
                spammed.add(chat(1_000 + 3 * number + more, text, user="s"), spam, at)
            assert abs(calm.value - spammed.value) <= 0.05


class AnyChat(RuleBasedStateMachine):
    """Whatever happens in whatever order, the numbers stay what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.meter = Meter("ada", SETTINGS)
        self.now = START
        self.number = 0
        self.last = START - 250

    @rule(
        user=st.sampled_from("abcd"),
        score=st.floats(-2, 2),
        text=st.sampled_from(["gg", "!so kim", "a copied text that is long enough for it to be"]),
    )
    def write(self, user: str, score: float, text: str) -> None:
        self.number += 1
        self.meter.add(chat(self.number, text, user=user), score, self.now)

    @rule(kind=st.sampled_from(["delete", "timeout", "ban", "clear"]), user=st.sampled_from("abcd"))
    def remove(self, kind: str, user: str) -> None:
        act = removal(kind, user=user, message_id=f"m{self.number}")
        self.meter.take_back(act, self.now)

    @rule(ms=st.integers(0, 200_000))
    def wait(self, ms: int) -> None:
        self.now += ms
        for reading in self.meter.advance(self.now):
            assert reading.ts - self.last >= 250
            self.last = reading.ts

    @invariant()
    def is_sane(self) -> None:
        assert -1 <= self.meter.value <= 1
        assert 0 <= self.meter.intensity <= 1
        weights = sum(voice.weight for voice in self.meter._voices.values())
        assert all(-1e-9 <= v.weight <= 0.8 + 1e-9 for v in self.meter._voices.values())
        assert all(abs(v.total) <= v.weight + 1e-9 for v in self.meter._voices.values())
        assert self.meter._weight >= -1e-9
        # Voices that are ten half-lives old are forgotten, what is left of them fades in the sums.
        assert self.meter._weight <= weights + 0.005


TestAnyChat = AnyChat.TestCase
TestAnyChat.settings = settings(deadline=None)


def test_the_clock_of_the_machine_is_of_the_same_kind() -> None:
    meter = Meter("ada")
    now = now_ms()
    meter.add(chat(1), 1.0, now)
    reading = meter.take(now)
    assert reading is not None
    assert reading.ts == now
