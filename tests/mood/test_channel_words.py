import asyncio
from pathlib import Path

import pytest

from understudy.mood.channel_words import MAX_FILE_BYTES, ChannelWords


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mood"
    made.mkdir()
    return made


def problem(folder: Path, text: str | bytes) -> str:
    """What is said of a file with this content."""
    (folder / "ada.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ChannelWords(folder)
    assert list(words.problems) == ["ada.yaml"]
    return words.problems["ada.yaml"]


def test_a_channel_has_words_of_its_own(folder: Path) -> None:
    (folder / "Ada.yaml").write_text(
        "emotes:\n  glorp: -0.9\n  LUL: -1\nwords:\n  gerald: 0.8\n  The Snail  Made It: 1\n"
    )
    words = ChannelWords(folder)
    own, other = words.lexicon("ada"), words.lexicon("bob")
    assert words.problems == {}
    assert own.label("glorp") == own.label("LUL") == "negative"
    assert own.label("Gerald!") == own.label("the snail made it") == "positive"
    assert other.score("glorp") == other.score("gerald") == 0.0
    assert other.label("LUL") == "positive"
    assert words.lexicon("ADA") is own


def test_a_channel_can_take_the_meaning_from_a_word(folder: Path) -> None:
    (folder / "ada.yaml").write_text("words: {boss: 0, great: 0}")
    assert ChannelWords(folder).lexicon("ada").score("great boss") == 0.0


def test_there_need_be_no_directory(tmp_path: Path) -> None:
    for words in (ChannelWords(None), ChannelWords(tmp_path / "nowhere")):
        assert words.lexicon("ada").label("PogChamp") == "positive"
        assert words.problems == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("emotes: [a", "not valid YAML in line 1"),
        ("- a\n", "write `emotes:` and `words:`"),
        ("words: {a: high}", "Expected float, got str"),
        ("feelings: {a: 1}", "unknown field"),
        ("words: {a: 2}", "'a' is not from -1 to 1"),
        ("words: {a: .nan}", "'a' is not from -1 to 1"),
        ("words: {'': 1}", "empty or too long"),
        ("emotes: {a b: 1}", "has a space in it"),
        ("words: {a b c d e f g: 1}", "longer than 6 words"),
        ("words: &x {a: 1}\nemotes: *x\n", "alias in line 2"),
        (b"words: {\xff: 1}", "not UTF-8 (byte 9)"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than 256 KiB"),
        ("words: {\x01: 1}", "cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(folder: Path, text: str | bytes, said: str) -> None:
    assert said in problem(folder, text)


def test_an_empty_file_adds_nothing(folder: Path) -> None:
    (folder / "ada.yaml").write_text("")
    assert ChannelWords(folder).problems == {}


def test_a_broken_file_keeps_its_last_good_version(folder: Path) -> None:
    path = folder / "ada.yaml"
    path.write_text("words: {glorp: 1}")
    words = ChannelWords(folder)
    path.write_text("words: {glorp: [")
    words.reload()
    assert list(words.problems) == ["ada.yaml"]
    assert words.lexicon("ada").label("glorp") == "positive"
    path.unlink()
    words.reload()
    assert words.problems == {}
    assert words.lexicon("ada").score("glorp") == 0.0


def test_other_files_are_left_alone(folder: Path) -> None:
    (folder / ".ada.yaml").write_text("[")
    (folder / "notes.txt").write_text("[")
    assert ChannelWords(folder).problems == {}


async def test_a_saved_file_is_read_again(tmp_path: Path) -> None:
    words = ChannelWords(tmp_path / "mood")
    read = asyncio.Event()
    watching = asyncio.create_task(words.watch(read.set))
    await read.wait()
    while words.lexicon("ada").score("glorp") == 0.0:
        read.clear()
        (tmp_path / "mood" / "ada.yaml").write_text("words: {glorp: 1}")
        await read.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_a_directory_that_cannot_be_listed_is_a_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert ChannelWords(folder).problems == {
        ".": "the mood directory cannot be read: Permission denied"
    }


def test_a_file_that_cannot_be_read_is_a_problem(folder: Path) -> None:
    (folder / "ada.yaml").mkdir()
    assert "cannot be read: Is a directory" in ChannelWords(folder).problems["ada.yaml"]


def test_there_may_not_be_too_many_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("understudy.mood.channel_words.MAX_FILES", 1)
    for name in ("ada", "bob"):
        (folder / f"{name}.yaml").write_text("words: {glorp: 1}")
    words = ChannelWords(folder)
    assert list(words.problems) == ["."]
    assert words.lexicon("ada").score("glorp") > 0
    assert words.lexicon("bob").score("glorp") == 0


async def test_without_a_directory_there_is_nothing_to_watch() -> None:
    await ChannelWords(None).watch()
