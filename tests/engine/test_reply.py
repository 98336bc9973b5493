import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from understudy.engine.reply import (
    EMOTIONS,
    Felt,
    HoldingFilter,
    OutputFilter,
    ReplyPart,
    ReplyStream,
    Sentence,
    Shown,
)
from understudy.safety.moderation import OutputFilter as ModerationFilter


def run(stream: ReplyStream, tokens: list[str]) -> list[ReplyPart]:
    return [part for token in tokens for part in stream.feed(token)] + stream.finish()


def shown(parts: list[ReplyPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Shown))


def felt(parts: list[ReplyPart]) -> list[Felt]:
    return [part for part in parts if isinstance(part, Felt)]


def pieces(text: str, steps: list[int]) -> list[str]:
    tokens: list[str] = []
    for step in steps:
        tokens.append(text[:step])
        text = text[step:]
    return [*tokens, text]


@pytest.mark.parametrize(
    ("text", "visible", "feelings"),
    [
        ("[happy] Hi there!", "Hi there!", [Felt("happy", 1.0)]),
        ("Hi [happy:0.6] there!", "Hi there!", [Felt("happy", 0.6)]),
        ("Hi there [HAPPY]!", "Hi there!", [Felt("happy")]),
        ("Hi there[sad:7].", "Hi there.", [Felt("sad", 1.0)]),
        ("Hi [sad:-2] there", "Hi there", [Felt("sad", 0.0)]),
        ("Hi [sad: .5] there", "Hi there", [Felt("sad", 0.5)]),
        ("Hi [sad] [happy] there", "Hi there", [Felt("sad"), Felt("happy")]),
        ("[sad][happy]Hi", "Hi", [Felt("sad"), Felt("happy")]),
        ("Hi. [happy]", "Hi.", [Felt("happy")]),
        ("Hi. [happy] ", "Hi.", [Felt("happy")]),
        ("Hi [happy]\nthere", "Hi\nthere", [Felt("happy")]),
        ("Hi\n[happy] there", "Hi\nthere", [Felt("happy")]),
        ("so ([happy] really [sad])", "so (really)", [Felt("happy"), Felt("sad")]),
        ("Great [happy] :)", "Great :)", [Felt("happy")]),
        ("Listen [happy]: go", "Listen: go", [Felt("happy")]),
        ("[happy]", "", [Felt("happy")]),
        ("as in [1] and [2]", "as in [1] and [2]", []),
        ("a [happy](http://x) link", "a [happy](http://x) link", []),
        ("[Not an emotion because of spaces]", "[Not an emotion because of spaces]", []),
        ("[happy birthday] x", "[happy birthday] x", []),
        ("open [happy", "open [happy", []),
        ("open [", "open [", []),
        ("open [happy:0.5", "open [happy:0.5", []),
        ("empty [] [:1] [happy:]", "empty [] [:1] [happy:]", []),
        ("nested [[happy]] x", "nested [[happy]] x", []),
        ("[" + "a" * 33 + "]", "[" + "a" * 33 + "]", []),
        ("[x] [happy\n]", "[x] [happy\n]", []),
        ("  \n Hi  there  ", "Hi  there  ", []),
    ],
)
@pytest.mark.parametrize("step", [1, 2, 3, 100])
def test_tags_are_cut_out_and_all_else_is_shown(
    text: str, visible: str, feelings: list[Felt], step: int
) -> None:
    tokens = [text[at : at + step] for at in range(0, len(text), step)]
    for emotions in (None, ("happy", "sad")):
        parts = run(ReplyStream(emotions=emotions), tokens)
        assert shown(parts) == visible
        assert felt(parts) == feelings


def test_only_known_names_are_tags_when_they_are_given() -> None:
    parts = run(ReplyStream(emotions=["Happy"]), ["a [laughs] [note] b [happy]"])
    assert shown(parts) == "a [laughs] [note] b"
    assert felt(parts) == [Felt("happy")]


def test_a_bracket_that_cannot_become_a_tag_is_shown_at_once() -> None:
    stream = ReplyStream(emotions=EMOTIONS)
    assert stream.feed("Hi [h") == [Shown("Hi")]
    assert stream.feed("o") == [Shown(" [ho")]
    assert ReplyStream().feed("Hi [1") == [Shown("Hi [1")]


