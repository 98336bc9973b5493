"""What is being talked about."""

from understudy.engine.topics import FRESH_MS, MAX_WORDS, Topic


def test_relevance_is_the_share_of_fresh_words() -> None:
    topic = Topic()
    assert topic.relevance(("boss",), 0) == 0
    topic.hear(("boss", "sword"), 1_000)
    assert topic.relevance(("which", "sword"), 1_000) == 0.5
    assert topic.relevance((), 1_000) == 0
    assert topic.relevance(("sword",), 1_000 + FRESH_MS) == 0


def test_only_so_many_words_are_remembered() -> None:
    topic = Topic()
    topic.hear(("first",), 0)
    topic.hear((f"word{number}" for number in range(MAX_WORDS)), 0)
    assert topic.relevance(("first",), 0) == 0
    assert topic.relevance(("word0",), 0) == 1
