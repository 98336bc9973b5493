import builtins
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mood.mood_data import labelled
from understudy.mood.classifier import LABELS
from understudy.mood.errors import MoodError
from understudy.mood.features import NUMBERS, numbers, pieces, words
from understudy.mood.labels import LabelledLine
from understudy.mood.lexicon import Lexicon
from understudy.mood.models import MoodModels
from understudy.mood.trained import BATCH, TrainedClassifier, TrainedModel
from understudy.mood.training import Training, fit, to_served, train

numpy = pytest.importorskip("numpy", reason="the extra understudy[mood] is not installed")
pytest.importorskip("sklearn", reason="the extra understudy[mood] is not installed")

LEXICON = Lexicon()
LINES = labelled("tune")


@pytest.fixture(scope="module")
def pipeline():
    return fit([line.text for line in LINES], [line.label for line in LINES], LEXICON)


@pytest.fixture(scope="module")
def trained() -> Training:
    return train(LINES, lexicon=LEXICON)


def test_a_line_is_cut_into_words_and_pieces() -> None:
    assert words("GG well  played") == ["GG", "well", "played", "GG well", "well played"]
    assert pieces("Gg!")[:4] == [" g", "gg", "g!", "! "]
    assert len(pieces("Gg!")) == 4 + 3 + 2 + 1
    assert words("") == []


def test_the_numbers_have_names() -> None:
    found = dict(zip(NUMBERS, numbers(LEXICON, "WOW not bad?! Kappa"), strict=True))
    assert len(found) == len(NUMBERS)
    assert found["irony"] == found["question"] == found["exclamation"] == 1.0
    assert all(value == 0 for value in numbers(LEXICON, ""))


def test_served_probabilities_are_those_of_scikit_learn(pipeline) -> None:
    texts = [line.text for line in labelled("held_out")] + ["", "   ", "日本語 😂", "unseenword"]
    served = to_served(pipeline, LEXICON).probabilities(texts)
    assert len(texts) > BATCH
    assert numpy.abs(served - pipeline.predict_proba(texts)).max() < 1e-6


@given(st.lists(st.text(max_size=80), min_size=1, max_size=5))
@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_served_probabilities_are_the_same_for_any_text(pipeline, texts: list[str]) -> None:
    served = to_served(pipeline, LEXICON).probabilities(texts)
    assert numpy.abs(served - pipeline.predict_proba(texts)).max() < 1e-6


def test_a_trained_model_learns_what_the_lists_do_not_know() -> None:
    lines = [
        LabelledLine(f"{word} {number}", label)
        for number in range(12)
        for word, label in (("glorp", "positive"), ("brap", "negative"), ("zib", "neutral"))
    ]
    model = train(lines, lexicon=LEXICON).model
    assert [s.label for s in model.label(["glorp now", "brap now", "zib now"])] == [
        "positive",
        "negative",
        "neutral",
    ]


def test_it_is_cross_validated_and_repeatable(trained: Training) -> None:
    assert trained.folds == 10
    assert trained.figures.lines == len(LINES)
    assert 0.8 < trained.figures.accuracy <= 1
    again = train(LINES, lexicon=LEXICON)
    assert again.figures == trained.figures
    texts = [line.text for line in LINES]
    assert (again.model.probabilities(texts) == trained.model.probabilities(texts)).all()


def test_progress_is_told() -> None:
    told: list[tuple[int, int | None]] = []
    lines = [LabelledLine(f"{label} {n}", label) for n in range(2) for label in LABELS]
    assert train(lines, progress=lambda done, total: told.append((done, total))).folds == 2
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_every_label_needs_two_lines() -> None:
    lines = [LabelledLine("a", "positive"), LabelledLine("b", "positive")]
    with pytest.raises(MoodError, match="fewer than two lines labelled negative or neutral"):
        train(lines)


async def test_a_version_outlives_the_process(trained: Training, tmp_path: Path) -> None:
    models = MoodModels(tmp_path / "models" / "mood")
    assert (models.versions(), models.current()) == ([], None)
    first = models.save(trained.model, trained.figures, {"negative": 73}, trained.folds)
    second = models.save(trained.model, trained.figures, {"negative": 73}, trained.folds)
    assert models.versions() == [first.version, second.version]
    assert models.current() == second.version
    assert models.card(second.version) == second
    loaded = models.load(lexicon=LEXICON)
    texts = [line.text for line in labelled("held_out")]
    assert (loaded.probabilities(texts) == trained.model.probabilities(texts)).all()
    classifier = TrainedClassifier(loaded, second.version)
    assert await classifier.label(texts) == trained.model.label(texts)
    assert await classifier.label([]) == []
    await classifier.aclose()
    files = sorted(path.name for path in (tmp_path / "models" / "mood" / first.version).iterdir())
    assert files == ["figures.json", "model.npz"]


def test_versions_that_are_not_there_are_named(tmp_path: Path) -> None:
    models = MoodModels(tmp_path)
    with pytest.raises(MoodError, match="no mood model was trained yet"):
        models.load()
    with pytest.raises(MoodError, match=r"there is no mood model \.\./x: there are none"):
        models.load("../x")
    assert models.card("x") is None


def test_a_version_is_not_half_written(trained: Training, tmp_path: Path) -> None:
    folder = tmp_path / "mood"
    folder.write_text("a file where the folder should be")
    with pytest.raises(MoodError, match="cannot be written"):
        MoodModels(folder).save(trained.model, trained.figures, {}, 2)
    folder.unlink()

    class Failing:
        def save(self, path: Path) -> None:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    models = MoodModels(folder)
    with pytest.raises(MoodError, match="no space left on device"):
        models.save(Failing(), trained.figures, {}, 2)  # type: ignore[arg-type]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nonsense", b"\x93NUMPY"])
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.npz"
    path.write_bytes(content)
    with pytest.raises(MoodError, match="holds no mood model"):
        TrainedModel.load(path)


def test_a_file_that_does_not_fit_is_refused(trained: Training, tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with pytest.raises(MoodError, match="cannot be read"):
        TrainedModel.load(path)
    trained.model.save(path)
    arrays = dict(numpy.load(path))
    numpy.savez(path, **{**arrays, "bias": numpy.zeros(2)})
    with pytest.raises(MoodError, match="does not fit"):
        TrainedModel.load(path)
    numpy.savez(path, **{**arrays, "format": numpy.array(99)})
    with pytest.raises(MoodError, match="another version"):
        TrainedModel.load(path)


def test_serving_needs_no_scikit_learn(
    trained: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.npz"
    trained.model.save(path)
    forbid(monkeypatch, "sklearn")
    assert TrainedModel.load(path).label(["PogChamp"])[0].label == "positive"
    with pytest.raises(MoodError, match=r"understudy\[mood\]"):
        train(LINES)
    forbid(monkeypatch, "numpy")
    with pytest.raises(MoodError, match="needs numpy"):
        TrainedModel.load(path)


def forbid(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Makes imports of `library` fail, as where it is not installed."""
    real = builtins.__import__
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)

    def refuse(name: str, *args, **kwargs):
        if name.partition(".")[0] == library:
            raise ImportError(f"No module named {library!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