def test_without_a_filter_every_token_is_shown_when_it_comes() -> None:
    stream = ReplyStream()
    for token in ["Going", " great!", " Ready", " to", " train?"]:
        assert shown(stream.feed(token)) == token


def test_parts_come_in_their_places_and_sentences_after_their_text() -> None:
    parts = run(ReplyStream(), ["[happy] Hello", " there. [sad:0.2] Bye", "."])
    assert parts == [
        Felt("happy"),
        Shown("Hello"),
        Shown(" there."),
        Felt("sad", 0.2),
        Shown(" Bye"),
        Sentence("Hello there."),
        Shown("."),
        Sentence("Bye."),
    ]


ALPHABET = [*"ab [](:.!?\n\t0、", "[happy]", "[sad:0.5]", "happy", " ", " darn", "  "]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join)
STEPS = st.lists(st.integers(1, 9), max_size=60)


@given(TEXTS, STEPS)
@example("Hi [happy] !", [1] * 12)
def test_the_split_does_not_matter(text: str, steps: list[int]) -> None:
    whole = run(ReplyStream(), [text])
    parts = run(ReplyStream(), pieces(text, steps))
    assert shown(parts) == shown(whole)
    assert felt(parts) == felt(whole)
    assert [p for p in parts if isinstance(p, Sentence)] == [
        p for p in whole if isinstance(p, Sentence)
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="["), max_size=200), STEPS)
def test_text_without_tags_is_shown_as_it_is(text: str, steps: list[int]) -> None:
    parts = run(ReplyStream(), pieces(text, steps))
    assert shown(parts) == text.lstrip()


@given(TEXTS, STEPS)
def test_no_gap_is_left_where_a_tag_was(text: str, steps: list[int]) -> None:
    single = re.sub(r"[ \t]+", " ", text)
    visible = shown(run(ReplyStream(), pieces(single, steps)))
    assert "  " not in visible


def censor(text: str) -> str | None:
    """Withholds what holds a blocked phrase, and masks a blocked word."""
    if re.search(r"\bvery bad\b|禁止", text):
        return None
    return re.sub(r"\bdarn\b", "****", text)


class Patient:
    """Blocks a phrase and holds its beginning back."""

    phrase = "very bad thing"

    def __call__(self, text: str, /) -> str | None:
        return text.replace(self.phrase, "kind thing")

    def hold(self, text: str, /) -> int:
        lengths = range(min(len(self.phrase), len(text)), 0, -1)
        return next((n for n in lengths if self.phrase.startswith(text[-n:])), 0)


@given(TEXTS, STEPS)
def test_the_split_does_not_matter_to_what_a_filter_lets_through(
    text: str, steps: list[int]
) -> None:
    whole = run(ReplyStream(censor), [text])
    parts = run(ReplyStream(censor), pieces(text, steps))
    assert shown(parts) == shown(whole)
    assert felt(parts) == felt(whole)
    assert not re.search(r"\bdarn\b", shown(parts))


@given(st.text(max_size=200), STEPS)
def test_a_filter_without_objection_changes_nothing(text: str, steps: list[int]) -> None:
    def agree(text: str) -> str:
        return text

    filtered = ReplyStream(agree, emotions=())
    parts = run(filtered, pieces(text, steps))
    assert shown(parts) == shown(run(ReplyStream(emotions=()), [text]))
    assert filtered.withheld == 0


def test_with_a_filter_the_screen_is_one_word_behind_at_most() -> None:
    stream = ReplyStream(censor)
    words = [f" word{number}" for number in range(30)]
    for before, token in zip(["", *words], words, strict=False):
        assert shown(stream.feed(token)).strip() == before.strip()
    assert shown(stream.finish()) == words[-1]


def test_scripts_without_spaces_are_not_held_back() -> None:
    stream = ReplyStream(censor)
    assert shown(stream.feed("你好你")) == "你好你"
    assert shown(stream.feed("禁止" + "好")) == "禁好"


