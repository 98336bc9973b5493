from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mood.mood_data import START
from understudy.events import ChatMessage, Moderation, MoodReading
from understudy.mood import curve as module
from understudy.mood.channel_words import ChannelWords
from understudy.mood.curve import CurveRecorder, MoodCurves, mood_curve
from understudy.mood.lexicon import Lexicon
from understudy.mood.meter import MeterSettings


def said(second: float, text: str, channel: str = "ada") -> ChatMessage:
    ts = START + int(second * 1_000)
    user = f"v{ts % 97}"
    return ChatMessage(id=f"{channel}{ts}{text}", channel=channel, ts=ts, user=user, text=text)


def reading(ms: int, value: float = 0.5) -> MoodReading:
    return MoodReading(id="r", channel="ada", ts=START + ms, value=value, label="neutral")


def test_a_step_shows_its_newest_reading() -> None:
    recorder = CurveRecorder(START)
    for ms, value in [(100, 0.1), (900, 0.2), (1_000, 0.3), (61_500, 0.4)]:
        recorder.add(reading(ms, value))
    curve = recorder.curve()
    assert curve.step == 1
    assert [(p.at, p.value) for p in curve.points] == [(0, 0.2), (1, 0.3), (61, 0.4)]


@given(st.lists(st.integers(-5_000, 100_000_000), max_size=300))
def test_a_curve_is_bounded_however_long_it_gets(times: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_POINTS", 20)
        recorder = CurveRecorder(START)
        for ms in times:
            recorder.add(reading(ms))
        curve = recorder.curve()
    assert len(curve.points) <= 20
    assert curve.step.bit_count() == 1
    ats = [point.at for point in curve.points]
    assert ats == sorted(set(ats))
    assert all(at % curve.step == 0 for at in ats)
    assert bool(ats) == bool(times)
    assert {max(0, ms) // (curve.step * 1_000) * curve.step for ms in times} == set(ats)


def test_the_curve_is_that_of_the_meter(tmp_path: Path) -> None:
    texts = ["PogChamp", "so boring", "hi chat", "love this", "worst stream ever"]
    events = [said(n * 0.7, texts[n * n % 5]) for n in range(200)]
    events.insert(100, Moderation(id="x", channel="ada", ts=events[99].ts, kind="clear"))  # type: ignore[arg-type]
    curves = MoodCurves(ChannelWords(None))
    for event in events:
        curves.note(event)
    (curve,) = curves.curves().values()
    newest = {(r.ts - START) // 1_000: r.value for r in mood_curve(events, Lexicon())}
    assert {point.at: point.value for point in curve.points} == newest


def test_every_channel_has_its_own_words_and_one_clock(tmp_path: Path) -> None:
    (tmp_path / "bob.yaml").write_text("words: {glorp: 1}")
    curves = MoodCurves(ChannelWords(tmp_path))
    for number in range(10):
        curves.note(said(number, "glorp"))
        curves.note(said(number + 60, "glorp", "bob"))
    found = curves.curves()
    assert {point.value for point in found["ada"].points} == {0}
    assert found["bob"].points[0].at == 60
    assert found["bob"].points[-1].label == "positive"


def test_bots_do_not_count() -> None:
    curves = MoodCurves(ChannelWords(None), MeterSettings(bots=("v1",)))
    curves.note(ChatMessage(id="m", channel="ada", ts=START, user="v1", text="PogChamp"))
    assert curves.curves()["ada"].points == []


def test_only_so_many_channels_have_a_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CURVES", 2)
    curves = MoodCurves(ChannelWords(None))
    for name in ("ada", "bob", "cleo", "ada"):
        curves.note(said(1, "PogChamp", name))
    assert list(curves.curves()) == ["ada", "bob"]


def test_nothing_played_is_no_curve() -> None:
    assert MoodCurves(ChannelWords(None)).curves() == {}
