import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.mood.mood_data import labelled, rows
from understudy.mood.figures import compare
from understudy.mood.lexicon import MAX_CHARS, Lexicon, label_of
from understudy.mood.word_lists import built_in_lists

LEXICON = Lexicon()
TOKENS = st.sampled_from(
    [
        *list(built_in_lists().emotes)[::9],
        *list(built_in_lists().words)[::30],
        *built_in_lists().modifiers,
        *" ".join(built_in_lists().phrases).split()[::9],
        *("the", "of,", "😂", "❤️", "nooo", "123", "@kim", "(", "!!!", "草", "lunaHype"),
    ]
)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("PogChamp", "positive"),
        ("pogchamp?", "positive"),
        ("Kappa", "neutral"),
        ("kappa", "neutral"),
        ("LUL LUL LUL", "positive"),
        ("LULW he is so bad", "negative"),
        ("not bad at all", "positive"),
        ("this isn't good", "negative"),
        ("I don't know, good luck", "positive"),
        ("I can't 😂😂", "positive"),
        ("great play Kappa", "negative"),
        ("nooooo", "negative"),
        ("no", "neutral"),
        ("yesssss", "positive"),
        ("looooove it", "positive"),
        ("LETS GOOOO", "positive"),
        ("hahahaha", "positive"),
        ("nice❤️", "positive"),
        ("😭😭😭", "negative"),
        ("すごい", "positive"),
        ("ㅋㅋㅋㅋㅋ", "positive"),
        ("lunaHype lunaHype", "positive"),
        ("lunaSad", "negative"),
        ("good graphics but the story is terrible, awful", "negative"),
        ("@LoveBot2000 what time is it?", "neutral"),
        ("see https://example.org/amazing/love", "neutral"),
        ("what game is this?", "neutral"),
        ("", "neutral"),
        ("   ", "neutral"),
        ("...", "neutral"),
    ],
)
def test_messages_sound_as_they_are_meant(text: str, label: str) -> None:
    assert LEXICON.label(text) == label


def test_emotes_are_told_apart_by_case() -> None:
    assert LEXICON.score("SeemsGood") > 0.3
    assert LEXICON.score("seemsgood") == 0.0
    assert LEXICON.score("Pain") < -0.3


def test_negation_ends_with_the_clause_and_after_three_words() -> None:
    assert LEXICON.score("not now, great stream") > 0.3
    assert LEXICON.score("not the one we saw great") > 0.3
    assert LEXICON.score("not a great stream") < 0


def test_more_feeling_scores_more() -> None:
    assert LEXICON.score("so good") > LEXICON.score("good") > LEXICON.score("kinda good") > 0
    assert LEXICON.score("GOOD") > LEXICON.score("good")
    assert LEXICON.score("good good good") > LEXICON.score("good")


def test_a_phrase_means_something_else_than_its_words() -> None:
    assert LEXICON.score("best of five") == 0.0
    assert LEXICON.score("best boss") > 0.3
    assert LEXICON.score("who asked") < -0.3


def test_what_it_found_gives_the_score() -> None:
    for row in rows():
        assert LEXICON.find(row.text).score == pytest.approx(LEXICON.score(row.text))


def test_the_tuned_lines_are_mostly_right() -> None:
    lines = labelled("tune")
    figures = compare([line.label for line in lines], [LEXICON.label(line.text) for line in lines])
    assert figures.accuracy > 0.85


def test_the_labelled_lines_are_balanced_and_different() -> None:
    lines = rows()
    assert len(lines) >= 600
    assert len({row.text.casefold() for row in lines}) == len(lines)
    kinds = [(row.label, row.split) for row in lines]
    held_out = [kinds.count((label, "held_out")) for label in ("negative", "neutral", "positive")]
    assert len(set(held_out)) == 1
    assert 2 * (len(lines) - sum(held_out)) == sum(held_out)


def test_only_the_beginning_of_a_message_is_read() -> None:
    assert LEXICON.score("x " * (MAX_CHARS // 2) + "PogChamp") == 0.0


def test_a_token_without_end_is_not_remembered() -> None:
    lexicon = Lexicon()
    assert lexicon.score("ha" * 50_000) > 0.3
    assert lexicon.score("a" * 100_000) == 0.0
    assert not lexicon._codes


def test_what_is_remembered_is_bounded() -> None:
    lexicon = Lexicon()
    for start in range(0, 45_000, 100):
        lexicon.score(" ".join(f"w{start + n}" for n in range(60)))
    assert len(lexicon._codes) <= 20_000


@settings(deadline=None)
@given(st.text())
@example("\ud800 ￼ \x00 PogChamp")
def test_any_text_has_a_score(text: str) -> None:
    score = LEXICON.score(text)
    assert -1 <= score <= 1
    assert label_of(score) == LEXICON.label(text)
    assert Lexicon().score(text) == score


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=30))
def test_any_mixture_of_words_has_a_score(tokens: list[str]) -> None:
    text = " ".join(tokens)
    assert -1 <= LEXICON.score(text) <= 1
    assert LEXICON.find(text).score == pytest.approx(LEXICON.score(text))


@settings(deadline=None)
@given(st.lists(TOKENS, max_size=10), st.text(alphabet=" \t\n", min_size=1, max_size=3))
def test_white_space_does_not_matter(tokens: list[str], space: str) -> None:
    assert LEXICON.score(space.join(tokens)) == LEXICON.score(" ".join(tokens))
