# ruff: noqa: RUF001 - letters and brackets that look like others are what is tested here
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from understudy.safety.blocklist import Blocklist
from understudy.safety.moderation import MASK, SELF_HARM, SEVERE, InputFilter, OutputFilter
from understudy.safety.pii import Redactor

WORDS = ["plonk", "blue moon", "дурак", "バカ", "1488", "ass"]
CLEAN = "that last boss fight was so close, what a clutch at the end"

filter_ = InputFilter(WORDS)


def rot13(words: str, separator: str | None = None) -> list[str]:
    table = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
    return words.translate(table).split(separator)


@pytest.mark.parametrize(
    "text",
    [
        "you plonk",
        "PLONK!",
        "pl0nk",
        "p.l.o.n.k",
        "p l o n k",
        "plooooonk",
        "plonks",
        "pl*nk",
        "p\u200blonk",
        "plónk",
        "рlonk",
        "ｐｌｏｎｋ",
        "Blue  M00N tonight",
        "blue-moon",
        "blue_moon",
        "ну ты дурак",
        "お前はバカだ",
        "1488",
        "what an a$s",
        "_plonk_",
        "plonk123",
    ],
)
def test_blocked_words_are_found_in_disguise(text: str) -> None:
    assert filter_.check(text).rule == "blocked_word"


@pytest.mark.parametrize(
    "text",
    [
        CLEAN,
        "",
        "Scunthorpe and Penistone",
        "the bass class passes the assassin",
        "Niger is a country, Nigerian food is great",
        "he sniggered",
        "skys the limit, sky so high",
        "plonkton",
        "455 points",
        "I scored 14880",
        "once in a blue sky",
        "retardant foam",
        "https://example.com/watch?v=abc",
        "LUL LUL LUL LUL LUL LUL LUL",
        "hahahahahahahahahahahahahaha",
        "GOOOOOOOOAL",
        "!?!?!?",
        "😂😂😂",
        "สวัสดีครับ ยินดีต้อนรับสู่สตรีมของเรา",
        "नमस्ते दोस्तों आज का खेल बहुत अच्छा है",
        "Tiếng Việt có nhiều dấu thanh",
        "שָׁלוֹם לְכֻלָּם וּבְרוּכִים הַבָּאִים",
    ],
)
def test_ordinary_text_passes(text: str) -> None:
    verdict = filter_.check(text)
    assert verdict.allowed, verdict
    assert verdict.rule == ""


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("kys", "self_harm"),
        ("K.Y.S", "self_harm"),
        ("go kill   yourself", "self_harm"),
        ("a" * 30, "repetition"),
        ("no" + "o" * 200, "repetition"),
        ("$%&/()=$%&/()=$%&/()=!", "symbols"),
        ("⣿⣿⣿⣿⡿⠿⠿⢿⣿⣿⣿⣿⣿⣿⣿⡿⠿⢿⣿⣿⣿⣿⣿", "symbols"),
        ("h\u0300\u0301\u0302\u0303\u0304i there my good old friend", "zalgo"),
        ("".join(c + "\u0334\u0335" for c in "come here my friend"), "zalgo"),
    ],
)
def test_spam_and_bait_are_kept_out_with_a_reason(text: str, rule: str) -> None:
    verdict = filter_.check(text)
    assert not verdict.allowed
    assert verdict.rule == rule
    assert verdict.detail.endswith(".")


def test_the_built_in_words_are_blocked_and_never_quoted() -> None:
    plain = InputFilter()
    for word in rot13(SEVERE):
        verdict = plain.check(f"you {word.upper()}s")
        assert verdict.rule == "blocked_word"
        assert word not in verdict.detail
    for phrase in rot13(SELF_HARM, "|"):
        assert plain.check(phrase).rule == "self_harm"


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("see https://x.y/z", False),
        ("join example.gg/abc now", False),
        ("www.example", False),
        ("mail me at a@b.org", True),
        ("end of sentence.start of next", True),
        ("version 1.2", True),
    ],
)
def test_links_are_blocked_on_request(text: str, allowed: bool) -> None:
    assert InputFilter(allow_links=False).check(text).allowed is allowed
    assert InputFilter().check(text).allowed


disguises = st.lists(
    st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from(["", ".", "-", "_"])),
    min_size=5,
    max_size=5,
)


@given(disguises, st.sampled_from(["", "hey ", "é "]), st.sampled_from(["", " lol", "!"]))
@example([(True, 3, "-")] * 5, "é ", "!")
def test_any_mix_of_case_repeats_and_dots_is_seen_through(
    disguise: list[tuple[bool, int, str]], before: str, after: str
) -> None:
    word = ""
    for letter, (upper, repeats, separator) in zip("plonk", disguise, strict=True):
        word += (letter.upper() if upper else letter) * repeats + separator
    assert not filter_.check(before + word + after).allowed


@settings(max_examples=300)
@given(st.text(st.sampled_from("plonk0. bluem_1488asд!éバカ\u0301\u200b"), max_size=24))
def test_masking_leaves_nothing_to_find(text: str) -> None:
    words = Blocklist(WORDS)
    masked = words.mask(text, "***")
    assert not words.search(masked)
    if not words.search(text):
        assert masked == text


