"""Trainings in processes of their own, and commands of other makers."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from tests.learning.training.conftest import ROWS, MakeRun
from tests.tiny_model import build_adapter
from tests.waiting import until
from understudy.learning.training.base_model import identify
from understudy.learning.training.errors import ClaimedError, TrainingError
from understudy.learning.training.external import fill, run_external
from understudy.learning.training.job import Line
from understudy.learning.training.process import NICENESS, run_training

SLOW = 60
"""Seconds a process may take to import what it needs on a busy machine."""


async def test_a_training_in_a_process_is_followed_to_its_end(make_run: MakeRun) -> None:
    folder = make_run(epochs=3)
    lines: list[Line] = []
    result = await run_training(folder, on_line=lines.append)
    assert result.state == "done"
    assert [line.step for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines == folder.log()
    assert await run_training(folder, resume=True) == result
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "training-log"]


async def test_a_cancelled_training_keeps_a_checkpoint(make_run: MakeRun) -> None:
    folder = make_run(epochs=4000)
    lines: list[Line] = []
    training = asyncio.create_task(run_training(folder, on_line=lines.append))
    await until(lambda: lines, within=SLOW)
    with pytest.raises(ClaimedError, match="another trainer is at work"):
        await run_training(folder, resume=True)
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    result = folder.result()
    assert result is not None
    assert (result.state, result.steps) == ("stopped", len(folder.log()))
    assert (folder.checkpoint / "state.safetensors").is_file()


async def test_a_killed_trainer_is_told(make_run: MakeRun) -> None:
    folder = make_run(epochs=4000)
    killed: list[int] = []

    def kill(line: Line) -> None:
        if not killed:
            killed.append(line.step)
            (trainer,) = children()
            assert os.getpriority(os.PRIO_PROCESS, trainer) >= NICENESS
            os.kill(trainer, signal.SIGKILL)

    result = await run_training(folder, on_line=kill)
    assert result.state == "failed"
    assert f"killed (SIGKILL) after step {len(folder.log())} of 8000" in result.error
    assert result == folder.result()
    assert not folder.adapter.exists()


async def test_a_trainer_whose_parent_was_killed_stops(make_run: MakeRun) -> None:
    folder = make_run(epochs=4000)
    script = (
        "import asyncio, sys, pathlib\n"
        "from understudy.learning.training.process import run_training\n"
        "from understudy.learning.training.run_folder import RunFolder\n"
        "asyncio.run(run_training(RunFolder(pathlib.Path(sys.argv[1]))))\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(folder.path))
    try:
        await until(lambda: folder.log(), within=SLOW)
    finally:
        parent.kill()
        await parent.wait()
    await until(lambda: folder.result(), within=SLOW)
    result = folder.result()
    assert result is not None
    assert result.state == "stopped"
    assert (folder.checkpoint / "state.safetensors").is_file()


def children() -> list[int]:
    """The processes that this one started and that are trainers."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(fields[1]) == os.getpid() and b"learning.training" in command:
            found.append(int(stat.parent.name))
    return found


# --- other trainers


TRAINER = """
import json, shutil, sys
from pathlib import Path
dataset, run, base, ready = sys.argv[1:5]
rows = Path(dataset).read_text().splitlines()
with open(Path(run) / "log.jsonl", "a") as log:
    for step in (1, 2):
        log.write(json.dumps({"step": step, "steps": 2, "loss": 3 / step, "rows": len(rows)}))
        log.write("\\n")
print("warming up")
if ready == "broken":
    sys.exit("out of luck: " + base)
if ready != "nothing":
    shutil.copytree(ready, Path(run) / "adapter")
"""


@pytest.fixture
def command(tmp_path: Path) -> str:
    script = tmp_path / "other trainer.py"
    script.write_text(TRAINER)
    return f"{sys.executable} '{script}' {{dataset}} {{run}} {{base}}"


async def test_another_trainer_does_the_work(
    make_run: MakeRun, base: Path, tmp_path: Path, command: str
) -> None:
    ready = build_adapter(base, tmp_path / "ready", seed=1)
    folder = make_run(epochs=1)
    lines: list[Line] = []
    result = await run_external(folder, f"{command} {ready}", on_line=lines.append)
    assert (result.state, result.error) == ("done", "")
    assert [line.loss for line in lines] == [3.0, 1.5]
    assert (result.losses.first, result.losses.last, result.steps) == (3.0, 1.5, 2)
    assert result.rows.trained == len(ROWS)
    assert result.base == identify(base)
    assert len(result.adapter_hash) == 64
    assert result == folder.result()
    assert "warming up" in (folder.path / "trainer.log").read_text()


async def test_what_another_trainer_fails_at_is_told(make_run: MakeRun, command: str) -> None:
    broken = await run_external(make_run(name="broken"), f"{command} broken")
    assert broken.state == "failed"
    assert "ended with code 1 (out of luck: " in broken.error
    nothing = await run_external(make_run(name="nothing"), f"{command} nothing")
    assert "holds no adapter (adapter_config.json is not there)" in nothing.error
    folder = make_run(name="missing")
    with pytest.raises(TrainingError, match="cannot be started"):
        await run_external(folder, "no-such-trainer {dataset} {run}")
    assert folder.result() is None
    with pytest.raises(TrainingError, match="line 1: object missing"):
        await run_external(make_run([{}], name="rows"), f"{command} broken")


def test_no_shell_reads_the_command(make_run: MakeRun, tmp_path: Path, base: Path) -> None:
    folder = make_run(data=tmp_path / "a b; $(rm x)")
    job = folder.job()
    assert job is not None
    words = fill("train --data={dataset} '--out {run}' {base}", job, folder)
    assert words == [
        "train", f"--data={tmp_path}/a b; $(rm x)", f"--out {folder.path}", str(base),
    ]  # fmt: skip
    for bad, reason in [
        ("train {dataset}", "must hold"),
        ("train {dataset} {run} {home}", "knows no other places"),
        ("train {dataset} {run} 'x", "No closing quotation"),
    ]:
        with pytest.raises(TrainingError, match=reason):
            fill(bad, job, folder)
    onwards = msgspec.structs.replace(job, start="/adapters/x y")
    template = "train {dataset} {run} --from={start}"
    assert fill(template, onwards, folder)[-1] == "--from=/adapters/x y"
    assert fill(template, job, folder)[-1] == "--from="
    with pytest.raises(TrainingError, match=r"begins at the base: .* tell it with \{start\}"):
        fill("train {dataset} {run}", onwards, folder)
