"""`understudy train` on a tiny model: every training is a process of its own."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Understudy, interrupted_when, one_line, store, usage_error
from tests.learning.logged import stream
from tests.learning.training.conftest import PEFT_WARNING
from tests.tiny_model import STRICT, build_adapter, build_model
from understudy.cli.train import find_base, find_data
from understudy.config import Settings
from understudy.learning.training.run_folder import RunFolder

pytestmark = pytest.mark.filterwarnings(PEFT_WARNING)

ROWS = [{"prompt": f"what is {n}?", "response": f"it is {n}, my friend"} for n in range(12)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    return build_model(tmp_path_factory.mktemp("train") / "base")


@pytest.fixture
def rows(workplace: Path) -> Path:
    path = workplace / "chat.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_seeds_rows_become_an_adapter(
    understudy: Understudy, rows: Path, base: Path, workplace: Path
) -> None:
    with rows.open("a") as more:
        more.write('{"prompt": "x", "response": ""}\n')
    old = workplace / "old.jsonl"
    old.write_text('{"prompt": "old", "response": "news"}\n' * 9)
    asked = ("--base", base, "--epochs", 8, "--lr", 0.005, "--old", old, "--replay", 0.25)
    done = understudy("train", "--data", "chat.jsonl", "--output-dir", "models/latest", *asked)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("models/latest/adapter: 8 steps over 16 rows in ")
    before, after = done.stdout.partition(", loss ")[2].split(" -> ")
    assert float(after) < float(before) / 2
    assert done.stderr.splitlines() == [
        "left out: empty reply (1)",
        "left out: older, not drawn (5)",
    ]
    assert (workplace / "models/latest/adapter/adapter_model.safetensors").is_file()

    again = understudy("train", "--data", "chat.jsonl", "--output-dir", "models/latest", *asked)
    assert "models/latest holds a run already: go on with it with --resume" in one_line(again)


def test_ctrl_c_keeps_a_checkpoint(
    understudy: Understudy, rows: Path, base: Path, workplace: Path
) -> None:
    folder = RunFolder(workplace / "run")
    asked = ("train", "--data", rows, "--output-dir", "run", "--base", base, "--epochs", 2000)
    with interrupted_when(lambda: len(folder.log()) > 3):
        stopped = understudy(*asked, "--json")
    assert stopped.exit_code == 1
    assert "stopped before the end: go on with --resume" in stopped.stderr
    result = json.loads(stopped.stdout)
    assert (result["state"], result["steps"]) == ("stopped", len(folder.log()))
    assert (folder.checkpoint / "state.safetensors").is_file()
    other = understudy(*asked, "--resume", "--rank", 2)
    assert "was begun differently (rank, alpha)" in one_line(other)


def test_rows_nobody_can_learn_from(understudy: Understudy, base: Path, workplace: Path) -> None:
    (workplace / "bad.jsonl").write_text('{"prompt": "hi"}\n')
    failed = understudy("train", "--data", "bad.jsonl", "--output-dir", "run", "--base", base)
    assert "bad.jsonl, line 1: object missing required field `response`" in one_line(failed)


def test_another_trainer_can_be_named(
    understudy: Understudy, rows: Path, base: Path, workplace: Path
) -> None:
    ready = build_adapter(base, workplace / "ready", seed=1)
    script = workplace / "trainer.py"
    script.write_text(
        f"import shutil, sys; shutil.copytree({str(ready)!r}, sys.argv[1] + '/adapter')"
    )
    command = f"{sys.executable} {script} {{run}} {{dataset}}"
    asked = ("train", "--data", rows, "--base", base, "--trainer")
    done = understudy(*asked, command, "--output-dir", "run", "--json")
    assert json.loads(done.stdout)["state"] == "done"
    bad = understudy(*asked, "train it", "--output-dir", "other")
    assert "must hold {dataset} and {run}" in one_line(bad)


def test_what_follows_a_training_on_a_dataset_is_told(
    understudy: Understudy, settings: Settings, base: Path, workplace: Path
) -> None:
    store(settings, *stream(60))
    built = json.loads(understudy("dataset", "build", "--channel", "alice", "--json").stdout)
    ready = build_adapter(base, workplace / "ready", seed=1)
    script = workplace / "trainer.py"
    script.write_text(
        f"import shutil, sys; shutil.copytree({str(ready)!r}, sys.argv[1] + '/adapter')"
    )
    command = f"{sys.executable} {script} {{run}} {{dataset}}"
    asked = ("train", "--base", base, "--trainer", command, "--data", built["id"])
    done = understudy(*asked, "--output-dir", "run")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == (
        "next: understudy models register run --channel alice, then understudy evaluate with the "
        "version's name"
    )
    registered = understudy("models", "register", "run", "--channel", "alice")
    assert registered.stdout == "alice@1 is registered: understudy evaluate alice@1\n"


def test_a_version_is_gone_on_from(
    settings: Settings, understudy: Understudy, rows: Path, base: Path, workplace: Path
) -> None:
    store(settings, *stream(1))
    asked = ("train", "--data", rows, "--epochs", 1, "--base")
    assert understudy(*asked, base, "--output-dir", "first").exit_code == 0
    assert "all@1 is registered" in understudy("models", "register", "first").stdout
    onwards = understudy(*asked, base, "--output-dir", "onwards", "--start", "all@1")
    assert onwards.exit_code == 0, onwards.stderr
    understudy("models", "register", "onwards")
    assert "trained on from all@1" in understudy("models", "show", "all@2").stdout

    # Of the same sizes, but it writes conversations in another way.
    other = build_model(workplace / "other", template=STRICT)
    refused = understudy(*asked, other, "--output-dir", "refused", "--start", "all@1")
    assert "version all@1 is of base and not of other: name its base" in one_line(refused)
    unknown = understudy(*asked, base, "--output-dir", "unknown", "--start", "all@9")
    assert "there is no version all@9" in one_line(unknown)


def test_mistakes_are_one_sentence(understudy: Understudy, rows: Path, workplace: Path) -> None:
    missing = understudy("train", "--data", "nowhere.jsonl", "--output-dir", "run")
    assert "nowhere.jsonl is neither a file nor a dataset in " in one_line(missing)
    asked = ("train", "--data", rows, "--output-dir")
    assert "holds no run to go on with" in one_line(understudy(*asked, "run", "--resume"))
    assert "cannot be written to (file exists)" in one_line(understudy(*asked, rows))
    assert "use one of sft, kto, dpo" in usage_error(understudy(*asked, "run", "--method", "rl"))
    assert "--replay" in usage_error(understudy(*asked, "run", "--replay", "1"))


def test_a_dataset_is_found_by_its_id(settings: Settings, workplace: Path) -> None:
    folder = settings.data_dir / "learning" / "datasets" / "20261121-one"
    folder.mkdir(parents=True)
    assert find_data(settings, "20261121-one") == folder
    (workplace / "20261121-one").mkdir()
    assert find_data(settings, "20261121-one") == workplace / "20261121-one"


def test_the_base_is_the_local_model_of_the_settings(settings: Settings, workplace: Path) -> None:
    assert find_base(settings, "") == settings.brain.hf_model
    assert find_base(settings, "org/model") == "org/model"
    (workplace / "model").mkdir()
    assert find_base(settings, "model") == str(workplace / "model")
    hosted = settings.brain.model_copy(update={"provider": "openai", "model": "gpt-4o"})
    local = settings.brain.model_copy(update={"provider": "huggingface", "model": "org/mine"})
    for brain, model in [(hosted, settings.brain.hf_model), (local, "org/mine")]:
        assert find_base(settings.model_copy(update={"brain": brain}), "") == model
