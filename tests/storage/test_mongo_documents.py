"""The ids of documents in MongoDB, and what an address tells without its credentials."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.storage.chat_tail import MessageKey
from understudy.storage.mongo_client import place_of
from understudy.storage.mongo_documents import document_id, ids_of

_NAMES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["a/b", "a", "b/", "/"]
)
_KEYS = st.builds(MessageKey, _NAMES, st.integers(0, 10**14), _NAMES)


@given(_KEYS, _KEYS)
def test_different_messages_have_different_ids(one: MessageKey, other: MessageKey) -> None:
    assert (document_id(one) == document_id(other)) == (one == other)


@given(_KEYS, st.integers(0, 10**13 - 1), st.integers(0, 10**13 - 1))
def test_ids_of_a_channel_are_in_order_of_time(key: MessageKey, one: int, other: int) -> None:
    first, second = sorted((one, other))
    if first != second:
        assert document_id(MessageKey(key.channel, first, "z")) < document_id(
            MessageKey(key.channel, second, "a")
        )


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("mongodb://localhost:27017/", "localhost:27017"),
        ("mongodb://kim:secret@a.example,b.example:1/TwitchChat?w=1", "a.example,b.example:1"),
        ("mongodb+srv://kim:se/cr?et@cluster.example/?appName=x", "cluster.example"),
        ("mongodb://host?authMechanismProperties=TOKEN:x", "host"),
        ("nonsense", ""),
    ],
)
def test_the_place_of_an_address_has_no_credentials(url: str, place: str) -> None:
    assert place_of(url) == place


@given(_KEYS, _NAMES)
def test_a_channel_has_its_own_ids_and_no_others(key: MessageKey, channel: str) -> None:
    condition = ids_of(channel)
    inside = condition["$gte"] <= document_id(key) < condition["$lt"]
    assert inside == (key.channel == channel)
