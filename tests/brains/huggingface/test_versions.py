import pytest

from understudy.brains.base import BrainError
from understudy.brains.huggingface.versions import Versions
from understudy.storage.rows import BASE


def test_new_replies_get_the_promoted_version_and_old_ones_keep_theirs():
    versions = Versions()
    versions.add("v1")
    first = versions.lease()
    versions.promote("v1")
    assert (first, versions.lease(), versions.default) == (BASE, "v1", "v1")


def test_a_version_that_leaves_takes_no_new_reply_and_is_free_after_the_last():
    versions = Versions()
    versions.add("v1")
    versions.lease("v1")
    versions.leave("v1")
    assert versions.names() == [BASE]
    assert not versions.is_free("v1")
    with pytest.raises(BrainError, match="not loaded"):
        versions.lease("v1")
    versions.release("v1")
    assert versions.is_free("v1")
    versions.remove("v1")
    versions.check_new("v1")


@pytest.mark.parametrize("name", [BASE, "v1"])
def test_the_base_and_the_default_stay(name: str):
    versions = Versions()
    versions.add("v1")
    versions.promote("v1")
    with pytest.raises(BrainError, match="promote another first"):
        versions.leave(name)


@pytest.mark.parametrize("name", ["", " ", BASE])
def test_a_name_must_be_new(name: str):
    with pytest.raises(BrainError, match="choose a new one"):
        Versions().check_new(name)


def test_an_unknown_version_is_one_sentence():
    with pytest.raises(BrainError, match="version 'v9' is not loaded") as caught:
        Versions().promote("v9")
    assert caught.value.kind == "unknown_model"