@settings(max_examples=300)
@given(st.text(st.sampled_from("killyourse pon1!|*$. _-kKbum0"), max_size=30))
@example("k!ll y0ur$elf")
@example("kiiiill...yourself")
@example("a$$")
def test_the_quick_look_never_misses(text: str) -> None:
    phrases = ["plonk", "blue moon", "ass", "kill yourself", "1488"]
    # With a word in another script, text in that script cannot be passed by the quick look.
    thorough = Blocklist([*phrases, "дурак"])
    assert Blocklist(phrases).search(text) == thorough.search(f"{text} щ")


def test_masking_keeps_the_rest_as_it_was() -> None:
    words = Blocklist(WORDS)
    assert words.mask("Né, you PLÖNK and дурак!", "***") == "Né, you *** and ***!"
    assert words.mask("plonk plonk", "#") == "# #"


def test_an_empty_list_blocks_nothing() -> None:
    empty = Blocklist(["", "  ", "?!"])
    assert not empty.search("anything ?!")
    assert empty.mask("anything", "***") == "anything"
    assert empty.unfinished("any") == 0


def test_output_is_withheld_masked_or_redacted() -> None:
    output = OutputFilter(WORDS)
    assert output(CLEAN) == CLEAN
    assert output("just k y s") is None
    assert output(f"you {rot13(SEVERE)[0]}") is None
    assert output("what a plonk you are") == "what a *** you are"
    assert output("write to jane@example.com ") == "write to [email] "
    assert output("the key is sk-ant-api03-abcDEF123456ghiJKL") == "the key is [key]"
    assert output("pay with 4111 1111 1111 1111") == "pay with [card]"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("my card is 4111 1111 ", 10),
        ("call +49 171", 7),
        ("once in a blue ", 5),
        ("you should kill", 4),
        ("plain words ", 0),
        ("", 0),
        ("scored 5 goals", 0),
        ("x2", 0),
        ("a skill", 0),
    ],
)
def test_what_may_become_a_number_or_phrase_is_held(text: str, held: int) -> None:
    assert OutputFilter(WORDS).hold(text) == held


@pytest.mark.parametrize(
    "piece",
    ["i", "il", "k", "ki", "kil ", "!", "n!", "i|", "p.", "a\u0301", "é", "kill ", "* ", "pl"],
)
def test_long_hostile_text_is_dealt_with_in_linear_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    filter_.check(text)
    assert filter_.check(f"{text} plonk").rule == "blocked_word"
    OutputFilter(WORDS)(text)
    OutputFilter(WORDS).hold(text)


MASKED = ["plonk", "blue moon", "ab", "дурак", "バカ 猫", "one two three", "a-b c", "don't go"]
secrets = Redactor()
severe = Blocklist([*rot13(SEVERE), *rot13(SELF_HARM, "|")])
masked = Blocklist(MASKED)
output_filter = OutputFilter(MASKED)
pieces = st.sampled_from(
    [
        *(
            "plonk",
            "pl0",
            "nk",
            "p",
            "l",
            "o",
            "n",
            "k",
            "a",
            "b",
            "ab",
            "blue",
            "m00n",
            "moon",
            "!",
        ),
        *(
            "дурак",
            "x",
            "バカ",
            "猫",
            "one",
            "tw0",
            "three",
            "k",
            "y",
            "s",
            "kill",
            "yourself",
            "c",
        ),
        *("kys", "end", "your", "life", "don't", "go", "ｂ", "é", "´", "\u200b", "4", "1", "iiiii"),
        *(
            "at",
            "(at)",
            "dot",
            "gmail",
            "com",
            "@",
            "key",
            "is",
            "swordfish7",
            "discord.gg/x",
            "12",
        ),
        *("Main", "Street", "hauptstraße", "555", "0199", "192.168", "#1234", "AT", "password:"),
    ]
)
gaps = st.sampled_from(
    [" ", " ", " ", "", ".", "-", "_", " - ", "\n", "  ", "\u3000", "!", ". ", "/"]
)


@settings(max_examples=500)
@given(st.lists(st.tuples(pieces, gaps), max_size=12))
@example([("k", " "), ("-", " "), ("y", " "), ("s", "")])
@example([("k.y", " "), ("s", "")])
@example([("x", ""), ("バカ", " "), ("猫", "")])
def test_what_the_words_alone_prove_is_what_the_filters_find(
    parts: list[tuple[str, str]],
) -> None:
    text = "".join(piece + gap for piece, gap in parts)
    shown = None if severe.search(text) else secrets.redact(masked.mask(text, MASK)).text
    assert output_filter(text) == shown
    phrase = max(severe.unfinished(text), masked.unfinished(text))
    assert output_filter.hold(text) >= phrase
    if not any(map(str.isdigit, text)):
        assert output_filter.hold(text) == phrase


def test_words_are_remembered_within_bounds() -> None:
    output = OutputFilter(WORDS)
    for number in range(25_000):
        word = f"{number:b}".translate({ord("0"): "q", ord("1"): "j"})
        assert output(f"{word} plonk") == f"{word} ***"
    assert output("k y s") is None
