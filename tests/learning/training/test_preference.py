"""Thumbs and rankings, through TRL."""

from pathlib import Path
from typing import Any

import pytest

from tests.learning.training.conftest import MakeRun
from understudy.brains.huggingface.loading import LoadOptions, load_model
from understudy.learning.training.encoding import Encoder
from understudy.learning.training.losses import Losses
from understudy.learning.training.packing import Shape
from understudy.learning.training.preference import balance, batch_of
from understudy.learning.training.rows import Message
from understudy.learning.training.trainer import train

pytest.importorskip("trl", reason="the extra understudy[trl] is not installed")

# TRL and what it brings warn of each other's plans.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

THUMBS = [
    {"prompt": f"what is {n}?", "response": "go away" if n % 3 else "hello, my friend",
     "label": n % 3 == 0}
    for n in range(25)
]  # fmt: skip
PAIRS = [
    {"prompt": f"what is {n}?", "chosen": "hello, my friend", "rejected": "go away"}
    for n in range(20)
]


def nats(base: Path, adapter: Path | None, reply: str) -> float:
    """The loss of `reply` under the base, or with the adapter."""
    local = load_model(LoadOptions(model=str(base), device="cpu", dtype="float32"))
    model = local.model
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter))
    example = Encoder(local).encode([Message("user", "what is 99?")], reply)
    (loss,) = Losses(model, "cpu", packed=False).of_rows([example], Shape(1, 1000, False))
    return loss.nats / loss.tokens


@pytest.mark.parametrize(("method", "rows"), [("kto", THUMBS), ("dpo", PAIRS)])
def test_what_was_liked_gets_likelier(
    make_run: MakeRun, base: Path, method: str, rows: list[Any]
) -> None:
    folder = make_run(rows, method=method, epochs=5)
    result = train(folder)
    assert (result.state, result.error) == ("done", "")
    assert (result.rows.read, result.rows.trained) == (len(rows), len(rows))
    assert [line.step for line in folder.log()] == list(range(1, result.steps + 1))
    assert result.losses.first is not None
    assert result.losses.last is not None
    assert result.losses.last < result.losses.first
    assert sorted(path.name for path in folder.adapter.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    liked, disliked = "hello, my friend", "go away"
    assert nats(base, folder.adapter, liked) < nats(base, None, liked) - 0.5
    gap = nats(base, folder.adapter, disliked) - nats(base, folder.adapter, liked)
    assert gap > nats(base, None, disliked) - nats(base, None, liked)


def test_an_interrupted_one_goes_on(make_run: MakeRun) -> None:
    whole = make_run(PAIRS, name="whole", method="dpo", epochs=3)
    train(whole)
    parts = make_run(PAIRS, name="parts", method="dpo", epochs=3)
    asked = iter(range(2))
    stopped = train(parts, stop=lambda: next(asked, None) is None)
    assert (stopped.state, stopped.steps) == ("stopped", 3)
    result = train(parts, resume=True)
    assert result.state == "done"
    assert [line.step for line in parts.log()] == [1, 2, 3, 4, 5, 6]
    expected = [line.loss for line in whole.log()]
    assert [line.loss for line in parts.log()] == pytest.approx(expected, rel=1e-3)
    assert not parts.checkpoint.exists()


def test_thumbs_of_one_kind_are_refused(make_run: MakeRun) -> None:
    liked = [{**row, "label": True} for row in THUMBS]
    error = train(make_run(liked, name="liked", method="kto")).error
    assert "needs liked and disliked replies, but all 25 are liked: collect the other" in error
    empty = [{"prompt": "a", "response": "", "label": False}]
    assert "empty reply (1)" in train(make_run(empty, name="empty", method="kto")).error
    assert "`label`" in train(make_run([{"prompt": "a", "response": "b"}], method="kto")).error


def test_rows_that_do_not_fit_are_counted(make_run: MakeRun) -> None:
    rows = [*PAIRS, {"prompt": "a", "chosen": "so long " * 600, "rejected": "x"}]
    rows.append({"prompt": "many words " * 400, "chosen": "yes", "rejected": "no"})
    result = train(make_run(rows, method="dpo", epochs=1))
    assert result.rows.left_out == {"too long": 1}
    assert (result.rows.read, result.rows.trained, result.rows.cut) == (22, 21, 1)


def test_both_kinds_of_thumbs_count_the_same() -> None:
    assert balance([True, True, True, False]) == (1.0, 3.0)
    assert balance([True, False, False]) == (2.0, 1.0)
    assert balance([True, False]) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("rows", "wanted", "size"), [(32, 16, 16), (17, 16, 15), (3, 2, 3), (2, 16, 2), (40, 1, 2)]
)
def test_no_thumb_is_compared_with_itself(rows: int, wanted: int, size: int) -> None:
    assert batch_of(rows, wanted) == size
