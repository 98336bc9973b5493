import shutil
from pathlib import Path

import pytest

from understudy.brains.base import BrainError
from understudy.learning.training.base_model import identify, locate
from understudy.learning.training.errors import TrainingError


def test_a_base_is_known_by_what_an_adapter_depends_on(base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(base, tmp_path / "renamed")
    assert identify(base).name == "base"
    assert identify(copy, "org/model").name == "org/model"
    assert identify(copy).hash == identify(base).hash
    (copy / "README.md").write_text("says nothing")
    assert identify(copy).hash == identify(base).hash


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_another_file_is_another_base(base: Path, tmp_path: Path, file: str) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    with (copy / file).open("a") as more:
        more.write(" ")
    assert identify(copy).hash != identify(base).hash


def test_weights_of_another_size_are_another_base(base: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(base, tmp_path / "copy")
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    renamed = identify(copy).hash
    with (copy / "model-00001-of-00001.safetensors").open("ab") as more:
        more.write(b"\0")
    assert len({identify(base).hash, renamed, identify(copy).hash}) == 3


def test_what_is_no_model_is_told(tmp_path: Path, base: Path) -> None:
    assert locate(str(base)) == base
    with pytest.raises(TrainingError, match="holds no model"):
        identify(tmp_path)
    with pytest.raises(BrainError, match="holds no model"):
        locate(str(tmp_path))
    with pytest.raises(TrainingError, match="is not on this machine"):
        locate("nobody/no-such-model")
