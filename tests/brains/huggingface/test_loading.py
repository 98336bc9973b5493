from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from understudy.brains.base import BrainError
from understudy.brains.huggingface import loading
from understudy.brains.huggingface.loading import LoadOptions, load_model


@pytest.fixture
def fails(models: Path):
    def load(model: Path | str, **options: Any) -> BrainError:
        with pytest.raises(BrainError) as caught:
            load_model(LoadOptions(model=str(model), **options))
        assert "\n" not in str(caught.value)
        return caught.value

    return load


def machine(gpu: bool = False, apple: bool = False, bf16: bool = True) -> Any:
    """What torch says about a machine: no test can count on a GPU."""
    return SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: gpu, is_bf16_supported=lambda: bf16),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: apple)),
        cpu=SimpleNamespace(get_capabilities=lambda: {"avx512_bf16": bf16}),
    )


def test_a_model_says_what_it_is(models: Path):
    local = load_model(LoadOptions(model=str(models / "base"), device="cpu", dtype="float32"))
    assert (local.device, local.dtype, local.window) == ("cpu", "float32", 4096)
    assert local.end_tokens == {local.tokenizer.eos_token_id}
    assert not local.model.training


def test_a_folder_that_is_not_there(fails: Any, tmp_path: Path):
    error = fails(tmp_path / "nowhere")
    assert "nowhere is not there: check brain.model" in str(error)
    assert error.kind == "unknown_model"


def test_a_folder_without_a_model(fails: Any, tmp_path: Path):
    error = fails(tmp_path)
    assert "holds no model (config.json is not there)" in str(error)
    assert error.kind == "unknown_model"


def test_a_folder_with_something_else(fails: Any, tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "toaster"}')
    assert "cannot be loaded as a language model" in str(fails(tmp_path))


def test_weights_that_are_damaged(fails: Any, tmp_path: Path, models: Path):
    for file in (models / "base").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    assert "cannot be loaded as a language model" in str(fails(tmp_path))


def test_an_id_that_is_not_on_this_machine_without_a_network(fails: Any):
    error = fails("understudy-tests/no-such-model")
    assert "the model hub cannot be reached: give a model folder" in str(error)
    assert (error.kind, error.retryable) == ("unavailable", False)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("GatedRepoError", "unauthorized", "set HF_API_KEY"),
        ("RepositoryNotFoundError", "unknown_model", "not known to the model hub"),
        ("OutOfMemoryError", "failed", "does not fit into memory"),
    ],
)
def test_failures_that_need_the_hub_or_a_gpu(name: str, kind: str, words: str):
    # The libraries tell them apart by these classes, wrapped into an OSError.
    error = OSError("wrapped")
    error.__cause__ = type(name, (Exception,), {})("details")
    told = loading.explain_load("some/model", error)
    assert words in str(told)
    assert told.kind == kind


def test_a_model_that_needs_another_package():
    assert "not installed" in str(loading.explain_load("m", ImportError("needs sentencepiece")))


def test_a_missing_extra_names_the_command():
    with pytest.raises(BrainError, match=r"needs no_such_package: pip install 'understudy\["):
        loading.require("no_such_package")


@pytest.mark.parametrize(
    ("there", "wanted", "device"),
    [
        ({}, "auto", "cpu"),
        ({"gpu": True}, "auto", "cuda"),
        ({"apple": True}, "auto", "mps"),
        ({"gpu": True}, "cuda:1", "cuda:1"),
        ({"gpu": True}, "cpu", "cpu"),
    ],
)
def test_the_device_is_the_wanted_or_the_fastest(there: Any, wanted: str, device: str):
    assert loading.choose_device(machine(**there), wanted) == device


@pytest.mark.parametrize("wanted", ["cuda", "mps", "toaster"])
def test_a_device_that_is_not_there(wanted: str):
    with pytest.raises(BrainError, match=f"brain.device is {wanted}, but this machine has none"):
        loading.choose_device(machine(), wanted)


@pytest.mark.parametrize(
    ("device", "bf16", "dtype"),
    [
        ("cuda", True, "bfloat16"),
        ("cuda", False, "float16"),
        ("mps", True, "float16"),
        ("cpu", True, "bfloat16"),
        ("cpu", False, "float32"),
    ],
)
def test_the_number_format_suits_the_device(device: str, bf16: bool, dtype: str):
    assert loading.choose_dtype(machine(bf16=bf16), "auto", device) == dtype


def test_quantisation_needs_a_gpu(fails: Any, models: Path):
    error = fails(models / "base", device="cpu", quantization="4bit")
    assert str(error) == "brain.quantization 4bit needs an NVIDIA GPU: set it to none"


def test_quantisation_needs_its_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BrainError, match="pip install bitsandbytes"):
        loading.choose_quantization("8bit", "cuda")
    with pytest.raises(BrainError, match="needs torch: pip install"):
        loading.check_installed()


def test_quantisation_says_what_it_wants():
    assert loading.choose_quantization("auto", "cuda") == "none"


def test_one_core_is_left_to_the_others():
    assert loading.compute_threads() >= 1