def test_a_word_without_end_is_shown_in_pieces() -> None:
    stream = ReplyStream(censor)
    assert len(shown(stream.feed("a" * 200))) == 192


def test_a_blocked_word_never_shows_and_a_blocked_phrase_never_whole() -> None:
    stream = ReplyStream(censor)
    parts = run(stream, list("That is darn good, but very bad indeed. Very well."))
    assert shown(parts) == "That is **** good, but very indeed. Very well."
    assert stream.withheld == 2


def test_what_the_filter_itself_put_on_the_screen_does_not_silence_the_rest() -> None:
    def fickle(text: str) -> str | None:
        return None if "dog" in text else text.replace("cat", "dog")

    assert shown(run(ReplyStream(fickle), ["a cat", " and", " you"])) == "a dog and you"


def test_withholding_the_first_word_leaves_no_space_in_front() -> None:
    def no_hello(text: str) -> str | None:
        return None if "Hello" in text else text

    assert shown(run(ReplyStream(no_hello), ["Hello dear", " friend"])) == "dear friend"


@pytest.mark.parametrize("step", [1, 5, 100])
def test_a_holding_filter_does_not_even_show_the_beginning(step: int) -> None:
    text = "A very nice day, a very bad thing, a very bad"
    patient = Patient()
    assert isinstance(patient, HoldingFilter)
    stream = ReplyStream(patient)
    parts: list[ReplyPart] = []
    for at in range(0, len(text), step):
        parts += stream.feed(text[at : at + step])
        assert "very bad" not in shown(parts)
    parts += stream.finish()
    assert shown(parts) == "A very nice day, a kind thing, a very bad"


def test_a_filter_cannot_hold_text_for_ever() -> None:
    class Stubborn:
        def __call__(self, text: str, /) -> str | None:
            return text

        def hold(self, text: str, /) -> int:
            return len(text)

    stream = ReplyStream(Stubborn())
    visible = shown(stream.feed("word " * 200))
    assert visible.startswith("word word")


def test_a_plain_function_is_a_filter() -> None:
    given_filter: OutputFilter = censor
    assert not isinstance(given_filter, HoldingFilter)
    assert shown(run(ReplyStream(given_filter), ["fine"])) == "fine"


@pytest.mark.parametrize("step", [1, 4, 200])
def test_the_built_in_filter_fits_and_holds_what_it_cannot_judge_yet(step: int) -> None:
    built_in = ModerationFilter(["darn", "secret plan"])
    assert isinstance(built_in, HoldingFilter)
    stream = ReplyStream(built_in, EMOTIONS)
    text = "[happy] Well darn, the secret plan is at ana@example.com, the secret garden is not."
    parts: list[ReplyPart] = []
    for at in range(0, len(text), step):
        parts += stream.feed(text[at : at + step])
        assert "secret plan" not in shown(parts)
        assert "ana@" not in shown(parts)
    parts += stream.finish()
    visible = shown(parts)
    assert visible.startswith("Well ***, the *** is at ")
    assert visible.endswith(", the secret garden is not.")
    assert "darn" not in visible
    assert felt(parts) == [Felt("happy")]


def test_the_built_in_filter_leaves_plain_talk_one_word_behind_at_most() -> None:
    stream = ReplyStream(ModerationFilter(["darn"]), EMOTIONS)
    tokens = [" Going", " great!", " Ready", " to", " train?", " Then", " warm", " up."]
    for before, token in zip(["", *tokens], tokens, strict=False):
        assert shown(stream.feed(token)).strip() == before.strip()


TALK = st.lists(
    st.sampled_from(["darn", "d4rn", "secret", "plan", "a", "+49 170", "1234567", "so.", "[sad]"]),
    max_size=12,
).map(" ".join)


@given(TALK, STEPS)
def test_no_split_gets_a_blocked_word_past_the_built_in_filter(text: str, steps: list[int]) -> None:
    built_in = ModerationFilter(["darn", "secret plan"])
    parts = run(ReplyStream(built_in, EMOTIONS), pieces(text, steps))
    assert shown(parts) == shown(run(ReplyStream(built_in, EMOTIONS), [text]))
    assert built_in(shown(parts)) == shown(parts)
