"""`understudy models` and `understudy evaluate` on versions of a real tiny model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Understudy, execute, one_line, usage_error
from tests.learning.versions.small_world import base_model, run_on, write_dataset
from understudy.config import Settings
from understudy.learning.gates import suite

DATASET = "20261101-000000-000"
CONVERTER = """
import pathlib, sys
model, flag, out = sys.argv[1:]
assert flag == "--outfile"
assert (pathlib.Path(model) / "config.json").is_file()
if "fail" in out:
    print("INFO loading", "ValueError: no such architecture", sep="\\n")
    sys.exit(1)
pathlib.Path(out).write_bytes(b"GGUF")
"""

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base`, a dataset and a run on it."""
    pytest.importorskip("peft", reason="the extra understudy[train] is not installed")
    folder = tmp_path_factory.mktemp("trained")
    base = base_model(folder / "base")
    dataset = write_dataset(folder / "data" / "learning" / "datasets" / DATASET)
    run_on(base, dataset, folder / "data" / "learning" / "runs" / "first")
    return folder


@pytest.fixture
def run_folder(trained: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished run in the data directory, which has a database."""
    shutil.copytree(trained / "data", settings.data_dir)
    monkeypatch.setenv("HF_MODEL", str(trained / "base"))
    monkeypatch.setenv("UNDERSTUDY_BRAIN__DEVICE", "cpu")
    execute(settings, "SELECT 1")
    return settings.data_dir / "learning" / "runs" / "first"


@pytest.fixture
def registered(run_folder: Path, understudy: Understudy) -> Path:
    """The base of the registered version all@1."""
    done = understudy("models", "register", run_folder)
    assert done.stdout == "all@1 is registered: understudy evaluate all@1\n"
    return run_folder


def test_from_a_run_to_a_live_version_and_back(
    registered: Path,
    understudy: Understudy,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The prompts that come with the program are asked by the benchmark; here a few will do.
    few = suite.built_in_suite()[:6]
    monkeypatch.setattr(suite, "built_in_suite", lambda: few)
    refused = one_line(understudy("models", "promote", "all@1"))
    assert refused == "version all@1 was not evaluated: run understudy evaluate all@1"
    judged = understudy("evaluate", "all@1")
    assert judged.exit_code == 0, judged.output
    assert "all@1 against base: passed" in judged.stdout
    assert "G2 better" in judged.stdout
    tried = understudy("models", "canary", "all@1", "--share", "0.2", "--by", "olga")
    assert tried.stdout.startswith("all@1 answers 20% of those who ask in all channels, after base")
    done = json.loads(understudy("models", "promote", "all@1", "--json", "--by", "olga").stdout)
    assert (done["version"], done["actor"], done["reason"]) == (
        ("all@1", "olga", "it passed the gates")
    )
    shown = understudy("models", "show", "all@1").stdout
    assert "all@1: live (it passed the gates)" in shown
    assert "G3 passed: nothing was forgotten" in shown
    assert "all@1 answers in all channels, after base (by olga: it passed the gates)" in shown
    back = understudy("models", "rollback", "--by", "mo", "--reason", "too loud")
    assert back.stdout == "base answers in all channels, after all@1 (by mo: too loud)\n"
    assert "all@1            retired" in understudy("models", "list").stdout
    assert "nothing is deployed" in one_line(understudy("models", "rollback"))


def test_a_version_that_fails(
    registered: Path,
    understudy: Understudy,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suite, "built_in_suite", lambda: suite_of_one())
    dataset = settings.data_dir / "learning" / "datasets" / DATASET
    (dataset / "val.jsonl").write_text("")
    failed = understudy("evaluate", "all@1", "--json")
    assert failed.exit_code == 1
    report = json.loads(failed.stdout)
    assert report["passed"] is False
    assert {"G0", "G2"} <= {v["gate"] for v in report["verdicts"] if not v["passed"]}
    assert "did not pass (G0 val.jsonl changed" in one_line(
        understudy("models", "promote", "all@1")
    )
    assert "a name and a reason" in one_line(understudy("models", "promote", "all@1", "--override"))
    done = understudy(
        *("models", "promote", "all@1", "--override", "--by", "Olga", "--reason", "I know why")
    )
    assert done.stdout.endswith("(by Olga: overridden by Olga: I know why)\n")
    shown = json.loads(understudy("models", "show", "all@1", "--json").stdout)
    assert shown["state"] == "live"
    assert len(shown["evaluation"]) == 6
    assert shown["deployments"][0]["reason"] == "overridden by Olga: I know why"


def test_blind_comparisons_are_asked_for_and_counted(
    registered: Path, understudy: Understudy, settings: Settings
) -> None:
    asked = understudy("evaluate", "all@1", "--blind", 6, stdin="1\n2\nx\n=\nq\n")
    assert asked.exit_code == 0, asked.output
    assert "1 of 6: what about " in asked.stdout
    assert asked.stdout.count("Which is better?") == 5
    path = settings.data_dir / "models" / "all@1" / "preferences.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["row"] for line in lines}) == 3
    assert {line["against"] for line in lines} == {"base"}
    wins = sum(line["preferred"] == "version" for line in lines)
    said = f"all@1 was preferred {wins} times, base {2 - wins} times, neither 1 times: "
    assert asked.stdout.splitlines()[-1].startswith(said)

    # What was answered before the input ended counts, and nothing is asked twice.
    more = understudy("evaluate", "all@1", "--blind", 999, stdin="1\n" * 30)
    assert "1 of 37: " in more.stdout
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["row"] for line in lines}) == len(lines) == 33
    understudy("evaluate", "all@1", "--blind", 999, stdin="=\n" * 30)
    assert "there is nothing left to compare all@1 and base by" in one_line(
        understudy("evaluate", "all@1", "--blind", 1)
    )
    elsewhere = understudy("evaluate", "all@1", "--blind", 1, "--against", "all@9")
    assert "there is no version all@9" in one_line(elsewhere)


def test_a_blind_comparison_needs_the_right_base(
    registered: Path, understudy: Understudy, tmp_path: Path
) -> None:
    other = base_model(tmp_path / "other")
    (other / "chat_template.jinja").write_text("another")
    said = one_line(understudy("evaluate", "all@1", "--blind", 1, "--base", other))
    assert said == "version all@1 is of base and not of other: name its base"


def suite_of_one() -> list[suite.Prompt]:
    return [suite.Prompt(id="hello", kind="chat", text="hello")]


def test_registering_goes_wrong(run_folder: Path, understudy: Understudy) -> None:
    assert understudy("models", "list").stdout.startswith("there are no versions yet")
    shutil.rmtree(run_folder / "adapter")
    assert "it is damaged" in one_line(understudy("models", "register", run_folder))
    assert "holds no finished run" in one_line(understudy("models", "register", run_folder.parent))
    assert json.loads(understudy("models", "list", "--json").stdout) == []
    assert "there is no version all@1" in one_line(understudy("evaluate", "all@1"))


def test_export_as_adapter_model_and_gguf(
    registered: Path, understudy: Understudy, workplace: Path
) -> None:
    done = understudy("models", "export", "all@1", "--out", "adapter")
    assert done.stdout == "all@1 is in adapter\n"
    assert sorted(p.name for p in (workplace / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    understudy("models", "export", "all@1", "--out", "whole", "--format", "merged")
    assert_merged(workplace / "whole", registered)
    llama = workplace / "llama.cpp"
    llama.mkdir()
    options = ("--format", "gguf", "--llama-cpp", llama)
    assert "is no checkout of llama.cpp" in one_line(
        understudy("models", "export", "all@1", "--out", "m.gguf", *options)
    )
    (llama / "convert_hf_to_gguf.py").write_text(CONVERTER)
    understudy("models", "export", "all@1", "--out", "m.gguf", *options)
    assert (workplace / "m.gguf").read_bytes() == b"GGUF"
    said = one_line(understudy("models", "export", "all@1", "--out", "fail.gguf", *options))
    assert "made no file (ValueError: no such architecture)" in said
    assert sorted(p.name for p in workplace.iterdir()) == [
        "adapter",
        "llama.cpp",
        "m.gguf",
        "whole",
    ]


def assert_merged(folder: Path, run: Path) -> None:
    """The merged model says what base and adapter say together."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = json.loads((run / "job.json").read_text())["base"]
    tokens = torch.tensor([AutoTokenizer.from_pretrained(folder)("what about lava")["input_ids"]])
    merged = AutoModelForCausalLM.from_pretrained(folder)
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), run / "adapter")
    with torch.inference_mode():
        torch.testing.assert_close(
            merged(tokens).logits, adapted(tokens).logits, atol=1e-3, rtol=1e-3
        )


