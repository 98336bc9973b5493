from pathlib import Path

import pytest

from understudy.mood.errors import MoodError
from understudy.mood.figures import compare
from understudy.mood.labels import LabelledLine, counts, read_labels, too_few


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_both_forms_are_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        '{"prompt": "gg", "completion": " Positive"}',
        "",
        '{"text": "meh", "label": "neutral", "split": "tune"}',
        '{"prompt": "hm", "completion": ""}',
        '{"prompt": "hm", "completion": "spam"}',
    )
    found = read_labels([path, path])
    assert found.lines[:2] == [LabelledLine("gg", "positive"), LabelledLine("meh", "neutral")]
    assert len(found.lines) == 4
    assert (found.unlabelled, found.others) == (2, {"spam": 2})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 1 is no labelled message"),
        ('"text"', "is no labelled message"),
        ('{"prompt": 7}', "is no labelled message"),
        ('{"prompt": "a"}', "has no message or no label"),
        ('{"prompt": "%s", "completion": ""}' % ("a" * 70_000), "longer than 64 KiB"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(MoodError, match=said):
        read_labels([write(tmp_path / "a.jsonl", line)])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MoodError, match=r"a\.jsonl cannot be read: no such file"):
        read_labels([tmp_path / "a.jsonl"])


def test_labels_with_few_examples_are_named() -> None:
    lines = [LabelledLine(str(n), "positive") for n in range(100)] + [LabelledLine("x", "neutral")]
    assert counts(lines) == {"negative": 0, "neutral": 1, "positive": 100}
    assert too_few(counts(lines)) == [
        "only 0 lines are labelled negative: 100 of each make a model worth having",
        "only 1 lines are labelled neutral: 100 of each make a model worth having",
    ]


def test_figures_are_those_of_the_textbook() -> None:
    figures = compare(
        ["positive", "positive", "negative", "neutral"],
        ["positive", "negative", "negative", "neutral"],
    )
    assert figures.accuracy == 0.75
    assert figures.f1 == pytest.approx({"negative": 2 / 3, "neutral": 1.0, "positive": 2 / 3})
    assert figures.macro_f1 == pytest.approx(7 / 9)
    assert figures.confusion["positive"] == {"negative": 1, "neutral": 0, "positive": 1}
    assert compare([], []).accuracy == 0.0
