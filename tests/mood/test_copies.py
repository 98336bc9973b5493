from understudy.mood.copies import Copies

PASTA = "I used to be sad, then I saw a man dressed as a carrot and now I am whole"


def test_copies_are_counted() -> None:
    copies = Copies(60_000)
    assert [copies.count(PASTA, 0) for _ in range(3)] == [0.0, 1.0, 2.0]


def test_near_copies_are_copies() -> None:
    copies = Copies(60_000)
    copies.count(PASTA, 0)
    assert copies.count(PASTA.upper() + " LUL 123", 0) == 1.0
    assert copies.count("something else that also has quite a lot of words in it", 0) == 0.0


def test_short_lines_and_walls_of_one_emote_are_no_copies() -> None:
    copies = Copies(60_000)
    for text in ("PogChamp", "gg well played", "KEKW " * 40):
        assert [copies.count(text, 0) for _ in range(3)] == [0.0] * 3


def test_counts_fade() -> None:
    copies = Copies(60_000)
    copies.count(PASTA, 0)
    assert copies.count(PASTA, 60_000) == 0.5
    assert copies.count(PASTA, 30_000) > 1.0


def test_what_is_remembered_is_bounded() -> None:
    copies = Copies(60_000)
    for number in range(2_000):
        copies.count(" ".join(f"word{number}x{n}" for n in range(8)), number)
    assert len(copies._seen) <= 3_000