def test_export_goes_wrong(
    registered: Path, understudy: Understudy, workplace: Path, trained: Path, tmp_path: Path
) -> None:
    (workplace / "there").mkdir()
    assert "is there already" in one_line(understudy("models", "export", "all@1", "--out", "there"))
    other = base_model(tmp_path / "other")
    (other / "chat_template.jinja").write_text("another")
    said = one_line(
        understudy(
            *("models", "export", "all@1", "--out", "x", "--format", "merged", "--base", other)
        )
    )
    assert f"version all@1 is of base and not of {other}" in said
    wrong = usage_error(understudy("models", "export", "all@1", "--out", "x", "--format", "onnx"))
    assert "use one of peft, merged, gguf" in wrong
    wrong = usage_error(understudy("models", "export", "all@1", "--out", "x", "--format", "gguf"))
    assert "name a checkout of it" in wrong
    assert sorted(p.name for p in workplace.iterdir()) == ["there"]


def test_without_a_database_nothing_is_made(understudy: Understudy, settings: Settings) -> None:
    for command in (("models", "list"), ("evaluate", "all@1"), ("models", "promote", "all@1")):
        assert "there is no database at" in one_line(understudy(*command))
    assert not settings.data_dir.exists()


def test_looking_at_versions_imports_nothing_heavy() -> None:
    code = (
        "import sys, understudy.learning.evaluation.judging, "
        "understudy.learning.versions.deploying, "
        "understudy.learning.nightly.steps, understudy.learning.rollout.follower, "
        "understudy.learning.rollout.watch, understudy.learning.serving.vllm, "
        "understudy.learning.providers.openai, understudy.server.routes.models;"
        "print(*sorted({'torch', 'transformers', 'peft', 'openai', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
