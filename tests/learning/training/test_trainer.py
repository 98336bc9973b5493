"""Whole trainings of a tiny model: what comes of them, and of everything that goes wrong."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import wait_until
from tests.learning.training.conftest import HELD_OUT, ROWS, MakeRun, write_rows
from tests.tiny_model import build_model
from understudy.brains.base import BrainMessage, BrainRequest, Text
from understudy.brains.huggingface import BASE, HuggingFaceBrain
from understudy.brains.huggingface.engine import Engine
from understudy.brains.huggingface.loading import LoadOptions, load_model
from understudy.learning.training import checkpoint
from understudy.learning.training.base_model import identify
from understudy.learning.training.errors import ClaimedError, TrainingError
from understudy.learning.training.job import Job, Line, Options
from understudy.learning.training.loop import learning_rate
from understudy.learning.training.run_folder import RunFolder
from understudy.learning.training.trainer import train


def curve(folder: RunFolder) -> list[tuple[int, float, float, int, float | None]]:
    return [(e.step, e.loss, e.lr, e.tokens, e.held_out) for e in folder.log()]


def after(steps: int) -> Callable[[], bool]:
    """Asks to stop before step number `steps`."""
    asked = iter(range(steps))
    return lambda: next(asked, None) is None


def test_a_training_makes_replies_likelier(make_run: MakeRun, base: Path) -> None:
    folder = make_run([*ROWS, *HELD_OUT, {"prompt": "x", "response": ""}], epochs=6)
    result = train(folder)
    assert (result.state, result.error) == ("done", "")
    assert folder.result() == result
    rows = result.rows
    assert (rows.read, rows.trained, rows.held_out) == (31, 24, 6)
    assert rows.left_out == {"empty reply": 1}
    losses = result.losses
    assert losses.first is not None
    assert losses.last is not None
    assert losses.last < losses.first / 2
    assert losses.held_out_before is not None
    assert losses.held_out_after is not None
    assert losses.held_out_after < losses.held_out_before / 2
    assert result.base == identify(base)
    assert result.dataset.id == "run.jsonl"
    assert (result.steps, result.best_step, len(folder.log())) == (12, 12, 12)
    assert result.tokens.seen == folder.log()[-1].tokens
    assert 0 < result.tokens.trained < result.tokens.seen
    assert 0 <= result.tokens.padding < 0.3
    assert sorted(path.name for path in folder.path.iterdir()) == [
        ".lock", "adapter", "job.json", "log.jsonl", "result.json",
    ]  # fmt: skip
    config = (folder.adapter / "adapter_config.json").read_text()
    assert json.loads(config)["base_model_name_or_path"] == "base"
    assert str(base.parent) not in config


def test_the_same_job_gives_the_same_adapter(make_run: MakeRun) -> None:
    hashes = [train(make_run(name=name, epochs=1)).adapter_hash for name in ("a", "b")]
    assert hashes[0] == hashes[1]
    assert train(make_run(name="c", epochs=1, seed=1)).adapter_hash != hashes[0]


def test_an_adapter_is_gone_on_from(make_run: MakeRun) -> None:
    first = make_run([*ROWS, *HELD_OUT], name="first", epochs=3, rank=4, alpha=8)
    before = train(first)
    # The rank is the adapter's, whatever is asked for.
    onwards = make_run(
        [*ROWS, *HELD_OUT], name="onwards", start=str(first.adapter), epochs=3, rank=16
    )
    after = train(onwards)
    assert (after.state, after.error) == ("done", "")
    assert after.start == before.adapter_hash != after.adapter_hash
    assert after.losses.held_out_before == pytest.approx(before.losses.held_out_after, abs=1e-4)
    assert after.losses.held_out_after is not None
    assert after.losses.held_out_after < (before.losses.held_out_after or 0)
    assert json.loads((onwards.adapter / "adapter_config.json").read_text())["r"] == 4


def test_going_on_is_resumed_like_any_training(make_run: MakeRun) -> None:
    first = make_run(name="first", epochs=1)
    train(first)
    whole = make_run(name="whole", start=str(first.adapter), epochs=2)
    broken = make_run(name="broken", start=str(first.adapter), epochs=2)
    assert train(broken, stop=after(2)).state == "stopped"
    assert train(broken, resume=True).adapter_hash == train(whole).adapter_hash
    # Another adapter at the same place is another training.
    assert (
        train(
            broken_again := make_run(name="again", start=str(first.adapter), epochs=2),
            stop=after(2),
        ).state
        == "stopped"
    )
    shutil.rmtree(first.adapter)
    shutil.copytree(whole.adapter, first.adapter)
    assert "start changed" in train(broken_again, resume=True).error


def test_an_adapter_of_another_model_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    other = build_model(tmp_path / "other", hidden=32)
    wide = make_run(name="wide", base=other, epochs=1)
    train(wide)
    refused = train(make_run(name="refused", start=str(wide.adapter), epochs=1))
    assert (refused.state, refused.start) == ("failed", "")
    assert "does not fit the base" in refused.error
    empty = train(make_run(name="empty", start=str(tmp_path), epochs=1))
    assert "holds no adapter" in empty.error


def test_small_passes_learn_what_large_ones_do(make_run: MakeRun) -> None:
    losses: list[list[float]] = []
    for name, options in {
        "large": {"tokens_per_pass": 100_000},
        "small": {"tokens_per_pass": 60},
        "recomputed": {"recompute": "on"},
    }.items():
        folder = make_run(name=name, epochs=2, **options)
        train(folder)
        losses.append([line.loss for line in folder.log()])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)


def test_packed_rows_are_learned_too(make_run: MakeRun) -> None:
    result = train(make_run([*ROWS, *HELD_OUT], epochs=6, packing="on"))
    assert result.tokens.padding == 0
    assert result.losses.held_out_before is not None
    assert result.losses.held_out_after is not None
    assert result.losses.held_out_after < result.losses.held_out_before / 2


def test_a_weight_is_how_much_a_row_counts(make_run: MakeRun) -> None:
    def rows(weight: float) -> list[Any]:
        heavy = {"prompt": "who?", "response": "you", "meta": {"weight": weight}}
        return [*ROWS, heavy, {"prompt": "asked who?", "response": "you", "meta": {"split": "val"}}]

    after: list[float] = []
    for weight in (1.0, 50.0):
        losses = train(make_run(rows(weight), name=f"w{weight}", epochs=2)).losses
        after.append(losses.held_out_after or 0)
    assert after[1] < after[0]


def test_it_stops_when_held_out_rows_get_no_better(make_run: MakeRun) -> None:
    stranger = {"prompt": "say", "response": "你好世界 привет", "meta": {"split": "val"}}
    folder = make_run([*ROWS, stranger], epochs=30, learning_rate=0.02, evaluate_steps=1)
    result = train(folder)
    best = min(line.held_out or 99 for line in folder.log())
    assert result.state == "done"
    assert result.steps < 60
    assert result.best_step == result.steps - 2
    assert result.losses.held_out_after == best


async def test_the_adapter_changes_what_the_brain_says(make_run: MakeRun, base: Path) -> None:
    rows = [{"prompt": text, "response": "go go go!"} for text in ("hi", "hello", "hey", "yo")]
    folder = make_run(rows, epochs=40)
    train(folder)
    options = LoadOptions(model=str(base), device="cpu", dtype="float32")
    brain = HuggingFaceBrain(options, Engine(lambda: load_model(options), width=1))
    asked = BrainRequest(messages=[BrainMessage("user", "hi")], max_tokens=24, temperature=0.0)

    async def say(version: str) -> str:
        return "".join([e.text async for e in brain.stream(asked, version) if isinstance(e, Text)])

    try:
        await brain.load("ada@1", folder.adapter)
        assert await say("ada@1") == "go go go!"
        assert await say(BASE) != "go go go!"
    finally:
        await brain.aclose()


# --- interrupted


def test_a_stopped_training_goes_on_where_it_was(make_run: MakeRun) -> None:
    rows = [*ROWS, *HELD_OUT]
    whole = make_run(rows, name="whole", epochs=4, dropout=0.1)
    train(whole)
    parts = make_run(rows, name="parts", epochs=4, dropout=0.1)
    stopped = train(parts, stop=after(3))
    assert (stopped.state, stopped.steps, stopped.adapter_hash) == ("stopped", 3, "")
    assert "go on with --resume" in stopped.error
    resumed = train(parts, resume=True)
    assert curve(parts) == curve(whole)
    assert resumed.adapter_hash == train(whole, resume=True).adapter_hash
    assert not parts.checkpoint.exists()


def test_a_killed_training_goes_on_where_it_was(make_run: MakeRun) -> None:
    whole = make_run(name="whole", epochs=40)
    train(whole)
    folder = make_run(name="killed", epochs=40, checkpoint_minutes=0)
    command = [sys.executable, "-m", "understudy.learning.training", str(folder.path)]
    trainer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(folder.log()) >= 5, seconds=60)
        with pytest.raises(ClaimedError, match="another trainer is at work"):
            train(folder, resume=True)
        with pytest.raises(ClaimedError, match="another trainer is at work"):
            folder.begin(folder.job() or pytest.fail("no job"), resume=True)
    finally:
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
    assert folder.result() is None
    assert not folder.adapter.exists()
    # What a process that is killed while it writes leaves at the end of the log.
    with (folder.path / "log.jsonl").open("ab") as log:
        log.write(b'{"step": 9999, "lo')
    done = len(folder.log())
    assert done < 80
    result = train(folder, resume=True)
    assert result.state == "done"
    assert curve(folder) == curve(whole)
    assert result.adapter_hash == whole.result().adapter_hash  # type: ignore[union-attr]


def test_a_full_disk_leaves_the_former_checkpoint(make_run: MakeRun) -> None:
    folder = make_run(epochs=4)
    train(folder, stop=after(3))
    former = checkpoint.load(folder.checkpoint)
    assert former is not None
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files may not grow beyond it, which is how a full disk looks to the program.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        result = train(folder, resume=True, stop=after(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.state == "failed"
    assert "state.safetensors cannot be written (file too large): make room" in result.error
    assert os.listdir(folder.checkpoint) == ["state.safetensors"]
    kept = checkpoint.load(folder.checkpoint)
    assert kept is not None
    assert kept.position == former.position
    assert train(folder, resume=True).state == "done"
    assert [line.step for line in folder.log()] == list(range(1, 9))


def test_a_damaged_checkpoint_is_told(make_run: MakeRun) -> None:
    folder = make_run(epochs=4)
    train(folder, stop=after(2))
    file = folder.checkpoint / checkpoint.FILE
    file.write_bytes(file.read_bytes()[:-100])
    assert "is damaged" in train(folder, resume=True).error
    file.write_bytes(b"")
    result = train(folder, resume=True)
    assert "is damaged: begin anew in another folder" in result.error


def test_nothing_goes_on_as_another_training(make_run: MakeRun, base: Path, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "rows.jsonl", ROWS)
    model = shutil.copytree(base, tmp_path / "model")
    folder = make_run(data=data, base=model, epochs=4)
    train(folder, stop=after(2))
    job = folder.job()
    assert job is not None
    for other, words in [
        (Job(data=job.data, base=job.base, options=Options(epochs=9)), "epochs"),
        (Job(data="other", base=job.base, options=job.options), "data"),
        (Job(data=job.data, base="other", options=job.options), "base"),
    ]:
        with pytest.raises(TrainingError, match=rf"begun differently \(.*{words}"):
            folder.begin(other, resume=True)
    with pytest.raises(TrainingError, match="holds a run already"):
        folder.begin(job)
    write_rows(data, ROWS[:-1])
    assert "(dataset changed)" in train(folder, resume=True).error
    write_rows(data, ROWS)
    with (model / "chat_template.jinja").open("a") as template:
        template.write(" ")
    assert "(base changed)" in train(folder, resume=True).error


# --- what cannot be done


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no row can be learned from: the file is empty"),
        ([{"prompt": "a", "response": ""}] * 3, "no row can be learned from: empty reply (3)"),
        ([{"prompt": "a", "response": "so long " * 600}], "from: too long (1)"),
        ([{"prompt": "a"}], "line 1: object missing required field `response`"),
        (ROWS[:2], "the loss is no number"),
    ],
)
def test_a_failed_training_says_why(make_run: MakeRun, rows: list[Any], words: str) -> None:
    folder = make_run(rows, learning_rate=1e30 if "number" in words else 1e-3, clip=1e30)
    result = train(folder)
    assert result.state == "failed"
    assert words in result.error
    assert result == folder.result()
    assert not folder.adapter.exists()


def test_rows_are_accounted_for(make_run: MakeRun, tmp_path: Path) -> None:
    old = write_rows(tmp_path / "old.jsonl", [{"prompt": "o", "response": "old"}] * 30)
    rows: list[Any] = [
        *ROWS,
        {"prompt": "a", "response": "so long " * 600},
        {"prompt": "many words " * 400, "response": "short"},
        {"prompt": "a", "response": " "},
    ]
    result = train(make_run(rows, old=str(old), replay=0.25, epochs=1))
    kept = result.rows
    assert (kept.trained, kept.old, kept.cut) == (24 + 1 + 9, 9, 1)
    assert kept.left_out == {"too long": 1, "empty reply": 1, "older, not drawn": 21}
    assert kept.read == kept.trained + kept.held_out + sum(kept.left_out.values())


def test_a_base_that_is_none(make_run: MakeRun, tmp_path: Path) -> None:
    result = train(make_run(base=tmp_path / "nowhere", epochs=1))
    assert "nowhere is not there" in result.error
    four_bits = train(make_run(name="four", quantization="4bit"))
    assert "4 bits needs an NVIDIA GPU" in four_bits.error


def test_a_folder_without_a_job(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no job"):
        train(RunFolder(tmp_path))
    with pytest.raises(TrainingError, match="holds no run to go on with"):
        RunFolder(tmp_path).begin(Job(data="d", base="b"), resume=True)
    with pytest.raises(TrainingError, match=r"`int` >= 1 - at `\$\.options\.epochs`"):
        RunFolder(tmp_path).begin(Job(data="d", base="b", options=Options(epochs=0)))
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(TrainingError, match=r"job\.json cannot be read"):
        RunFolder(tmp_path).job()
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot be written to \(file exists\)"):
        RunFolder(tmp_path / "file").begin(Job(data="d", base="b"))


@pytest.mark.parametrize("decay", ["cosine", "linear", "constant"])
def test_the_rate_rises_and_falls(decay: Any) -> None:
    options = Options(decay=decay, warmup=0.1)
    rates = [learning_rate(step, 100, options, 2.0) for step in range(100)]
    assert rates[0] == pytest.approx(2 / 11)
    assert max(rates) == 2.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] > 0
    assert learning_rate(0, 1, options, 2.0) == 2.0


def test_a_log_of_another_hand_is_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "log.jsonl").write_text('hello\n{"step": 1, "loss": 2}\n[1]\n{"step": 2, "lo')
    assert folder.log() == [Line(step=1, loss=2.0)]
